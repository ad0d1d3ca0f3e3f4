"""What only the SQLite outbox promises: the file."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
import sys
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from bridge.call import Policy
from bridge.errors import OutboxError, OutboxLocked
from bridge.message import Position, Stored
from bridge.outbox.admin import SqliteOutboxAdmin
from bridge.outbox.base import DeadLetter, Depth, Queue, Verdict
from bridge.outbox.file import on_disk
from bridge.outbox.settings import SqliteSettings
from bridge.outbox.sqlite import SqliteOutbox
from tests.outbox.subjects import (
    LIMIT_SECONDS,
    ORDERS,
    START_MS,
    Subject,
    call,
    create,
    event,
    ids,
    intake_of,
    message,
    soon,
)

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
    kept = {"parked": 1, "oldest_parked_ms": START_MS, "dead_bytes": before.dead_bytes}
    assert sqlite.outbox.depth() == before == Depth(2, 3, 1, START_MS, **kept)
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


async def test_a_copy_in_another_queue_is_another_message(sqlite: Subject) -> None:
    """Two queues bound to one exchange have one id twice: each is recognised in its own queue."""
    first = [message(n, id="m1", attributes={"queue": queue}) for n, queue in enumerate("ab")]
    again = [one._replace(redelivered=True) for one in first]
    await sqlite.store((first[0], call("a")))
    await sqlite.store((again[1], call("b")))
    await sqlite.reopen()
    await sqlite.store((again[0], call("c")), (again[1], call("d")))
    assert [entry.instance_id for entry in await sqlite.pending()] == ["a", "b"]


async def test_the_names_of_queue_and_message_are_kept_apart(sqlite: Subject) -> None:
    """No id of one queue is taken for that of another, whatever characters they have."""
    names = [("a", "b:c"), ("a:b", "c"), ("1:a", "b:c"), ("", "a:b:c")]
    for n, (queue, name) in enumerate(names):
        await sqlite.store((message(n, id=name, attributes={"queue": queue}, redelivered=True), call(f"i{n}")))
    assert len(await sqlite.pending()) == len(names)


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


async def test_what_cannot_be_bound_is_stored_as_far_as_it_can(sqlite: Subject) -> None:
    """A timestamp beyond 64 bits is the arrival's, text that is no Unicode is written out; nothing else stops."""
    strange = message(1, timestamp_ms=2**64 - 1), call("in", lane="la\udfff")._replace(instance_id="in\ud800")
    nameless = message(2, id="\ud800"), call("b", not_before_ms=0)
    shared = message(3, id="\ud801")
    dead = DeadLetter(message(4, id="\ud802", timestamp_ms=2**63), "undecodable", "at \ud803")
    batches = [[create(0, "a")], [strange, nameless], [(shared, call("c")), (shared, call("d"))], [create(5, "e")]]
    receipts = [
        await sqlite.outbox.add(intake_of(*batch, positions={"t/0": Position(number, 2**63)}))
        for number, batch in enumerate(batches)
    ]
    receipts.append(await sqlite.outbox.add(intake_of(dead=[dead])))
    for receipt in receipts:
        await soon(receipt.wait())
    entries = await sqlite.pending()
    assert [entry.message_id for entry in entries] == [
        "shop.orders/0/0", r"\ud800", r"\ud801", r"\ud801", "shop.orders/0/5"
    ]  # fmt: skip
    [laned] = await sqlite.pending(Queue("main", ""))
    assert (laned.instance_id, laned.lane, laned.timestamp_ms) == (r"in\ud800", r"la\udfff", START_MS)
    await sqlite.settle(DEAD, laned, entries[2], reason="rejected", detail="\ud804")
    assert await soon(sqlite.outbox.stored("orders", ["t/0"])) == {"t/0": Stored(Position(3, -1), None)}
    letters = sqlite.dead_letters()
    assert [(letter.message.id, letter.message.timestamp_ms, letter.detail) for letter in letters] == [
        (r"\ud802", None, r"at \ud803"),
        ("shop.orders/0/1", None, r"\ud804"),
        (r"\ud801", shared.timestamp_ms, r"\ud804"),
    ]


async def test_a_poison_batch_costs_two_transactions_not_one_for_each_batch(sqlite: Subject) -> None:
    """What cannot be bound does not take the others of its transaction apart."""
    store = sqlite.outbox._writer._store  # type: ignore[attr-defined]
    begin, begun, gate = store.begin, 0, threading.Event()

    def counted() -> None:
        nonlocal begun
        gate.wait(5)
        begun += 1
        begin()

    store.begin = counted
    receipts = [await sqlite.outbox.add(intake_of(create(n, f"i{n}"))) for n in range(50)]
    receipts.append(await sqlite.outbox.add(intake_of((message(50, timestamp_ms=2**70), call("poison")))))
    gate.set()
    await soon(asyncio.gather(*(receipt.wait() for receipt in receipts)))
    assert begun <= 4
    assert ids(await sqlite.pending()) == [str(n) for n in range(51)]


