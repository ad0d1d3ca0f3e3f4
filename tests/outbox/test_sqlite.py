"""What only the SQLite outbox promises: the file."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from bridge.errors import OutboxError, OutboxLocked
from bridge.message import Position, Stored
from bridge.outbox.admin import SqliteOutboxAdmin
from bridge.outbox.base import DeadLetter, Depth, Verdict
from bridge.outbox.settings import SqliteSettings
from bridge.outbox.sqlite import SqliteOutbox
from tests.outbox.subjects import START_MS, Subject, call, create, event, ids, intake_of, message, soon

if TYPE_CHECKING:
    from pathlib import Path

DELIVERED, RETRY, PARK, DEAD = Verdict.DELIVERED, Verdict.RETRY, Verdict.PARK, Verdict.DEAD


# --- what survives ---------------------------------------------------------------------------------------------------


async def test_everything_survives_a_restart(sqlite: Subject) -> None:
    """Entries, their attempts and times, positions, ids, dead letters, counts."""
    calls = [create(n, f"i{n}") for n in range(6)]
    await sqlite.store(*calls, create(6, "x", not_before_ms=START_MS + 9), positions={"t/0": Position(6, START_MS)})
    entries = await sqlite.pending()
    await sqlite.settle(DELIVERED, entries[0])
    await sqlite.settle(RETRY, entries[1], at_ms=START_MS + 5)
    await sqlite.settle(PARK, entries[2], at_ms=START_MS + 7)
    await sqlite.settle(DEAD, entries[3], reason="rejected")
    await sqlite.outbox.committed("orders", {"t/0": 4})
    before = sqlite.outbox.depth()
    await sqlite.reopen()
    assert sqlite.outbox.depth() == before == Depth(2, 3, 1, START_MS)
    assert await sqlite.pending() == entries[4:]
    assert await soon(sqlite.outbox.stored("orders", ["t/0"])) == {"t/0": Stored(Position(6, START_MS), 4)}
    sqlite.clock.now_ms += 9
    assert [(e.message_id, e.attempts) for e in await sqlite.due()] == [
        ("shop.orders/0/1", 1),
        ("shop.orders/0/2", 1),
        ("shop.orders/0/6", 0),
    ]


async def test_what_was_in_flight_comes_again_in_order(sqlite: Subject) -> None:
    """A restart gives what ``due`` had given before, each lane in order of arrival, wherever its entries lay."""
    await sqlite.store(*(event(n, "a") for n in range(4)))
    holder, _ = await sqlite.pending(limit=2)
    await sqlite.settle(RETRY, holder, at_ms=START_MS)
    assert await sqlite.pending(after=holder.seq + 2) == []
    [holder] = await sqlite.due()
    await sqlite.settle(DELIVERED, holder)
    assert ids(await sqlite.due()) == ["2", "3"]
    await sqlite.reopen()
    assert ids(await sqlite.due()) + ids(await sqlite.pending()) == ["1", "2", "3"]


async def test_what_was_in_flight_comes_before_what_follows_it(sqlite: Subject) -> None:
    """After a restart ``pending`` does not pass what ``due`` has still to give."""
    await sqlite.store(event(1, "a"), event(2, "a"))
    [holder] = await sqlite.pending(limit=1)
    await sqlite.settle(RETRY, holder, at_ms=START_MS)
    assert await sqlite.pending(after=holder.seq) == []
    await sqlite.settle(DELIVERED, *await sqlite.due())
    assert ids(await sqlite.due()) == ["2"]
    await sqlite.reopen()
    await sqlite.store(event(3, "a"), event(4, "b"))
    assert ids(await sqlite.pending()) == ["4"]
    [second] = await sqlite.due()
    await sqlite.settle(DELIVERED, second)
    assert ids([second, *await sqlite.due()]) == ["2", "3"]


async def test_reading_beside_a_settle_sees_the_lane_held(sqlite: Subject) -> None:
    """Also before the verdict is on disk."""
    await sqlite.store(event(1, "a"), event(2, "a"), event(3, "b"))
    [holder] = await sqlite.pending(limit=1)
    settling = asyncio.ensure_future(sqlite.settle(RETRY, holder, at_ms=START_MS + 5))
    await asyncio.sleep(0)
    assert ids(await sqlite.pending(after=holder.seq)) == ["3"]
    await settling


async def test_reading_beside_due_loses_nothing(sqlite: Subject) -> None:
    """An entry that goes back into its queue meanwhile is read, whichever came first."""
    for start in range(0, 400, 4):
        now_ms = sqlite.clock.now_ms
        await sqlite.store(*(create(start + n, f"i{n}", not_before_ms=now_ms + 1 if n == 1 else 0) for n in range(4)))
        sqlite.clock.now_ms += 1
        looking = asyncio.ensure_future(sqlite.due())
        await asyncio.sleep(0)
        entries = await sqlite.pending() + await looking
        assert sorted(map(int, ids(entries))) == list(range(start, start + 4))
        await sqlite.settle(DELIVERED, *entries)


async def test_a_lane_is_still_held_after_a_restart(sqlite: Subject) -> None:
    """The holder is on disk, and so is what waits behind it."""
    await sqlite.store(create(1, "a"), event(2, "a"), create(3, "b"))
    holder = (await sqlite.pending(limit=1))[0]
    await sqlite.settle(RETRY, holder, at_ms=START_MS + 5)
    await sqlite.reopen()
    assert ids(await sqlite.pending()) == ["3"]
    await sqlite.reopen()
    sqlite.clock.now_ms += 5
    [holder] = await sqlite.due()
    await sqlite.settle(DELIVERED, holder)
    assert ids(await sqlite.due()) == ["2"]


async def test_a_deep_lane_comes_back_in_small_steps(sqlite: Subject) -> None:
    """Freeing a lane of thousands neither gives all at once nor loses any, also across a restart in the middle."""
    await sqlite.store(event(9_999, "z"), event(0, "a"))
    unsettled, holder = await sqlite.pending()
    await sqlite.settle(RETRY, holder, at_ms=START_MS)
    await sqlite.store(*(event(n, "a") for n in range(1, 2_001)))
    assert await sqlite.pending(after=holder.seq) == []
    [holder] = await sqlite.due()
    await sqlite.settle(DELIVERED, holder)
    came: list[str] = []
    for _ in range(20):
        given = await sqlite.due()
        assert 0 < len(given) <= 100
        came += ids(given)
        await sqlite.settle(DELIVERED, *given)
    await sqlite.reopen()
    while given := await sqlite.due() + [e for e in await sqlite.pending() if e != unsettled]:
        came += ids(given)
        await sqlite.settle(DELIVERED, *given)
    assert came == [str(n) for n in range(1, 2_001)]


async def test_originals_go_with_their_last_call(sqlite: Subject) -> None:
    """A message of several calls is stored once, and no longer than one of them is left."""
    original = message(1, b"x" * 1_000)
    await sqlite.store(*((original, call(f"i{n}")) for n in range(3)))
    first, second, third = await sqlite.pending()
    await sqlite.settle(DELIVERED, first)
    await sqlite.settle(RETRY, second, at_ms=START_MS)
    assert rows(sqlite.path, "SELECT refs, length(message_body) FROM originals") == [(2, 1_000)]
    await sqlite.settle(DELIVERED, second)
    await sqlite.settle(DEAD, third, reason="rejected")
    assert rows(sqlite.path, "SELECT count(*) FROM originals") == [(0,)]
    assert sqlite.dead_letters()[0].message == original


async def test_a_body_is_stored_once(sqlite: Subject) -> None:
    """Where a create's params are the message's body, the file does not hold it twice."""
    body = b'{"text":"%s"}' % (b"x" * 1_000)
    sent = call("a", body=b'{"id":"a","params":%s}' % body)
    await sqlite.store((message(1, body), sent), positions={"t/0": Position(1, 0)})
    assert rows(sqlite.path, "SELECT message_body, body_size FROM entries") == [(None, len(body))]


# --- redelivery ------------------------------------------------------------------------------------------------------


async def test_a_redelivered_message_is_left_out(sqlite: Subject) -> None:
    """Without positions, by its id, of its source, also after a restart; its dead letters, too."""
    first = message(1, id="m1"), call("a")
    dead = DeadLetter(message(2, id="m2"), "undecodable", "")
    await sqlite.store(first, dead=[dead])
    await sqlite.reopen()
    again = first[0]._replace(redelivered=True)
    dead_again = dead._replace(message=dead.message._replace(redelivered=True))
    new = message(3, id="m3", redelivered=True)
    await sqlite.store((again, call("a")), (again, call("b")), (new, call("c")), (new, call("d")), dead=[dead_again])
    assert [entry.instance_id for entry in await sqlite.pending()] == ["a", "c", "d"]
    assert len(sqlite.dead_letters()) == 1
    await sqlite.store((again, call("e")), source="payments")
    assert (await sqlite.pending())[-1].instance_id == "e"


@pytest.mark.parametrize(
    "changes", [{"redelivered": False}, {"redelivered": True, "has_identity": False}], ids=["not marked", "no identity"]
)
async def test_only_marked_messages_with_identity_are_left_out(sqlite: Subject, changes: dict[str, Any]) -> None:
    """Two messages that a producer gave the same id are two messages."""
    await sqlite.store((message(1, id="m1"), call("a")))
    await sqlite.store((message(1, id="m1", **changes), call("b")))
    assert [entry.instance_id for entry in await sqlite.pending()] == ["a", "b"]


async def test_a_redelivery_within_one_batch_is_left_out(sqlite: Subject) -> None:
    """The second copy stands beside the first when the channel was reopened."""
    await sqlite.store((message(1, id="m1"), call("a")), (message(1, id="m1", redelivered=True), call("a")))
    assert len(await sqlite.pending()) == 1


async def test_positions_decide_where_there_are_any(sqlite: Subject) -> None:
    """A Kafka batch is not compared by ids."""
    await sqlite.store((message(1), call("a")))
    again = message(1, redelivered=True)
    await sqlite.store((again, call("b")), positions={"t/0": Position(1, 0)})
    assert len(await sqlite.pending()) == 2


async def test_ids_are_forgotten_by_source_oldest_first(sqlite: Subject) -> None:
    """The table is bounded."""
    await sqlite.reopen(seen_ids=3)
    await sqlite.store((message(0, id="other"), call("x")), source="payments")
    for n in range(10):
        await sqlite.store((message(n, id=f"m{n}"), call(f"i{n}")))
    assert rows(sqlite.path, "SELECT message_id FROM seen ORDER BY key") == [("other",), ("m7",), ("m8",), ("m9",)]


# --- group commit ----------------------------------------------------------------------------------------------------


async def test_what_is_queued_goes_into_one_transaction(sqlite: Subject) -> None:
    """Hundreds of small batches cost a handful of fsyncs; each receipt waits for its own."""
    begun = 0
    store = sqlite.outbox._writer._store  # type: ignore[attr-defined]
    begin = store.begin

    def counted() -> None:
        nonlocal begun
        begun += 1
        begin()

    store.begin = counted
    receipts = [await sqlite.outbox.add(intake_of(create(n, f"i{n}"))) for n in range(500)]
    await soon(asyncio.gather(*(receipt.wait() for receipt in receipts)))
    assert ids(await sqlite.pending()) == [str(n) for n in range(500)]
    assert begun <= 100


async def test_a_position_is_stored_with_its_entries(sqlite: Subject) -> None:
    """``stored`` sees what was queued before it, so that a rebalance never makes a batch come twice."""
    adding = [
        sqlite.outbox.add(intake_of(create(n, f"i{n}"), positions={"t/0": Position(n, START_MS)})) for n in range(50)
    ]
    for one in adding:
        await one
    assert await sqlite.outbox.stored("orders", ["t/0"]) == {"t/0": Stored(Position(49, START_MS), None)}


async def test_a_call_that_cannot_be_bound_stops_only_itself(sqlite: Subject) -> None:
    """Its receipt fails; batches of the same transaction are stored."""
    calls = [create(n, f"i{n}") for n in range(3)]
    calls[1] = calls[1][0]._replace(id="\ud800"), calls[1][1]
    receipts = [await sqlite.outbox.add(intake_of(one)) for one in calls]
    await soon(receipts[0].wait())
    with pytest.raises(OutboxError):
        await soon(receipts[1].wait())
    await soon(receipts[2].wait())
    assert ids(await sqlite.pending()) == ["0", "2"]


# --- the file --------------------------------------------------------------------------------------------------------


async def test_the_file_is_for_its_user_alone(sqlite: Subject) -> None:
    """0600 for the file, its log and its lock, 0700 for a new folder; also where others could read it before."""
    await sqlite.outbox.close()
    sqlite.path.chmod(0o644)
    await sqlite.reopen()
    await sqlite.store(create(1, "a"))
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in sqlite.path.parent.iterdir()}
    assert modes == dict.fromkeys(["outbox.db", "outbox.db-wal", "outbox.db-shm", "outbox.db.lock"], 0o600)
    assert stat.S_IMODE(sqlite.path.parent.stat().st_mode) == 0o700


async def test_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    """Neither the file nor its lock is reached through one."""
    for name in ("outbox.db", "outbox.db.lock"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / name).symlink_to(tmp_path / "elsewhere")
        with pytest.raises(OutboxError, match="symbolic link"):
            await make(folder / "outbox.db").open()
        assert not (tmp_path / "elsewhere").exists()


async def test_a_second_owner_is_refused_at_once(sqlite: Subject) -> None:
    """In this process and in another; and let in after the first has gone."""
    with pytest.raises(OutboxLocked, match="another process"):
        await make(sqlite.path).open()
    code = (
        "import asyncio, pathlib, sys\n"
        "from bridge.errors import OutboxLocked\n"
        "from bridge.outbox.settings import SqliteSettings\n"
        "from bridge.outbox.sqlite import SqliteOutbox\n"
        "outbox = SqliteOutbox(SqliteSettings(path=pathlib.Path(sys.argv[1])), clock=lambda: 0)\n"
        "try:\n    asyncio.run(outbox.open())\nexcept OutboxLocked:\n    sys.exit(3)\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, str(sqlite.path))
    assert await soon(process.wait()) == 3
    await sqlite.reopen()


async def test_a_newer_schema_is_refused(sqlite: Subject) -> None:
    """With what to do, and without touching the file."""
    await sqlite.outbox.close()
    rows(sqlite.path, "PRAGMA user_version = 99")
    with pytest.raises(OutboxError, match="newer workflow-bridge"):
        await make(sqlite.path).open()
    assert rows(sqlite.path, "PRAGMA user_version") == [(99,)]


async def test_a_foreign_database_is_refused(tmp_path: Path) -> None:
    """Nothing is written into somebody else's file."""
    rows(tmp_path / "outbox.db", "CREATE TABLE theirs (x)")
    with pytest.raises(OutboxError, match="no outbox"):
        await make(tmp_path / "outbox.db").open()


