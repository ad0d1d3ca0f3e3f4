"""What every outbox does; where they differ, ``subject.durable`` says so."""

from __future__ import annotations

import asyncio
import math

import pytest

from bridge.call import HIGH, Operation, Policy
from bridge.errors import OutboxError
from bridge.message import Message, Position, Stored
from bridge.outbox.base import PUT_OFF_MS, Attempt, DeadLetter, Depth, Entry, Queue, Settlement, Verdict
from tests.outbox.subjects import ORDERS, POLICY, START_MS, Subject, call, create, event, ids, intake_of, message, soon

DELIVERED, RETRY, PARK, DEAD = Verdict.DELIVERED, Verdict.RETRY, Verdict.PARK, Verdict.DEAD


# --- reading ---------------------------------------------------------------------------------------------------------


async def test_entries_come_in_order_of_arrival(subject: Subject) -> None:
    """``pending`` reads a queue on from any entry, never more than asked for."""
    await subject.store(*(create(n, f"i{n}") for n in range(5)))
    await subject.store(*(create(n, f"i{n}") for n in range(5, 9)))
    first = await subject.pending(limit=3)
    rest = await subject.pending(after=first[-1].seq)
    assert ids(first) == ["0", "1", "2"]
    assert ids(rest) == ["3", "4", "5", "6", "7", "8"]
    assert await subject.pending(after=rest[-1].seq) == []


async def test_an_entry_has_all_that_the_call_had(subject: Subject) -> None:
    """Every field of a call, and what dispatch needs of its message."""
    given = call("i1", Operation.EVENT, workflow="pay", lane="customer-7", priority=HIGH, not_before_ms=START_MS - 5)
    await subject.store((message(3, timestamp_ms=None), given))
    [entry] = await subject.pending(Queue("main", ""))
    assert entry == Entry(
        entry.seq, "event", "main", "pay", "i1", "paid", b'{"id":"i1"}', POLICY, "customer-7", HIGH, START_MS - 5,
        "orders", "shop.orders/0/3", START_MS, START_MS, 0, 0,
    )  # fmt: skip
    assert entry.queue == Queue("main", "")


async def test_queues_do_not_touch_each_other(subject: Subject) -> None:
    """One queue per target and workflow, one per target for calls with a lane of their own."""
    await subject.store(
        create(1, "a"),
        create(2, "a", workflow="other"),
        create(3, "a", target="second"),
        create(4, "a", lane="own"),
        create(5, "b"),
    )
    names = [ORDERS, Queue("main", "other"), Queue("second", "fulfil-order"), Queue("main", "")]
    assert set(subject.outbox.queues()) == set(names)
    assert [ids(await subject.pending(name)) for name in names] == [["1", "5"], ["2"], ["3"], ["4"]]
    assert await subject.pending(Queue("main", "unknown")) == []


async def test_an_empty_queue_is_not_among_those_with_entries(subject: Subject) -> None:
    """``queues`` forgets a queue with its last entry."""
    await subject.store(create(1, "a"))
    await subject.settle(DELIVERED, *await subject.pending())
    assert list(subject.outbox.queues()) == []


async def test_depth_counts_every_change(subject: Subject) -> None:
    """Ready, later and dead, and the arrival of the oldest."""
    assert subject.outbox.depth() == Depth(0, 0, 0, 0)
    await subject.store(*(create(n, f"i{n}") for n in range(6)), create(6, "x", not_before_ms=START_MS + 10))
    assert subject.outbox.depth() == Depth(6, 1, 0, START_MS)
    entries = await subject.pending()
    await subject.settle(DELIVERED, entries[0], entries[2])
    await subject.settle(RETRY, entries[1], at_ms=START_MS + 5)
    await subject.settle(PARK, entries[3], at_ms=START_MS + 5)
    await subject.settle(DEAD, entries[4], reason="rejected")
    dead, size = (1, subject.outbox.depth().dead_bytes) if subject.durable else (0, 0)
    assert bool(size) == subject.durable
    parked = {"parked": 1, "oldest_parked_ms": START_MS}
    assert subject.outbox.depth() == Depth(1, 3, dead, START_MS, **parked, dead_bytes=size)
    subject.clock.now_ms += 5
    assert len(await subject.due()) == 2
    assert subject.outbox.depth() == Depth(3, 1, dead, START_MS, dead_bytes=size)


