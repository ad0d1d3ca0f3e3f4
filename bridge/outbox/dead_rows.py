"""Dead letters as rows of the SQLite outbox, and back; no SQL and no file here."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bridge.call import Call, Operation, Policy
from bridge.outbox import history
from bridge.outbox.base import DeadLetter, StoredDeadLetter
from bridge.outbox.bindable import plain
from bridge.outbox.rows import message_of, rest_of

if TYPE_CHECKING:
    from bridge.outbox.base import Entry
    from bridge.outbox.rows import Row


class Death(NamedTuple):
    """Why and when an entry died."""

    reason: str
    detail: str
    attempts: int
    died_ms: int
    history: bytes | None  # as it is stored


def body_of(entry: Entry, message_body: bytes | None, body_size: int | None) -> bytes | None:
    """The message's body, whether it was stored apart or ends the call's."""
    if body_size is None:
        return message_body
    end = len(entry.body) - 1
    return entry.body[end - body_size : end]


def dead_entry_row(entry: Entry, original: tuple[bytes | None, bytes | None, bytes], death: Death) -> Row:
    """The dead letter of an entry; ``original`` is key, body and rest of its message."""
    policy = Policy.decode(entry.policy)
    return (
        entry.source, entry.message_id, *original,
        death.reason, plain(death.detail), policy.rule, death.attempts, death.died_ms, policy.config, death.history,
        policy.redriven, *entry[1:11],
    )  # fmt: skip


def dead_letter_row(letter: DeadLetter) -> Row:
    """The row of a dead letter that never was an entry."""
    message, call = letter.message, letter.call
    rendered = (None,) * len(Call._fields) if call is None else (call.operation.value, *call[1:])
    return (
        message.source, message.id, message.key, message.body, rest_of(message),
        letter.reason, letter.detail, letter.rule, letter.attempts, letter.died_ms, letter.config,
        history.stored(letter.history), letter.redriven, *rendered,
    )  # fmt: skip


def weight(row: Row) -> int:
    """The bytes of a dead letter, as sql.DEAD_BYTES counts them."""
    return sum(len(column) for column in row if isinstance(column, bytes))


def dead_letter_of(row: Row) -> StoredDeadLetter:
    """The inverse: a row of ``dead_letters``, all columns in their order."""
    number, source, message_id, key, body, rest, *why, tried, redriven, operation = row[:15]
    rendered = None if operation is None else Call(Operation(operation), *row[15:])
    message = message_of(source, message_id, key, body, rest)
    reason, detail, rule, attempts, died_ms, config = why
    letter = DeadLetter(message, reason, detail, rule, rendered, attempts, died_ms, config, history.read(tried),
                        redriven)  # fmt: skip
    return StoredDeadLetter(number, letter)