@pytest.mark.parametrize("where", ["header", "page"])
async def test_a_damaged_file_is_reported_and_left(sqlite: Subject, where: str) -> None:
    """Found when it is opened, with what to do; never made anew."""
    await sqlite.store(*(create(n, f"i{n}", body=b"x" * 3_000) for n in range(100)))
    await sqlite.outbox.close()
    content = bytearray(sqlite.path.read_bytes())
    at = 0 if where == "header" else len(content) // 2 // 4096 * 4096
    content[at : at + 4096] = b"\xa5" * 4096
    sqlite.path.write_bytes(content)
    with pytest.raises(OutboxError, match="damaged"):
        await make(sqlite.path).open()
    assert sqlite.path.read_bytes() == content


async def test_damage_found_while_running_stops_the_outbox(sqlite: Subject) -> None:
    """The receipt of the transaction and every later call raise."""
    store = sqlite.outbox._writer._store  # type: ignore[attr-defined]

    def damaged() -> None:
        error = sqlite3.DatabaseError("database disk image is malformed")
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error

    store.begin = damaged
    receipt = await sqlite.outbox.add(intake_of(create(1, "a")))
    with pytest.raises(OutboxError, match="damaged"):
        await soon(receipt.wait())
    with pytest.raises(OutboxError, match="damaged"):
        await sqlite.outbox.add(intake_of(create(2, "b")))
    with pytest.raises(OutboxError, match="damaged"):
        await sqlite.pending()