async def test_depth_knows_the_oldest(subject: Subject) -> None:
    """Over all queues, ready and later, as it moves on; 0 when there is nothing."""
    outbox = subject.outbox
    for n in range(4):
        batch = intake_of(create(n, f"i{n}", workflow=f"w{n % 2}"))._replace(received_ms=START_MS + n)
        receipt = await outbox.add(batch)
        if subject.durable:
            await soon(receipt.wait())
    first, third = await subject.pending(Queue("main", "w0"))
    second, fourth = await subject.pending(Queue("main", "w1"))
    assert outbox.depth().oldest_ms == START_MS
    await subject.settle(DELIVERED, first)
    assert outbox.depth().oldest_ms == START_MS + 1
    await subject.settle(RETRY, second, at_ms=START_MS)
    await subject.settle(DELIVERED, third)
    assert outbox.depth().oldest_ms == START_MS + 1
    await subject.settle(DEAD, *await subject.due())
    assert outbox.depth().oldest_ms == START_MS + 3
    if subject.durable:
        await subject.reopen()
        assert subject.outbox.depth().oldest_ms == START_MS + 3
    await subject.settle(DELIVERED, fourth)
    assert subject.outbox.depth().oldest_ms == 0


async def test_settling_what_is_gone_does_nothing(subject: Subject) -> None:
    """A verdict that comes twice changes nothing the second time."""
    await subject.store(create(1, "a"), create(2, "b"))
    first, second = await subject.pending()
    await subject.settle(DELIVERED, first)
    for verdict in Verdict:
        await subject.settle(verdict, first)
    assert await subject.pending() == [second]
    assert subject.outbox.depth() == Depth(1, 0, 0, START_MS)
    assert subject.dead_letters() == []


# --- lanes -----------------------------------------------------------------------------------------------------------


async def test_a_retry_holds_its_lane(subject: Subject) -> None:
    """Nothing of the lane is given before the retried entry is delivered; other lanes go on."""
    await subject.store(create(1, "a"), create(2, "b"))
    [held, other] = await subject.pending()
    await subject.settle(RETRY, held, at_ms=START_MS + 1_000)
    await subject.store(event(3, "a"), event(4, "b"), create(5, "a"))
    assert ids(await subject.pending(after=other.seq)) == ["4"]
    subject.clock.now_ms += 1_000
    [again] = await subject.due()
    assert again == held._replace(attempts=1)
    await subject.store(event(6, "a"))
    assert ids(await subject.pending(after=other.seq)) == ["4"]
    assert await subject.due() == []
    await subject.settle(DELIVERED, again)
    assert ids(await subject.due()) == ["3", "5", "6"]
    assert await subject.due() == []


@pytest.mark.parametrize("verdict", [DELIVERED, DEAD])
async def test_a_lane_goes_on_when_its_holder_is_gone(subject: Subject, verdict: Verdict) -> None:
    """Delivered or dead: what came after it is due, in order of arrival, however much it is."""
    await subject.store(create(0, "a"))
    [holder] = await subject.pending()
    await subject.settle(RETRY, holder, at_ms=START_MS)
    await subject.store(*(event(n, "a") for n in range(1, 101)))
    assert await subject.pending(after=holder.seq) == []
    [holder] = await subject.due()
    await subject.settle(verdict, holder, reason="x")
    came: list[str] = []
    while given := await subject.due():
        came += ids(given)
        for entry in given:
            await subject.settle(DELIVERED, entry)
    assert came == [str(n) for n in range(1, 101)]
    assert subject.outbox.depth()[:2] == (0, 0)


