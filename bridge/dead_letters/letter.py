"""What a dead letter looks like on its way to a broker; the brokers are not known here."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Any, Protocol

import orjson
import structlog

from bridge.call import first_body, second_body

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence, Sized

    from bridge.call import Call
    from bridge.message import Message

log = structlog.get_logger(__name__)

PREFIX = "workflow-bridge-"
DETAIL_CHARACTERS = 4000  # a header is not the place for more
ATTEMPT_CHARACTERS = 100  # of each attempt's detail
FIRST_WAIT_SECONDS = 0.2
LONGEST_WAIT_SECONDS = 30.0
LAST_SECONDS = 5.0  # for a client that was told to end


class Letter(Protocol):
    """A dead letter, as bridge.outbox.base.DeadLetter has it."""

    @property
    def message(self) -> Message:
        """The full original."""

    @property
    def reason(self) -> str:
        """A bounded code."""

    @property
    def detail(self) -> str:
        """For people."""

    @property
    def rule(self) -> str:
        """Empty where no rule was involved."""

    @property
    def call(self) -> Call | None:
        """What would have been sent, where it was rendered."""

    @property
    def attempts(self) -> int:
        """Calls that were made."""

    @property
    def history(self) -> Sequence[tuple[int, str, int, str]]:
        """The attempts, as bridge.outbox.base.Attempt has them; of many the first and the last."""

    @property
    def died_ms(self) -> int:
        """Unix epoch, milliseconds."""

    @property
    def redriven(self) -> int:
        """How often it was sent again, and died again."""

    @property
    def config(self) -> str:
        """Digest of the configuration that the message was taken in by."""


def describe(letter: Letter) -> list[tuple[str, str]]:
    """The headers that say why the message is here; what does not apply is left out."""
    message = letter.message
    described = {
        "reason": letter.reason,
        "detail": letter.detail[:DETAIL_CHARACTERS],
        "rule": letter.rule,
        "config": letter.config,
        "source": message.source,
        "channel": message.channel,
        "message-id": message.id,
        "attempts": str(letter.attempts),
        "history": _history(letter),
        "redriven": str(letter.redriven) if letter.redriven else "",
        "died-ms": str(letter.died_ms) if letter.died_ms else "",
        "timestamp-ms": "" if message.timestamp_ms is None else str(message.timestamp_ms),
        "attributes": orjson.dumps(dict(message.attributes)).decode() if message.attributes else "",
        "call": _call(letter.call).decode() if letter.call is not None else "",
    }
    return [(PREFIX + name, value) for name, value in described.items() if value]


def _history(letter: Letter) -> str:
    """One JSON list for each attempt: when it ended, the reason, the API's code, what was said."""
    rows = [(at_ms, reason, code, detail[:ATTEMPT_CHARACTERS]) for at_ms, reason, code, detail in letter.history]
    return orjson.dumps(rows).decode() if rows else ""


def _call(call: Call) -> bytes:
    fields: dict[str, Any] = dict(call._asdict())
    bodies = {"body": first_body(call.body), "then": second_body(call.body)}
    try:
        return orjson.dumps(fields | {name: orjson.Fragment(body) for name, body in bodies.items() if body})
    except (orjson.JSONEncodeError, TypeError):  # pragma: no cover  a rendered body is JSON
        return orjson.dumps(fields | {name: base64.b64encode(body).decode() for name, body in bodies.items() if body})


async def alone(work: Coroutine[Any, Any, None], seconds: float = LAST_SECONDS) -> None:
    """Do this in a task of its own, and end when we are cancelled, whatever it makes of that.

    A broker's client that is just losing its connection takes being cancelled for its loss, or a loss for being
    cancelled: awaited in our own task, it would have us try again for ever where we have to end. seconds: for which we
    wait when it is cancelled. Raises what ``work`` raises, and ConnectionError where it was cancelled by itself.
    """
    task = asyncio.create_task(work)
    try:
        await asyncio.wait({task})
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=seconds)
    if task.cancelled():
        raise ConnectionError("the client gave up")
    task.result()


async def ended(closing: Awaitable[Any], seconds: float) -> None:
    """Let a client close, for so long; what goes wrong there is no news. See ``alone``."""
    task = asyncio.ensure_future(closing)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    try:
        await asyncio.wait({task}, timeout=seconds)
    finally:
        task.cancel()


async def until_confirmed(
    waiting: Sized,
    attempt: Callable[[], Coroutine[Any, Any, None]],
    again: Callable[[], Coroutine[Any, Any, None]],
    failures: tuple[type[Exception], ...],
) -> None:
    """Try without end, with growing pauses: a dead letter that is not kept somewhere is a lost message.

    waiting: what is not confirmed yet; where some of it was, the pauses begin anew, as the broker is there. attempt:
    publishes it. again: connects anew before the next attempt. failures: OSError, of which ConnectionError is one,
    among them.
    """
    wait_seconds = FIRST_WAIT_SECONDS
    while True:
        before = len(waiting)
        try:
            await alone(attempt())
        except failures as error:
            if len(waiting) < before:
                wait_seconds = FIRST_WAIT_SECONDS
            log.warning("dead_letters_not_confirmed", reason=f"{type(error).__name__}: {error}", again_in=wait_seconds)
        else:
            return
        await asyncio.sleep(wait_seconds)
        wait_seconds = min(wait_seconds * 2, LONGEST_WAIT_SECONDS)
        try:
            await alone(again())
        except failures as error:
            log.warning("dead_letters_unreachable", reason=f"{type(error).__name__}: {error}")
