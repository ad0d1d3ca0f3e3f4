"""What the caller had no room for, and fetches when it has: in every outbox."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.call import Operation
from bridge.outbox.base import AWAY_MS, Queue, Verdict
from tests.outbox.subjects import ORDERS, START_MS, Subject, create, event, ids, soon

if TYPE_CHECKING:
    from collections.abc import Collection

    from bridge.outbox.base import Entry

DELIVERED, RETRY, PARK = Verdict.DELIVERED, Verdict.RETRY, Verdict.PARK
EVENTS = (ORDERS.workflow, Operation.EVENT)
HOUR_MS = 3_600_000


async def give_away(subject: Subject, *entries: Entry, verdict: Verdict = RETRY) -> None:
    await subject.settle(verdict, *entries, reason="away", at_ms=AWAY_MS, attempted=False)


async def fetched(
    subject: Subject, limit: int = 100, without: Collection[tuple[str, str]] = (), queue: Queue = ORDERS
) -> tuple[list[str], bool]:
    """The numbers of what is fetched, and whether there may be more."""
    found = await soon(subject.outbox.fetch(queue, limit, without))
    return ids(found.entries), found.more


async def test_what_is_away_comes_when_it_is_fetched(subject: Subject) -> None:
    """In order, as many as are wanted, of the queue and but for the calls that are named; nothing else brings it."""
    await subject.store(*(event(n, f"i-{n}") for n in range(4)), create(4, "c"), create(5, "x", workflow="other"))
    other = Queue("main", "other")
    await give_away(subject, *await subject.pending(), *await subject.pending(other))
    assert list(subject.outbox.queues()) == []
    assert subject.outbox.depth()[:3] == (0, 6, 0)
    await soon(subject.outbox.recall(()))
    await soon(subject.outbox.clock_set(HOUR_MS))
    await soon(subject.outbox.clock_set(-HOUR_MS))
    subject.clock.now_ms += 1_000 * HOUR_MS
    assert await subject.due() == []
    assert await fetched(subject, without=[EVENTS]) == (["4"], False)
    assert await fetched(subject, without=[EVENTS]) == ([], False)
    assert await fetched(subject, 3) == (["0", "1", "2"], True)
    assert subject.outbox.depth()[:3] == (4, 2, 0)
    assert await fetched(subject, 3) == (["3"], False)
    assert await fetched(subject, queue=Queue("main", "unknown")) == ([], False)
    assert await fetched(subject, queue=other) == (["5"], False)


async def test_what_is_away_holds_its_lane(subject: Subject) -> None:
    """Nothing passes it; what is fetched before the first of its lane waits behind it. It has used up nothing."""
    await subject.store(event(1, "a"), event(2, "a"), create(3, "a"))
    first, second, third = await subject.pending()
    await give_away(subject, first, second, third)
    await subject.store(create(4, "a"), create(5, "b"))
    assert ids(await subject.pending()) == ["5"]
    assert await fetched(subject, without=[EVENTS]) == ([], False)
    found = await soon(subject.outbox.fetch(ORDERS, 1, ()))
    assert [(e.message_id[-1], e.attempts, e.waited_ms) for e in found.entries] == [("1", 0, 0)]
    assert await fetched(subject) == ([], False)
    for number in "234":
        await subject.settle(DELIVERED, *found.entries)
        found = found._replace(entries=await subject.due())
        assert ids(found.entries) == [number]


async def test_what_was_parked_is_away_as_that(subject: Subject) -> None:
    """Creates pass it, and their success does not bring it; it is counted, and told when it comes."""
    await subject.store(event(1, "a"), event(2, "b"), create(3, "a"))
    entries = await subject.pending()
    await subject.settle(PARK, *entries[:2], at_ms=START_MS + 10, waited_ms=10)
    subject.clock.now_ms += 10
    due = await subject.due()
    assert [entry.parked for entry in [*entries, *due]] == [False, False, False, True, True]
    await give_away(subject, *due, verdict=PARK)
    assert subject.outbox.depth().parked == 2
    await subject.settle(DELIVERED, entries[2])
    await soon(subject.outbox.unpark(ORDERS, ["a"]))
    assert await subject.due() == []
    found = await soon(subject.outbox.fetch(ORDERS, 9, ()))
    assert [(entry.instance_id, entry.parked, entry.waited_ms) for entry in found.entries] == [
        ("a", True, 10),
        ("b", True, 10),
    ]
    assert subject.outbox.depth().parked == 0


async def test_a_process_knows_what_an_earlier_one_gave_back(subject: Subject) -> None:
    """By its queues; what lies behind entries that were not read yet goes back to its place among them."""
    await subject.store(create(1, "a"), create(2, "b"), create(3, "a"), create(4, "c", workflow="other"))
    entries = await subject.pending()
    await give_away(subject, entries[1])
    await subject.reopen()
    if not subject.durable:
        assert list(await soon(subject.outbox.away())) == []
        return
    assert list(await soon(subject.outbox.away())) == [ORDERS]
    assert await fetched(subject) == ([], False)
    assert ids(await subject.pending()) == ["1", "2", "3"]
    assert list(await soon(subject.outbox.away())) == []