async def test_what_was_read_before_the_retry_can_be_handed_back(subject: Subject) -> None:
    """Entries settled RETRY behind another keep their place, and their attempts where none was made."""
    await subject.store(*(event(n, "a") for n in range(4)))
    first, *others = await subject.pending()
    await subject.settle(RETRY, first, at_ms=START_MS + 100)
    await subject.settle(RETRY, *others, at_ms=START_MS + 10, attempted=False)
    subject.clock.now_ms += 50
    assert await subject.due() == []
    subject.clock.now_ms += 50
    [again] = await subject.due()
    assert (ids([again]), again.attempts) == (["0"], 1)
    await subject.settle(DELIVERED, again)
    for expected in ("1", "2", "3"):
        given = [entry for entry in await subject.due() if entry.attempts == 0]
        assert ids(given)[:1] == [expected]
        await subject.settle(DELIVERED, given[0])
        for entry in given[1:]:
            await subject.settle(RETRY, entry, at_ms=START_MS, attempted=False)


async def test_a_parked_event_lets_only_creates_pass(subject: Subject) -> None:
    """Events and status changes keep their order behind it; the create that it waits for does not wait."""
    await subject.store(event(1, "a"))
    [parked] = await subject.pending()
    await subject.settle(PARK, parked, at_ms=START_MS + 60_000)
    await subject.store(event(2, "a"), create(3, "a"), event(4, "a"))
    [made] = await subject.pending(after=parked.seq)
    assert ids([made]) == ["3"]
    await subject.settle(DELIVERED, made)
    assert await subject.due() == []
    await soon(subject.outbox.unpark(ORDERS, ["a", "unknown"]))
    [parked] = await subject.due()
    assert (ids([parked]), parked.attempts) == (["1"], 1)
    await subject.settle(DELIVERED, parked)
    assert ids(await subject.due()) == ["2", "4"]


async def test_a_create_does_not_pass_what_is_not_freed_yet(subject: Subject) -> None:
    """A deep lane is freed a few at a time; what comes after it waits for all of it."""
    await subject.store(event(0, "a"))
    [holder] = await subject.pending()
    await subject.settle(RETRY, holder, at_ms=START_MS)
    await subject.store(*(event(n, "a") for n in range(1, 40)))
    assert await subject.pending(after=holder.seq) == []
    await subject.settle(DELIVERED, *await subject.due())
    came = ids(given := await subject.due())
    await subject.store(create(40, "a"))
    assert await subject.pending(after=holder.seq) == []
    while given:
        await subject.settle(DELIVERED, *given)
        came += ids(given := await subject.due())
    assert came == [str(n) for n in range(1, 41)]


async def test_unpark_concerns_parked_entries_of_these_lanes(subject: Subject) -> None:
    """Retries, delays and other lanes keep their times."""
    await subject.store(*(event(n, instance) for n, instance in enumerate("abc")))
    await subject.store(event(3, "d", not_before_ms=START_MS + 60_000))
    retried, parked, other = await subject.pending()
    await subject.settle(RETRY, retried, at_ms=START_MS + 60_000)
    await subject.settle(PARK, parked, other, at_ms=START_MS + 60_000)
    await soon(subject.outbox.unpark(ORDERS, ["a", "b", "d"]))
    assert ids(await subject.due()) == ["1"]


async def test_unpark_finds_every_lane_of_the_instance(subject: Subject) -> None:
    """Whichever lane a rule gave its calls; the same id of another workflow stays parked."""
    custom, alone = event(1, "a", lane="customer-7"), event(2, "a", lane="\x01none")
    await subject.store(custom, alone, event(3, "a"), event(4, "a", workflow="other"))
    parked = [
        *await subject.pending(),
        *await subject.pending(Queue("main", "")),
        *await subject.pending(Queue("main", "other")),
    ]
    assert len(parked) == 4
    await subject.settle(PARK, *parked, at_ms=START_MS + 60_000)
    await soon(subject.outbox.unpark(ORDERS, ["a"]))
    assert sorted(ids(await subject.due())) == ["1", "2", "3"]


async def test_a_delayed_entry_does_not_hold_its_lane(subject: Subject) -> None:
    """It is given when its time has come, and not before."""
    await subject.store(create(1, "a", not_before_ms=START_MS + 1_000), event(2, "a"), create(3, "b"))
    assert ids(await subject.pending()) == ["2", "3"]
    assert subject.outbox.next_due_ms() == START_MS + 1_000
    subject.clock.now_ms += 999
    assert await subject.due() == []
    subject.clock.now_ms += 1
    assert ids(await subject.due()) == ["1"]
    assert await subject.due() == []
    assert subject.outbox.next_due_ms() is None


