"""What calls have in common is stored once, and does not pile up with the configurations that came and went."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from bridge.call import Policy
from bridge.outbox import shapes
from bridge.outbox.base import Settlement, Verdict
from bridge.outbox.file import connect, prepare
from bridge.outbox.rows import entries_of
from bridge.outbox.settings import SqliteSettings
from bridge.outbox.sql import QUERIES
from bridge.outbox.store import Store
from tests.outbox.subjects import Clock, call, create, ids, intake_of, message

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from bridge.call import Call
    from bridge.message import Message
    from bridge.outbox.base import Entry
    from bridge.outbox.rows import Shape
    from tests.outbox.subjects import Subject

ROOM = 20


@pytest.fixture(autouse=True)
def little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes, "ROOM", ROOM)


def of_config(number: int, instance_id: str = "") -> tuple[Message, Call]:
    """A call of the same rule in another configuration."""
    policy = Policy("order-created", config=f"digest-{number}").encode()
    return message(number), call(instance_id or f"i{number}", policy=policy)


def stored(subject: Subject) -> int:
    with closing(sqlite3.connect(subject.path)) as database:
        found: int = database.execute("SELECT count(*) FROM shapes").fetchone()[0]
    return found


async def test_ten_thousand_configurations_leave_few_shapes(sqlite: Subject) -> None:
    """Each had calls that were delivered; the file, and a process that opens it, know only those still needed."""
    await sqlite.store(of_config(0, "kept"))
    [kept] = await sqlite.pending()
    after = kept.seq
    for start in range(1, 10_001, 50):
        await sqlite.store(*(of_config(number) for number in range(start, start + 50)))
        entries = await sqlite.pending(after=after, limit=50)
        assert [Policy.decode(entry.policy).config for entry in entries] == [
            f"digest-{number}" for number in range(start, start + 50)
        ]
        after = entries[-1].seq
        await sqlite.settle(Verdict.DELIVERED, *entries)
    assert stored(sqlite) <= 2 * 51 + ROOM + 50
    assert len(sqlite.outbox._snapshot.shapes) <= 2 * (2 * 51 + ROOM + 50)  # type: ignore[attr-defined]  # of this one
    await sqlite.reopen()
    assert await sqlite.pending() == [kept]


async def test_a_shape_is_kept_as_long_as_something_has_it(sqlite: Subject) -> None:
    """Ready, or waiting for its time: whatever else is forgotten meanwhile, and by whom."""
    await sqlite.store(*(of_config(number) for number in range(3)))
    entries = await sqlite.pending()
    await sqlite.settle(Verdict.RETRY, entries[0], at_ms=sqlite.clock.now_ms + 5)
    for number in range(10, 10 + 5 * ROOM):
        await sqlite.store(of_config(number))
        await sqlite.settle(Verdict.DELIVERED, *await sqlite.pending(after=entries[2].seq))
    assert stored(sqlite) <= 2 * ROOM
    assert await sqlite.pending() == entries[1:]
    await sqlite.reopen()
    assert await sqlite.pending() == entries[1:]
    sqlite.clock.now_ms += 5
    [again] = await sqlite.due()
    assert again._replace(attempts=0) == entries[0]


async def test_a_configuration_that_comes_back_has_its_shape_again(sqlite: Subject) -> None:
    """Also in the transaction after the one in which it was forgotten."""
    for number in range(3 * ROOM):
        await sqlite.store(of_config(number))
        await sqlite.settle(Verdict.DELIVERED, *await sqlite.pending())
    await sqlite.store(*(of_config(number) for number in range(3 * ROOM)))
    entries = await sqlite.pending()
    assert [Policy.decode(entry.policy).config for entry in entries] == [f"digest-{n}" for n in range(3 * ROOM)]


async def test_forgetting_beside_reading(sqlite: Subject) -> None:
    """Entries are read while others are stored, settled and their shapes forgotten."""
    after, read = 0, []
    for start in range(0, 10 * ROOM, 5):
        storing = asyncio.ensure_future(sqlite.store(*(of_config(number) for number in range(start, start + 5))))
        entries = await sqlite.pending(after=after)
        await storing
        read += ids(entries)
        after = entries[-1].seq if entries else after
        await sqlite.settle(Verdict.DELIVERED, *entries)
    read += ids(await sqlite.pending(after=after))
    assert read == [str(number) for number in range(10 * ROOM)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A file and its writer's connection."""
    prepare(tmp_path / "outbox.db")
    store = Store(connect(tmp_path / "outbox.db"), SqliteSettings(), Clock())
    yield store
    store.close()


def known(store: Store) -> Mapping[int, Shape]:
    """What the event loop reads by until it is told of the next transaction."""
    return store.state.snapshot(count_bytes=False).shapes


def read(store: Store, shapes_: Mapping[int, Shape]) -> list[Entry]:
    """As the event loop may, as soon as the disk has a transaction."""
    return entries_of(store._connection.execute(QUERIES["pending"], (0, 1 << 62, -1)), shapes_)


def test_a_new_shape_can_be_read_before_the_loop_is_told(store: Store) -> None:
    """Also where the transaction that brought it had to be made twice: the disk has it before the loop hears of it."""
    before = known(store)
    store.begin()
    store.roll_back()
    store.begin()
    store.add([intake_of(create(1, "a"))])
    store.commit()
    assert [entry.workflow for entry in read(store, before)] == ["fulfil-order"]


def test_a_number_of_a_rolled_back_transaction_is_not_given_again(store: Store) -> None:
    """Whoever still has the shapes of before reads no other call out of a row."""
    before = known(store)
    store.begin()
    store.add([intake_of(create(1, "a", workflow="undone"))])
    store.roll_back()
    store.begin()
    store.add([intake_of(create(2, "b", workflow="done"))])
    store.commit()
    assert [entry.workflow for entry in read(store, before)] == ["done"]


def test_forgetting_that_is_rolled_back_forgets_nothing(store: Store) -> None:
    """Shapes that a rolled back transaction forgot are there again, whatever is forgotten after that."""
    store.begin()
    store.add([intake_of(of_config(number)) for number in range(2 * ROOM)])
    store.commit()
    entries = read(store, known(store))
    store.begin()
    store.settling.settle([Settlement(entry, Verdict.DELIVERED) for entry in entries])
    store.state.flush()
    store.roll_back()
    store.begin()
    store.add([intake_of(of_config(number)) for number in range(2 * ROOM, 6 * ROOM)])
    store.commit()
    assert len(read(store, known(store))) == 6 * ROOM