async def test_operators_read_dead_letters_of_a_running_bridge(sqlite: Subject) -> None:
    """And of one that is stopped; page by page; without a lock and without changing the file."""
    letters = [DeadLetter(message(n), "undecodable", f"detail {n}", died_ms=n) for n in range(5)]
    await sqlite.store(dead=letters)
    admin = SqliteOutboxAdmin(sqlite.path)
    for running in (True, False):
        if not running:
            await sqlite.outbox.close()
        first = admin.dead_letters(limit=2)
        rest = admin.dead_letters(after=first[-1].number)
        assert [stored.letter for stored in [*first, *rest]] == letters
        assert admin.dead_letter(first[1].number) == first[1]
        assert admin.dead_letter(99) is None
    with pytest.raises(OutboxError, match="no outbox file"):
        SqliteOutboxAdmin(sqlite.path.with_name("none.db")).dead_letters()


async def test_max_bytes_holds_intake_back(sqlite: Subject) -> None:
    """Until entries have gone; nothing is dropped."""
    await sqlite.reopen(max_bytes=1_000_000)
    number = 0
    while True:
        adding = asyncio.ensure_future(sqlite.outbox.add(intake_of(create(number, f"i{number}", body=b"x" * 100_000))))
        done, _ = await asyncio.wait([adding], timeout=0.2)
        if not done:
            break
        await soon((await adding).wait())
        number += 1
    assert 3 <= number <= 10
    await sqlite.settle(DELIVERED, *await sqlite.pending())
    await soon((await soon(adding)).wait())
    assert ids(await sqlite.pending()) == [str(number)]


def make(path: Path) -> SqliteOutbox:
    return SqliteOutbox(SqliteSettings(path=path), clock=lambda: START_MS)


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute(query).fetchall()
        connection.commit()
        return found