async def test_a_delayed_entry_does_not_overtake_what_was_not_read_yet(subject: Subject) -> None:
    """Once due it takes its place in order of arrival, also behind a backlog."""
    await subject.store(create(1, "a"), create(2, "b"), create(3, "a", not_before_ms=START_MS + 10), create(4, "a"))
    [first] = await subject.pending(limit=1)
    subject.clock.now_ms += 10
    given = ids(await subject.due()) + ids(await subject.pending(after=first.seq))
    assert given == ["2", "3", "4"]


async def test_due_keeps_order_and_bounds(subject: Subject) -> None:
    """By time, at most as many as asked for, each once."""
    await subject.store(*(create(n, f"i{n}", not_before_ms=START_MS + 10 - n) for n in range(5)))
    subject.clock.now_ms += 10
    given = [ids(await subject.due(limit=2)) for _ in range(4)]
    assert [sorted(some) for some in given] == [["3", "4"], ["1", "2"], ["0"], []]


async def test_retry_after_retry_counts_attempts(subject: Subject) -> None:
    """Each call that was made counts; what was put off without a call does not."""
    await subject.store(create(1, "a"))
    [entry] = await subject.pending()
    for attempted in (True, False, True):
        await subject.settle(RETRY, entry, at_ms=START_MS, attempted=attempted)
        [entry] = await subject.due()
    assert entry.attempts == 2


async def test_what_a_call_has_waited_adds_up(subject: Subject) -> None:
    """By what each verdict says, also across a restart; what was put off without a call adds nothing."""
    await subject.store(create(1, "a"), create(2, "b"))
    [other, entry] = await subject.pending()
    for verdict, waited_ms in ((RETRY, 500), (PARK, 0), (PARK, 1_200)):
        await subject.settle(verdict, entry, at_ms=START_MS, attempted=waited_ms > 0, waited_ms=waited_ms)
        [entry] = await subject.due()
    assert entry.waited_ms == 1_700
    if subject.durable:
        await subject.reopen()
        assert await subject.due() == [], "what stands before it was not read yet: it is in its place again"
        [other, entry] = await subject.pending()
    assert (entry.waited_ms, other.waited_ms) == (1_700, 0)


async def test_what_is_unparked_early_has_not_waited_for_the_rest(subject: Subject) -> None:
    """A pause that is cut short counts for what it lasted, one that was over counts whole."""
    await subject.store(event(1, "a"), event(2, "b"))
    [early, late] = await subject.pending()
    await subject.settle(PARK, early, at_ms=START_MS + 1_000, waited_ms=1_025)
    await subject.settle(PARK, late, at_ms=START_MS + 300, waited_ms=325)
    subject.clock.now_ms += 400
    await soon(subject.outbox.unpark(ORDERS, ["a", "b"]))
    assert [entry.waited_ms for entry in await subject.due()] == [425, 325]


async def test_many_lanes_of_one_queue_are_held_at_once(subject: Subject) -> None:
    """Each lane waits for its own holder only."""
    await subject.store(*(create(n, f"i{n}") for n in range(50)))
    entries = await subject.pending()
    await subject.settle(RETRY, *entries[::2], at_ms=START_MS + 5)
    await subject.settle(DELIVERED, *entries[1::2])
    await subject.store(*(event(50 + n, f"i{n}") for n in range(50)))
    assert ids(await subject.pending(after=entries[-1].seq)) == [str(50 + n) for n in range(1, 50, 2)]
    subject.clock.now_ms += 5
    again = await subject.due()
    assert len(again) == 25
    await subject.settle(DELIVERED, *again)
    assert sorted(ids(await subject.due())) == sorted(str(50 + n) for n in range(0, 50, 2))


# --- dead letters ----------------------------------------------------------------------------------------------------

