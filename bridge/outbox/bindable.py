"""What SQLite cannot bind, made bindable: integers beyond 64 bits, and text that is no Unicode.

Nothing here runs unless a transaction was refused: the usual batch pays nothing for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.message import Position

if TYPE_CHECKING:
    from bridge.call import Call
    from bridge.message import Message
    from bridge.outbox.base import DeadLetter, Intake

_LOWEST, _HIGHEST = -(1 << 63), (1 << 63) - 1


def plain(text: str) -> str:
    r"""The text with lone surrogates written out (``\udc80``): still told apart, and UTF-8 from now on."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def bindable(intake: Intake) -> Intake:
    """The same batch, with a message's impossible timestamp left out; the very same object where nothing is changed.

    Calls of one message still share it. Offsets are not touched: a wrong one would be worse than none.
    """
    messages: dict[int, Message] = {}
    made = intake._replace(
        calls=[(_shared(message, messages), _call(call)) for message, call in intake.calls],
        dead=[_letter(letter, _shared(letter.message, messages)) for letter in intake.dead],
        dropped=[drop._replace(message=_shared(drop.message, messages)) for drop in intake.dropped],
        positions={name: _position(position) for name, position in intake.positions.items()},
    )
    same = list(intake.calls) == made.calls and list(intake.dead) == made.dead and intake.positions == made.positions
    same = same and list(intake.dropped) == made.dropped
    return intake if same else made


def _shared(message: Message, made: dict[int, Message]) -> Message:
    found = made.get(id(message))
    if found is None:
        found = made[id(message)] = _message(message)
    return found


def _message(message: Message) -> Message:
    return message._replace(id=plain(message.id), timestamp_ms=_time(message.timestamp_ms))


def _call(call: Call) -> Call:
    return call._replace(
        workflow=plain(call.workflow),
        instance_id=plain(call.instance_id),
        event_type=plain(call.event_type),
        lane=plain(call.lane),
        not_before_ms=min(call.not_before_ms, _HIGHEST),
    )


def _letter(letter: DeadLetter, message: Message) -> DeadLetter:
    call = None if letter.call is None else _call(letter.call)
    return letter._replace(message=message, detail=plain(letter.detail), call=call)


def _position(position: Position) -> Position:
    timestamp_ms = _time(position.timestamp_ms)
    return Position(position.offset, -1 if timestamp_ms is None else timestamp_ms)


def _time(epoch_ms: int | None) -> int | None:
    return epoch_ms if epoch_ms is not None and _LOWEST <= epoch_ms <= _HIGHEST else None