@pytest.mark.parametrize("positions", [True, False], ids=["positions", "no positions"])
async def test_a_refused_batch_stops_the_outbox(sqlite: Subject, positions: bool) -> None:  # noqa: FBT001
    """Nothing after it is stored: a later position would say that the refused one is stored, too."""
    calls = [create(n, f"i{n}") for n in range(4)]
    calls[1] = calls[1][0]._replace(id=object()), calls[1][1]  # type: ignore[arg-type]  # on purpose
    receipts = [
        await sqlite.outbox.add(intake_of(one, positions={"t/0": Position(n, START_MS)} if positions else {}))
        for n, one in enumerate(calls)
    ]
    await soon(receipts[0].wait())
    for receipt in receipts[1:]:
        with pytest.raises(OutboxError, match="cannot store"):
            await soon(receipt.wait())
    with pytest.raises(OutboxError, match="cannot store"):
        await sqlite.outbox.add(intake_of(create(9, "z")))
    await sqlite.reopen()
    assert ids(await sqlite.pending()) == ["0"]
    last = (await soon(sqlite.outbox.stored("orders", ["t/0"])))["t/0"].last
    assert last == (Position(0, START_MS) if positions else None)


async def test_a_refused_verdict_or_question_stops_only_itself(sqlite: Subject) -> None:
    """Whoever asked is told; batches of the same transaction are stored."""
    await sqlite.store(create(0, "a"))
    [entry] = await sqlite.pending()
    settling = asyncio.ensure_future(sqlite.settle(RETRY, entry, at_ms=2**70))
    resetting = asyncio.ensure_future(sqlite.outbox.reset("orders", {"t/0": 2**70}))
    await asyncio.sleep(0)
    await sqlite.store(create(1, "b"), positions={"t/1": Position(1, START_MS)})
    for refused in (settling, resetting):
        with pytest.raises(OutboxError, match="cannot store"):
            await soon(refused)
    assert ids(await sqlite.pending()) == ["0", "1"]


async def test_out_of_memory_is_waited_out(sqlite: Subject) -> None:
    """Python raises MemoryError for SQLite's own: the batch is written when there is some again."""
    store = sqlite.outbox._writer._store  # type: ignore[attr-defined]
    begin, left = store.begin, [MemoryError(), MemoryError()]

    def short() -> None:
        if left:
            raise left.pop()
        begin()

    store.begin = short
    await sqlite.store(create(1, "a"))
    assert left == []
    assert ids(await sqlite.pending()) == ["1"]


# --- back-pressure ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "limits", [{"queued_entries": 20}, {"queued_bytes": 20 * 64 * 1024}, {"queued_bytes": 1}], ids=str
)
async def test_batches_without_calls_wait_for_room(sqlite: Subject, limits: dict[str, int]) -> None:
    """Also what matched nothing: while nothing can be written, a bounded number is accepted."""
    await sqlite.reopen(**limits)
    store = sqlite.outbox._writer._store  # type: ignore[attr-defined]
    begin, gate = store.begin, threading.Event()

    def blocked() -> None:
        gate.wait(10)
        begin()

    store.begin = blocked
    receipts = []
    try:
        for number in range(100):
            adding = asyncio.ensure_future(sqlite.outbox.add(intake_of(positions={"t/0": Position(number, START_MS)})))
            done, _ = await asyncio.wait([adding], timeout=0.2)
            if not done:
                break
            receipts.append(await adding)
        assert len(receipts) == min(20, limits.get("queued_bytes", 20))
    finally:
        gate.set()
    receipts.append(await soon(adding))
    await soon(asyncio.gather(*(receipt.wait() for receipt in receipts)))
    assert not sqlite.outbox._room._adds  # type: ignore[attr-defined]