EVERY_TYPE = (
    ("bytes", b"\x00\xff\xfe"),
    ("text", "grün"),
    ("text", "again"),
    ("bytes", b""),
    ("int", -(2**63)),
    ("float", 0.1),
    ("inf", math.inf),
    ("true", True),
    ("false", False),
    ("none", None),
    ("", "an empty name"),
    ("lone", "\ud800"),
    ("huge", 2**70),
)


@pytest.mark.parametrize(
    "original",
    [
        message(1, b'{"order_id": 1}', EVERY_TYPE),
        message(1, None, key=None, timestamp_ms=None, attributes={}),
        message(1, b"", redelivered=True, has_identity=False, attributes={"exchange": "e", "routing_key": "grün"}),
        message(1, b"\x00\xff" * 5_000, key=b"\x00"),
    ],
    ids=["every header type", "tombstone", "empty", "binary"],
)
@pytest.mark.parametrize("fitting", [True, False], ids=["body inside the call's", "body apart"])
async def test_a_dead_letter_has_its_whole_original(subject: Subject, original: Message, fitting: bool) -> None:  # noqa: FBT001
    """Also after retries: body, key, headers with types and order, coordinates, byte for byte."""
    body = b'{"id":"a","params":%s}' % (original.body or b"null") if fitting else b"{}"
    sent = call("a", body=body, policy=Policy("order-created", config="0123456789ab").encode())
    await subject.store((original, sent), positions={"shop.orders/0": Position(1, START_MS)})
    [entry] = await subject.pending()
    for _ in range(2):
        await subject.settle(RETRY, entry, at_ms=START_MS)
        [entry] = await subject.due()
    await subject.settle(DEAD, entry, reason="rejected", detail="no such field")
    tried = [
        Attempt(START_MS, "", 0, ""),
        Attempt(START_MS, "", 0, ""),
        Attempt(START_MS, "rejected", 0, "no such field"),
    ]
    expected = DeadLetter(
        original, "rejected", "no such field", "order-created", sent, 3, START_MS, "0123456789ab", tuple(tried)
    )
    assert subject.dead_letters() == [expected]
    assert [type(value) for _, value in subject.dead_letters()[0].message.headers] == [
        type(value) for _, value in original.headers
    ]


async def test_calls_of_one_message_share_its_original(subject: Subject) -> None:
    """Each of them can die with it, whatever became of the others."""
    original = message(1, b"[1, 2, 3]", EVERY_TYPE)
    calls = [call(name, workflow=workflow) for name in "abc" for workflow in ("pick", "pack")]
    await subject.store(create(0, "x"), *((original, one) for one in calls), create(2, "y"))
    pick, pack = await subject.pending(Queue("main", "pick")), await subject.pending(Queue("main", "pack"))
    await subject.settle(DELIVERED, pick[0], pack[2])
    await subject.settle(DEAD, pick[1], reason="rejected")
    await subject.settle(RETRY, *pack[:2], at_ms=START_MS)
    await subject.settle(DEAD, *await subject.due(), reason="rejected")
    await subject.settle(DEAD, pick[2], reason="rejected")
    letters = subject.dead_letters()
    assert [letter.call for letter in letters] == [calls[2], calls[1], calls[3], calls[4]]
    assert [letter.message for letter in letters] == [original] * 4


async def test_dead_letters_of_a_batch_are_kept_with_it(subject: Subject) -> None:
    """What never became a call, and what could not be rendered, has its reason, rule and call."""
    letters = [
        DeadLetter(message(1, b"\xff", EVERY_TYPE), "undecodable", "not JSON", died_ms=START_MS, config="0123456789ab"),
        DeadLetter(message(2), "no_identity", "", "order-created", call("b"), 0, START_MS),
    ]
    await subject.store(create(3, "c"), dead=letters)
    if not subject.durable:
        await soon(subject.published.confirmed.wait())
    assert subject.dead_letters() == letters
    assert ids(await subject.pending()) == ["3"]


# --- receipts and room -----------------------------------------------------------------------------------------------


