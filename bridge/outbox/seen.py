"""The message ids that the SQLite outbox remembers of sources without positions, to recognise a redelivery."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.outbox.identity import identity
from bridge.outbox.sql import QUERIES
from bridge.outbox.state import QUEUE_BITS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from bridge.call import Call
    from bridge.message import Message
    from bridge.outbox.base import DeadLetter, Intake


class SeenIds:
    """The newest ids of each source, at most ``limit``; used inside the writer's transaction."""

    def __init__(self, connection: sqlite3.Connection, limit: int) -> None:
        self._connection = connection
        self._limit = limit
        self._sources: dict[str, int] = {}
        self._last_key: dict[int, int] = {}
        for number, source, last in connection.execute(QUERIES["seen_sources"]).fetchall():
            self._sources[source] = number
            self._last_key[number] = last or number << QUEUE_BITS

    def fresh(self, intake: Intake) -> tuple[Sequence[tuple[Message, Call]], Sequence[DeadLetter], int]:
        """Calls and dead letters of the batch without those of messages stored before; remembers the others.

        Gives as the last how many messages were left out.
        """
        number = self._number(intake.source)
        messages = [message for message, _ in intake.calls] + [letter.message for letter in intake.dead]
        repeated = self._repeated(number, messages)
        self._remember(number, (identity(m) for m in messages if m.has_identity and id(m) not in repeated))
        if not repeated:
            return intake.calls, intake.dead, 0
        return (
            [pair for pair in intake.calls if id(pair[0]) not in repeated],
            [letter for letter in intake.dead if id(letter.message) not in repeated],
            len(repeated),
        )

    def _repeated(self, number: int, messages: Sequence[Message]) -> set[int]:
        """By ``id()``: the redelivered messages that were stored before, or stand in this batch before."""
        first: dict[str, int] = {}
        repeated: set[int] = set()
        for message in messages:
            name = identity(message)
            known = first.setdefault(name, id(message))
            if message.redelivered and message.has_identity and (known != id(message) or self._was_seen(number, name)):
                repeated.add(id(message))
        return repeated

    def _was_seen(self, number: int, name: str) -> bool:
        return self._connection.execute(QUERIES["was_seen"], (number, name)).fetchone() is not None

    def _number(self, source: str) -> int:
        number = self._sources.get(source)
        if number is None:
            number = self._sources[source] = len(self._sources) + 1
            self._last_key[number] = number << QUEUE_BITS
            self._connection.execute(QUERIES["insert_seen_source"], (number, source))
        return number

    def _remember(self, number: int, names: Iterable[str]) -> None:
        last = self._last_key[number]
        rows = [(key, number, name) for key, name in enumerate(dict.fromkeys(names), last + 1)]
        if not rows:
            return
        self._connection.executemany(QUERIES["insert_seen"], rows)
        newest = self._last_key[number] = rows[-1][0]
        self._connection.execute(QUERIES["forget_seen"], (number << QUEUE_BITS, newest - self._limit))
