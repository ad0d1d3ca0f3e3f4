"""Requests of commands as JSON, and their answers; one function for each, none with a decision of its own.

A request is ``{"do": NAME, "who": TEXT, …}``, an answer has what was done, or ``{"error": TEXT}``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bridge.control.again import How
from bridge.control.switches import PauseKind
from bridge.dead_letters.exchange import call_of, decode, message_of, parsed
from bridge.errors import NotAMessage, OperationRefused, OutboxError
from bridge.logs import Level

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from bridge.control.letters import Done
    from bridge.control.operator import Operator

    Request = Mapping[str, Any]
    Answer = dict[str, Any]

CONFIGURED = "configured"  # in the place of a level


async def answer(operator: Operator, request: Request) -> Answer:
    """What becomes of a request."""
    act = ACTS.get(str(request.get("do")))
    if act is None:
        return {"error": f"this bridge knows no {request.get('do')!r}: the command is of another version"}
    try:
        return await act(operator, request)
    except (OperationRefused, OutboxError) as error:
        return {"error": str(error)}
    except NotAMessage as error:
        return {"error": error.placed}
    except (KeyError, TypeError, ValueError) as error:
        return {"error": f"this is no such request: {error!r}"}


async def _redrive(operator: Operator, request: Request) -> Answer:
    how, force = How(request["how"]), bool(request["force"])
    return _done(await operator.letters.redrive(request["numbers"], request["who"], how, force=force))


async def _discard(operator: Operator, request: Request) -> Answer:
    return _done(await operator.letters.discard(request["numbers"], request["who"]))


async def _release(operator: Operator, request: Request) -> Answer:
    return _done([await operator.letters.release(request["number"], request["who"])])


async def _edit(operator: Operator, request: Request) -> Answer:
    """``edited`` is the text of a letter, or of parts of it, as exchange has it."""
    text = str(request["edited"]).encode()
    held = parsed(text)
    letter = (await operator.letter(request["number"])).letter
    message = message_of(held, text, letter.message) if held.get("message") is not None else None
    call = call_of(held["call"], letter.call) if held.get("call") is not None else None
    return _done([await operator.letters.edit(request["number"], request["who"], message, call)])


async def _import(operator: Operator, request: Request) -> Answer:
    letters = [decode(line.encode()) for line in request["lines"]]
    return {"imported": await operator.letters.bring_in(letters, request["who"])}


async def _pause(operator: Operator, request: Request) -> Answer:
    kind, name = PauseKind(request["kind"]), str(request["name"])
    return {"paused": (await operator.switches.pause(kind, name, request["reason"], request["who"]))._asdict()}


async def _resume(operator: Operator, request: Request) -> Answer:
    return {"resumed": await operator.switches.resume(PauseKind(request["kind"]), str(request["name"]), request["who"])}


async def _pauses(operator: Operator, _: Request) -> Answer:
    return {"pauses": [paused._asdict() for paused in operator.switches.paused]}


async def _drain(operator: Operator, request: Request) -> Answer:
    return (await operator.drain(float(request["seconds"]), request["who"]))._asdict()


async def _log_level(operator: Operator, request: Request) -> Answer:
    """level: None asks only, ``configured`` goes back to what the configuration has."""
    said, seconds = request["level"], request.get("seconds")
    if said is None:
        return operator.log_level()._asdict()
    level = None if said == CONFIGURED else Level(said)
    return (await operator.say_log_level(level, None if seconds is None else float(seconds), request["who"]))._asdict()


async def _audit(operator: Operator, request: Request) -> Answer:
    return {"deeds": [deed._asdict() for deed in await operator.deeds(request["before"], request["limit"])]}


def _done(done: Sequence[Done]) -> Answer:
    return {"done": [one._asdict() for one in done]}


ACTS: Mapping[str, Callable[[Operator, Request], Awaitable[Answer]]] = {
    "redrive": _redrive,
    "discard": _discard,
    "release": _release,
    "edit": _edit,
    "import": _import,
    "pause": _pause,
    "resume": _resume,
    "pauses": _pauses,
    "drain": _drain,
    "log-level": _log_level,
    "audit": _audit,
}