async def test_a_receipt_resolves_when_the_broker_may_forget(subject: Subject) -> None:
    """Stored, or delivered: nothing less; and as often as somebody asks."""
    receipt = await subject.outbox.add(intake_of(create(1, "a"), create(2, "b")))
    waiting = [asyncio.ensure_future(receipt.wait()) for _ in range(2)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    if not subject.durable:
        first, second = await subject.pending()
        await subject.settle(DELIVERED, first)
        assert not waiting[1].done()
        await subject.settle(DELIVERED, second)
    await soon(waiting[1])
    await soon(receipt.wait())


async def test_a_batch_without_calls_needs_no_delivery(subject: Subject) -> None:
    """Nothing matched: the broker may forget it, and its positions are known."""
    receipt = await subject.outbox.add(intake_of(positions={"shop.orders/0": Position(7, START_MS)}))
    await soon(receipt.wait())
    known = await soon(subject.outbox.stored("orders", ["shop.orders/0"]))
    assert known == {"shop.orders/0": Stored(Position(7, START_MS), None)}


async def test_add_waits_while_there_is_no_room(subject: Subject) -> None:
    """``max_entries`` holds intake back until something is delivered, and keeps the order of the batches."""
    await subject.reopen(max_entries=2)
    await subject.store(create(1, "a"), create(2, "b"))
    waiting = [asyncio.ensure_future(subject.outbox.add(intake_of(create(n, f"i{n}")))) for n in (3, 4)]
    done, _ = await asyncio.wait(waiting, timeout=0.05)
    assert not done
    first, second = await subject.pending()
    await subject.settle(DELIVERED, first)
    await soon(waiting[0])
    await subject.settle(DELIVERED, second)
    receipt = await soon(waiting[1])
    if subject.durable:
        await soon(receipt.wait())
    assert ids(await subject.pending()) == ["3", "4"]


async def test_a_closed_outbox_says_so(subject: Subject) -> None:
    """Calls raise instead of waiting; closing twice is no error."""
    await subject.outbox.close()
    await subject.outbox.close()
    with pytest.raises(OutboxError):
        await soon(subject.outbox.add(intake_of(create(1, "a"))))
    with pytest.raises(OutboxError):
        await soon(subject.outbox.wait_for_work())


# --- waking ----------------------------------------------------------------------------------------------------------


async def test_wait_for_work_returns_for_new_entries(subject: Subject) -> None:
    """At once for what came before the call, and once for what came."""
    await subject.store(create(1, "a"))
    await soon(subject.outbox.wait_for_work())
    waiting = asyncio.ensure_future(subject.outbox.wait_for_work())
    done, _ = await asyncio.wait([waiting], timeout=0.05)
    assert not done
    await subject.store(create(2, "b"))
    await soon(waiting)


async def test_wait_for_work_returns_when_something_is_due(subject: Subject) -> None:
    """For what is parked and freed, for what a lane held back, and for what time brings."""
    await subject.store(event(1, "a"), event(2, "b"))
    parked, retried = await subject.pending()
    await subject.settle(PARK, parked, at_ms=START_MS + 100_000)
    await subject.settle(RETRY, retried, at_ms=START_MS + 50)
    await soon(subject.outbox.wait_for_work())
    waiting = asyncio.ensure_future(subject.outbox.wait_for_work())
    subject.clock.now_ms += 50  # the timer was set by this clock and runs for as long
    await soon(waiting)
    assert ids(await subject.due()) == ["2"]
    waiting = asyncio.ensure_future(subject.outbox.wait_for_work())
    await soon(subject.outbox.unpark(ORDERS, ["a"]))
    await soon(waiting)
    assert ids(await subject.due()) == ["1"]


# --- positions -------------------------------------------------------------------------------------------------------


async def test_positions_are_remembered(subject: Subject) -> None:
    """The last message, and the next offset that the broker was told; unknown partitions are in the answer, too."""
    partitions = ["shop.orders/0", "shop.orders/1"]
    receipt = await subject.outbox.add(intake_of(create(1, "a"), positions={"shop.orders/0": Position(1, START_MS)}))
    await subject.settle(DELIVERED, *(await _given(subject)))
    await soon(receipt.wait())
    await subject.outbox.committed("orders", {"shop.orders/0": 2, "shop.orders/1": 9})
    known = await soon(subject.outbox.stored("orders", [*partitions, "new/0"]))
    assert known == {
        "shop.orders/0": Stored(Position(1, START_MS), 2),
        "shop.orders/1": Stored(None, 9),
        "new/0": Stored(None, None),
    }
    assert await soon(subject.outbox.stored("other", ["shop.orders/0"])) == {"shop.orders/0": Stored(None, None)}


async def test_a_reset_forgets_what_was_stored(subject: Subject) -> None:
    """Somebody moved the group: what is known starts anew at their offset."""
    receipt = await subject.outbox.add(intake_of(positions={"t/0": Position(50, START_MS), "t/1": Position(5, -1)}))
    await soon(receipt.wait())
    await subject.outbox.committed("orders", {"t/0": 51})
    await soon(subject.outbox.reset("orders", {"t/0": 10}))
    known = await soon(subject.outbox.stored("orders", ["t/0", "t/1"]))
    assert known == {"t/0": Stored(None, 10), "t/1": Stored(Position(5, -1), None)}


async def _given(subject: Subject) -> list[Entry]:
    while not (entries := await subject.pending()):
        await soon(subject.outbox.wait_for_work())
    return entries


# --- notes -----------------------------------------------------------------------------------------------------------


async def test_notes_are_kept(subject: Subject) -> None:
    """The newest of a name is given back at once; by the next process, if the outbox is durable."""
    assert subject.outbox.noted("quota") == ""
    subject.outbox.note("quota", "one")
    await subject.store(create(1, "a"))
    subject.outbox.note("quota", "two")
    subject.outbox.note("other", "three")
    assert subject.outbox.noted("quota") == "two"
    await subject.reopen()
    kept = [subject.outbox.noted(name) for name in ("quota", "other")]
    assert kept == (["two", "three"] if subject.durable else ["", ""])


HOUR_MS = 3_600_000


@pytest.mark.parametrize("by_ms", [HOUR_MS, -HOUR_MS])
async def test_a_clock_that_is_set_changes_no_span(subject: Subject, by_ms: int) -> None:
    """What waits for a span waits as long; for a time of day, until then; for an operator, for him. What is free is."""
    at_ms, noon = START_MS + 1_000, START_MS + HOUR_MS // 2
    await subject.store(
        event(1, "a"), event(2, "b"), event(3, "c"), event(4, "d"), event(5, "d"), create(6, "e", not_before_ms=noon)
    )
    entries = await subject.pending()
    await subject.settle(RETRY, entries[0], at_ms=at_ms)
    await subject.settle(PARK, entries[1], at_ms=at_ms)
    await subject.settle(RETRY, entries[2], at_ms=PUT_OFF_MS)
    await subject.settle(RETRY, entries[3], at_ms=at_ms)
    assert await subject.pending(after=entries[4].seq) == []
    await subject.settle(RETRY, entries[4], at_ms=at_ms)
    subject.clock.now_ms += by_ms
    await soon(subject.outbox.clock_set(by_ms))
    early = ids(await subject.due())
    subject.clock.now_ms += 1_000
    then = ids(await subject.due())
    subject.clock.now_ms = noon
    at_noon = ids(await subject.due())
    assert (early, then, at_noon) == ((["6"], ["1", "2", "4"], []) if by_ms > 0 else ([], ["1", "2", "4"], ["6"]))


@pytest.mark.parametrize("by_ms", [HOUR_MS, -HOUR_MS])
async def test_what_a_lane_has_freed_goes_whatever_the_clock_is_set_to(subject: Subject, by_ms: int) -> None:
    """It was due already."""
    await subject.store(event(1, "a"), event(2, "a"))
    entries = await subject.pending()
    await subject.settle(RETRY, entries[0], at_ms=START_MS)
    await subject.settle(RETRY, entries[1], reason="behind", at_ms=START_MS, attempted=False)
    [first] = await subject.due()
    assert await subject.due() == []  # the second is held back now
    await subject.settle(DELIVERED, first)
    subject.clock.now_ms += by_ms
    await soon(subject.outbox.clock_set(by_ms))
    assert ids(await subject.due()) == ["2"]


async def test_a_clock_that_is_set_takes_many_short_transactions(sqlite: Subject) -> None:
    """However much waits: all of it is due when it was to be."""
    await sqlite.store(*(event(n, f"i-{n}") for n in range(2_500)))
    await sqlite.settle(PARK, *await sqlite.pending(limit=2_500), at_ms=START_MS + 1_000)
    sqlite.clock.now_ms -= HOUR_MS
    await soon(sqlite.outbox.clock_set(-HOUR_MS))
    assert sqlite.outbox.next_due_ms() == sqlite.clock.now_ms + 1_000
    sqlite.clock.now_ms += 1_000
    assert len(await sqlite.due(limit=3_000)) == 2_500


DAY_MS = 86_400_000


async def renew(subject: Subject, number: int, *instance_ids: str) -> None:
    """Of each id another instance is made, in one transaction."""
    await subject.store(*(create(number, instance_id) for instance_id in instance_ids))
    entries, at_ms = await subject.pending(), subject.clock.now_ms
    new = [
        Settlement(e, DELIVERED, "renewed", settled_ms=at_ms, generation=f"{e.instance_id}-{number}") for e in entries
    ]
    await soon(subject.outbox.settle(new))


def newest(subject: Subject, *instance_ids: str) -> list[str]:
    return [subject.outbox.newest(ORDERS, instance_id) for instance_id in instance_ids]


async def test_the_newest_instance_of_an_id_is_known_for_a_time(subject: Subject) -> None:
    """Counted from when it was made, also across a restart; by an outbox that forgets nothing at its end."""
    await renew(subject, 1, "a", "b")
    subject.clock.now_ms += 300 * DAY_MS
    await renew(subject, 2, "b")
    await subject.reopen()
    assert newest(subject, "a", "b") == (["a-1", "b-2"] if subject.durable else ["a", "b"])
    subject.clock.now_ms += 101 * DAY_MS
    await subject.store(create(3, "c"))
    assert newest(subject, "a", "b") == (["a", "b-2"] if subject.durable else ["a", "b"])
    subject.clock.now_ms += 300 * DAY_MS
    await subject.store(create(4, "d"))
    assert newest(subject, "a", "b") == ["a", "b"]


async def test_newest_instances_are_forgotten_a_few_at_a_time(sqlite: Subject) -> None:
    """No transaction takes longer because many have become too old at once; all of them go, and 0 days keep them."""
    names = [f"i-{number}" for number in range(250)]
    await renew(sqlite, 1, *names)
    sqlite.clock.now_ms += 401 * DAY_MS
    await sqlite.reopen(generations_days=0)
    await sqlite.store(create(2, "other"))
    known = [sum(name != one for name, one in zip(newest(sqlite, *names), names, strict=True))]
    await sqlite.reopen()
    for number in range(3, 6):
        known.append(sum(name != one for name, one in zip(newest(sqlite, *names), names, strict=True)))
        await sqlite.store(create(number, "other"))
    assert (known, newest(sqlite, *names)) == ([250, 150, 50, 0], names)


async def test_what_was_put_off_is_due_when_it_is_recalled(subject: Subject) -> None:
    """But not the calls of the rules that are named; nothing is due by itself, and the lane is held meanwhile."""
    other = Policy("other").encode()
    await subject.store(event(1, "a"), event(2, "a"), event(3, "b", policy=other), event(4, "c"))
    entries = await subject.pending()
    put_off = [entry for entry in entries if entry.instance_id != "c" and entry.message_id[-1] != "2"]
    await subject.settle(RETRY, *put_off, reason="operator", at_ms=PUT_OFF_MS, attempted=False)
    await subject.settle(RETRY, entries[1], reason="behind", at_ms=START_MS, attempted=False)
    subject.clock.now_ms += 10**12
    assert await subject.due() == []
    await soon(subject.outbox.recall({"order-created"}))
    assert ids(await subject.due()) == ["3"]
    await soon(subject.outbox.recall(()))
    due = await subject.due()
    assert (ids(due), due[0].attempts, due[0].waited_ms) == (["1"], 0, 0)
    await subject.settle(DELIVERED, *due)
    assert ids(await subject.due()) == ["2"]