@pytest.mark.parametrize("withdrawn", [["t/0"], ["t/0", "t/1"]], ids=str)
async def test_what_waits_for_room_is_given_back_with_its_partitions(sqlite: Subject, withdrawn: list[str]) -> None:
    """Whoever has them now sends their calls, and a receipt would let the broker forget what nobody stored."""
    await sqlite.reopen(max_entries=1)
    await sqlite.store(create(9, "full"))
    calls = [(message(1, id=name), call(name[2:3])) for name in ("t/0/1", "t/1/1")]
    letter = DeadLetter(message(2, id="t/0/2"), "undecodable", "")
    positions = {"t/0": Position(2, START_MS), "t/1": Position(1, START_MS)}
    adding = asyncio.ensure_future(sqlite.outbox.add(intake_of(*calls, dead=[letter], positions=positions)))
    await asyncio.wait([adding], timeout=0.05)
    await sqlite.outbox.withdraw("orders", withdrawn)
    await sqlite.outbox.withdraw("others", ["t/1"])
    if len(withdrawn) == 1:
        assert not adding.done()
        await sqlite.settle(Verdict.DELIVERED, *await sqlite.pending())
    waiting = asyncio.ensure_future((await soon(adding)).wait())
    await asyncio.wait([waiting], timeout=LIMIT_SECONDS)
    assert waiting.cancelled()
    stored = await sqlite.outbox.stored("orders", ["t/0", "t/1"])
    kept = [name for name in ("t/0", "t/1") if stored[name].last is not None]
    assert kept == [name for name in ("t/0", "t/1") if name not in withdrawn]
    assert [entry.message_id for entry in await sqlite.pending() if entry.message_id.startswith("t/")] == [
        f"{name}/1" for name in kept
    ]
    assert sqlite.dead_letters() == []


# --- depth -----------------------------------------------------------------------------------------------------------


async def test_depth_asks_nobody(sqlite: Subject) -> None:
    """A scrape costs no statement in the event loop, and is answered before ``open`` and after ``close``, too."""
    assert SqliteOutbox(SqliteSettings(path=sqlite.path), clock=sqlite.clock).depth() == Depth(0, 0, 0, 0)
    await sqlite.store(*(create(n, f"i{n}", workflow=f"w{n}") for n in range(20)))
    statements: list[str] = []
    sqlite.outbox._reader._connection.set_trace_callback(statements.append)  # type: ignore[attr-defined]
    assert sqlite.outbox.depth() == Depth(20, 0, 0, START_MS)
    assert statements == []
    await sqlite.outbox.close()
    assert sqlite.outbox.depth() == Depth(20, 0, 0, START_MS)


async def test_held_lanes_cost_the_others_no_transaction(sqlite: Subject) -> None:
    """Reading what nothing holds back, and unparking where nothing is parked, are no work for the writer."""
    await sqlite.store(event(1, "a"), event(2, "b"))
    held, parked = await sqlite.pending()
    await sqlite.settle(RETRY, held, at_ms=START_MS + 50)
    await sqlite.settle(PARK, parked, at_ms=START_MS + 50)
    await sqlite.store(create(3, "c"), event(4, "d"))
    begun: list[str] = []
    sqlite.outbox._writer._store._connection.set_trace_callback(begun.append)  # type: ignore[attr-defined]
    assert ids(await sqlite.pending(after=parked.seq)) == ["3", "4"]
    await soon(sqlite.outbox.unpark(ORDERS, ["c"]))
    assert begun == []
    await sqlite.store(event(5, "a"), create(6, "e"))
    assert ids(await sqlite.pending(after=parked.seq)) == ["3", "4", "6"]
    await soon(sqlite.outbox.unpark(ORDERS, ["b"]))
    assert ids(await sqlite.due()) == ["2"]


async def test_the_oldest_that_waits_is_not_dead(sqlite: Subject) -> None:
    """A dead letter that blocks its lane is nobody's backlog, what it holds back is; before and after a restart."""
    blocking = Policy("pay", blocks_lane=True).encode()
    for n, calls in enumerate(([event(1, "a", policy=blocking)], [event(2, "a"), event(3, "b")])):
        await soon((await sqlite.outbox.add(intake_of(*calls)._replace(received_ms=START_MS + n))).wait())
    [first, behind, other] = await sqlite.pending()
    await sqlite.settle(DEAD, first, reason="rejected")
    await sqlite.settle(RETRY, behind, at_ms=START_MS + 50, attempted=False)
    assert sqlite.outbox.depth().oldest_ms == START_MS + 1
    await sqlite.reopen()
    await sqlite.settle(DELIVERED, behind, other)
    depth = sqlite.outbox.depth()
    assert (depth.oldest_ms, depth.blocked, depth.ready, depth.later) == (0, 1, 0, 0)


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


async def test_the_file_tells_how_large_it_is_and_what_it_left_out(sqlite: Subject) -> None:
    """Bytes with the log, the bound, no failed transaction; a message that comes again is counted by its source."""
    wrote: list[float] = []
    counts = sqlite.outbox.counts  # type: ignore[attr-defined]  # of this outbox alone
    counts.wrote = wrote.append
    again = message(1, id="m1", redelivered=True)
    for _ in range(3):
        await soon((await sqlite.outbox.add(intake_of((again, call("i")), source="payments"))).wait())
    assert on_disk(sqlite.path) >= sqlite.path.stat().st_size > 0
    assert (counts.write_errors, counts.duplicates) == (0, {"payments": 2})
    assert len(wrote) >= 3
    assert all(0 < seconds < 20 for seconds in wrote)
