"""Dead letters for the page: looked at beside the writer, in a thread. What is done to them is control's."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from bridge.admin.refusal import Refusal
from bridge.console import letters_moved
from bridge.console.letter_shapes import Letter, LetterKind, LetterKinds, LetterLines, Letters, WholeLetter
from bridge.console.routes import number
from bridge.dead_letters import exchange, kept
from bridge.errors import NotAMessage, OutboxError
from bridge.outbox.admin import SqliteOutboxAdmin
from bridge.outbox.overview import DeadLetterFilter
from bridge.outbox.settings import SqliteSettings
from bridge.redaction import MASK, Redaction

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.config import Config
    from bridge.console.routes import Asked
    from bridge.outbox.base import StoredDeadLetter

T = TypeVar("T")
PAGE, LARGEST_PAGE = 50, 200
FILTER = {
    "reason": "Only those of this reason.",
    "rule": "Only those of this rule; empty: those without one.",
    "source": "Only those of this source.",
    "text": "In the detail or an id, in any case; or to the byte in key, body and headers.",
}
LIST_QUERY = {**FILTER, "before": "Only numbers below this one.", "limit": f"1 to {LARGEST_PAGE}; {PAGE} by default."}


class LookingAt:
    """The dead letters of one configuration's outbox."""

    def __init__(self, config: Config) -> None:
        """Raises Refusal where the outbox keeps none."""
        if not isinstance(config.outbox, SqliteSettings):
            advice = "They are where dead_letters.to says: work on them there."
            raise Refusal(404, "no_letters", "A memory outbox keeps no dead letters.", advice)
        self._admin = SqliteOutboxAdmin(config.outbox.path)
        self._redaction = Redaction(config.redact)

    async def page(self, asked: Asked, total: int) -> Letters:
        """The newest first. total: how many there are."""
        limit = number(asked, "limit") or PAGE
        if limit > LARGEST_PAGE:
            raise Refusal(422, "bad_query", f"limit is {limit}.", f"Give at most {LARGEST_PAGE}.")
        before, chosen = number(asked, "before"), _filter(asked)
        found = await in_thread(lambda: self._admin.newest_dead_letters(before, limit + 1, chosen))
        rows = [_letter(stored) for stored in found[:limit]]
        return Letters(rows, rows[-1].number if len(found) > limit else None, total)

    async def kinds(self, asked: Asked) -> LetterKinds:
        """How many there are of which rule, reason and source."""
        chosen = _filter(asked)
        found = await in_thread(lambda: self._admin.dead_letter_kinds(chosen))
        return LetterKinds([LetterKind(*kind) for kind in found])

    async def exported(self, asked: Asked) -> LetterLines:
        """Some to the byte, the oldest first. Raises Refusal where the configuration redacts something."""
        if self._redaction:
            advice = "Use `workflow-bridge dead-letters export` beside the outbox file, or leave `redact` out."
            raise Refusal(403, "redacted", "The configuration says redact, and an export has everything.", advice)
        after, chosen = number(asked, "after") or 0, _filter(asked)
        return await in_thread(lambda: letters_moved.exported(self._admin, after, chosen))

    async def one(self, name: str) -> WholeLetter:
        """Everything of one, but what the configuration redacts."""
        stored = await self._stored(name)
        blocks = await in_thread(lambda: self._admin.blocks(stored.number))
        letter, redacted = self._redaction.letter(exchange.parsed(kept.encode(stored)))
        return WholeLetter(letter, redacted, blocks)

    async def edited(self, name: str, raw: bytes) -> str:
        """What an edit asks for, as JSON, with what its author was not shown put back. Raises Refusal."""
        try:
            edited = exchange.parsed(raw).get("edited")
        except NotAMessage as error:
            raise Refusal(422, "bad_body", str(error), "Send {edited: {message: …}} or {edited: {call: …}}.") from None
        if self._redaction and isinstance(edited, dict):
            letter = (await self._stored(name)).letter
            self._restore(edited.get("message"), letter.message.body)
            self._restore(edited.get("call"), None if letter.call is None else letter.call.body)
        text = orjson.dumps(edited).decode()
        if self._redaction and MASK in text:
            advice = "Leave out what is redacted, or edit with `workflow-bridge dead-letters edit`."
            raise Refusal(422, "redacted", f"The edit has {MASK} where nothing was redacted.", advice)
        return text

    def _restore(self, part: Any, original: bytes | None) -> None:  # noqa: ANN401  what somebody has sent
        body = part.get("body") if isinstance(part, dict) else None
        if not isinstance(body, dict) or "text" not in body or original is None:
            return
        if body["text"] == MASK:
            del part["body"]  # it was not JSON, so nothing of it was shown
            return
        try:
            restored = self._redaction.restored(orjson.loads(body["text"]), orjson.loads(original))
        except (orjson.JSONDecodeError, TypeError):
            return
        part["body"] = {"text": orjson.dumps(restored).decode()}

    async def _stored(self, name: str) -> StoredDeadLetter:
        key = int(name) if name.isascii() and name.isdigit() and len(name) < 19 else 0  # noqa: PLR2004  63 bits
        stored = await in_thread(lambda: self._admin.dead_letter(key))
        if stored is None:
            advice = "It may have been redriven or discarded meanwhile; the list has what is kept."
            raise Refusal(404, "no_such_letter", f"There is no dead letter {name[:20]}.", advice)
        return stored


async def in_thread(look: Callable[[], T]) -> T:
    """In a thread: a look may have to go through the whole file."""
    try:
        return await asyncio.to_thread(look)
    except OutboxError as error:
        raise Refusal(503, "outbox_unreadable", str(error), "Try again; if it stays so, see the log.") from None


def _filter(asked: Asked) -> DeadLetterFilter:
    given = asked.query
    return DeadLetterFilter(
        given.get("rule"), given.get("reason") or None, given.get("source") or None, text=given.get("text") or None
    )


def _letter(stored: StoredDeadLetter) -> Letter:
    letter, call = stored.letter, stored.letter.call
    return Letter(
        stored.number,
        letter.died_ms,
        letter.reason,
        _text(letter.detail),
        letter.rule,
        letter.message.source,
        _text(letter.message.id),
        "" if call is None else call.operation.value,
        "" if call is None else call.target,
        "" if call is None else call.workflow,
        "" if call is None else call.instance_id,
        letter.attempts,
        letter.redriven,
    )


def _text(text: str) -> str:
    """Without halves of surrogate pairs, which UTF-8 has no bytes for."""
    return text.encode("utf-8", "backslashreplace").decode()
