"""What becomes of the memory outbox and of dispatch's window when partitions are taken away, and what comes again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from bridge.dispatch.loading import Loader
from bridge.message import Position, Stored
from bridge.outbox.base import DeadLetter, Entry, Settlement, Verdict
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
from tests.outbox.test_memory import at, of, turns

if TYPE_CHECKING:
    from bridge.call import Call
    from bridge.message import Message

DELIVERED, RETRY, PARK, DEAD = Verdict.DELIVERED, Verdict.RETRY, Verdict.PARK, Verdict.DEAD


class Sending:
    """Loads and begins as the dispatcher does."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.loader = Loader(subject.outbox, subject.clock)

    async def take(self) -> list[Entry]:
        """All that may go now, begun; what is withdrawn is settled in the window."""
        self.loader.work_arrived()
        await soon(self.loader.refill(lambda *_: False))
        window = self.loader.windows[ORDERS]
        going: list[Entry] = []
        while entries := [
            entry for heads in [*window.creates.values(), *window.singles.values()] for entry in heads.pop(100, 1 << 20)
        ]:
            held = self.subject.outbox.begin(entries)
            window.settled([entry for entry in entries if entry not in held])
            going += held
        return going

    async def settle(self, verdict: Verdict, *entries: Entry) -> None:
        at_ms = self.subject.clock.now_ms + 60_000
        await soon(self.loader.settle(ORDERS, [Settlement(entry, verdict, "x", at_ms=at_ms) for entry in entries]))

    @property
    def size(self) -> int:
        return self.loader.windows[ORDERS].size


def one_lane(*numbers: int) -> list[tuple[Message, Call]]:
    return [(message(number, id=f"t/0/{number}"), event(number, "x")[1]) for number in numbers]


# --- lanes of the window ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verdict", [RETRY, PARK])
@pytest.mark.parametrize("flying", [False, True], ids=["settled before", "in flight"])
async def test_a_withdrawn_call_frees_its_lane(memory: Subject, verdict: Verdict, flying: bool) -> None:  # noqa: FBT001
    """Whoever waits for it to come back is given it, learns that it is gone, and sends what came again, in order."""
    sending = Sending(memory)
    await memory.store(*one_lane(0, 1), positions=at(1))
    [first] = await sending.take()
    if not flying:
        await sending.settle(verdict, first)
    withdrawing = asyncio.ensure_future(memory.outbox.withdraw("orders", ["t/0"]))
    await turns()
    assert withdrawing.done() != flying
    if flying:
        await sending.settle(verdict, first)
    await soon(withdrawing)
    assert memory.outbox.depth()[:2] == (0, 0)
    await memory.store(*one_lane(0, 1), positions=at(1))
    sent = []
    while entries := await sending.take():
        sent += ids(entries)
        await sending.settle(DELIVERED, *entries)
    assert sent == ["0", "1"]
    assert sending.size == 0
    assert memory.outbox.next_due_ms() is None


async def test_the_dispatcher_is_woken_for_what_is_gone(memory: Subject) -> None:
    """Its lane would wait for the retry's own time otherwise, long after the messages came again."""
    await memory.store(*one_lane(0, 1), positions=at(1))
    [first, _] = await memory.pending()
    await memory.settle(RETRY, first, at_ms=START_MS + 60_000)
    await soon(memory.outbox.wait_for_work())
    waiting = asyncio.ensure_future(memory.outbox.wait_for_work())
    await turns()
    assert not waiting.done()
    await memory.outbox.withdraw("orders", ["t/0"])
    await soon(waiting)
    next_due = memory.outbox.next_due_ms()
    assert next_due is not None
    assert next_due <= START_MS
    assert ids(await memory.due()) == ["0"]
    assert await memory.due() == []


async def test_what_was_never_given_does_not_come_back(memory: Subject) -> None:
    """Delayed ones, and those that a lane held back, are unknown to whoever sends."""
    delayed = message(1, id="t/0/1"), call("a", not_before_ms=START_MS + 5)
    await memory.store(delayed, *one_lane(2, 3), positions=at(3))
    [first] = await memory.pending(limit=1)
    await memory.settle(RETRY, first, at_ms=START_MS + 60_000)
    assert await memory.pending(after=first.seq) == []
    await memory.outbox.withdraw("orders", ["t/0"])
    memory.clock.now_ms += 5
    assert ids(await memory.due()) == ["2"]


async def test_what_is_gone_does_not_free_a_lane_that_another_holds(memory: Subject) -> None:
    """A retry of another source, before it in the lane, still waits."""
    other = message(0, id="t/0/0", source="other"), event(0, "x")[1]
    await memory.store(other, source="other", positions=at(0))
    await memory.store(*one_lane(1), positions=at(1))
    await memory.settle(RETRY, *await memory.pending(), at_ms=START_MS + 60_000)
    await memory.outbox.withdraw("orders", ["t/0"])
    assert await memory.due() == []
    memory.clock.now_ms += 60_000
    assert ids(await memory.due()) == ["0"]


async def test_nothing_passes_what_is_still_to_be_given_back(memory: Subject) -> None:
    """While some of a queue's are to be given once more, later entries of the queue wait; then they are told of."""
    lanes = [(message(n, id=f"t/0/{n}"), call(f"i{n}")) for n in range(3)]
    await memory.store(*lanes, positions=at(2))
    await memory.settle(RETRY, *await memory.pending(), at_ms=START_MS + 60_000)
    await memory.outbox.withdraw("orders", ["t/0"])
    await memory.store(*lanes, positions=at(2))
    assert ids(await memory.due(limit=2)) == ["0", "1"]
    assert await memory.pending() == []
    await soon(memory.outbox.wait_for_work())
    assert ids(await memory.due(limit=2)) == ["2"]
    await soon(memory.outbox.wait_for_work())
    assert ids(await memory.pending()) == ["0", "1", "2"]


# --- batches that wait for room --------------------------------------------------------------------------------------


async def test_a_batch_that_waited_across_a_withdrawal_is_not_taken(memory: Subject) -> None:
    """Neither its calls nor its position: what came before it was dropped, and comes again with it."""
    await memory.reopen(max_entries=2)
    await memory.store(of("t/0", 0), of("t/0", 1), positions=at(1))
    letter = DeadLetter(message(3, id="t/0/3"), "undecodable", "")
    adding = asyncio.ensure_future(memory.outbox.add(intake_of(of("t/0", 2), dead=[letter], positions=at(3))))
    await turns()
    assert not adding.done()
    await soon(memory.outbox.withdraw("orders", ["t/0"]))
    waiting = asyncio.ensure_future((await soon(adding)).wait())
    await asyncio.wait([waiting], timeout=LIMIT_SECONDS)
    assert waiting.cancelled()
    assert await memory.pending() == []
    assert memory.dead_letters() == []
    assert await memory.outbox.stored("orders", ["t/0"]) == {"t/0": Stored(None, None)}
    await memory.store(of("t/0", 0), positions=at(0))
    await memory.settle(DELIVERED, *await memory.pending())
    assert (await memory.outbox.stored("orders", ["t/0"]))["t/0"].last == Position(0, START_MS)


async def test_it_does_not_go_on_waiting_for_room(memory: Subject) -> None:
    """The reader of its source is needed: another source's calls fill the outbox."""
    await memory.reopen(max_entries=2)
    await memory.store(*(create(n, f"i{n}") for n in range(2)), source="other")
    adding = asyncio.ensure_future(memory.outbox.add(intake_of(of("t/0", 2), positions=at(2))))
    await turns()
    assert not adding.done()
    await memory.outbox.withdraw("orders", ["t/0"])
    await soon(adding)
    assert len(await memory.pending()) == 2


@pytest.mark.parametrize(("source", "partition"), [("other", "t/0"), ("orders", "t/1")])
async def test_it_is_taken_when_others_were_withdrawn(memory: Subject, source: str, partition: str) -> None:
    """Partitions of the same name in another source, and others of the same source."""
    await memory.reopen(max_entries=2)
    await memory.store(create(0, "a"), create(1, "b"))
    adding = asyncio.ensure_future(memory.outbox.add(intake_of(of("t/0", 2), positions=at(2))))
    await turns()
    await memory.outbox.withdraw(source, [partition])
    await memory.settle(DELIVERED, *await memory.pending())
    receipt = await soon(adding)
    await memory.settle(DELIVERED, *await memory.pending())
    await soon(receipt.wait())
    assert (await memory.outbox.stored("orders", ["t/0"]))["t/0"].last == Position(2, START_MS)


async def test_of_a_mixed_batch_the_kept_partitions_are_taken(memory: Subject) -> None:
    """Nobody would give their messages again; the batch is not acknowledged, and does not count as stored."""
    await memory.reopen(max_entries=2)
    await memory.store(create(0, "a"), create(1, "b"))
    positions = {"t/0": Position(2, START_MS), "t/1": Position(3, START_MS)}
    adding = asyncio.ensure_future(memory.outbox.add(intake_of(of("t/0", 2), of("t/1", 3), positions=positions)))
    await turns()
    await memory.outbox.withdraw("orders", ["t/0"])
    await memory.settle(DELIVERED, *await memory.pending())
    receipt = await soon(adding)
    [kept] = await memory.pending()
    assert kept.message_id == "t/1/3"
    await memory.settle(DELIVERED, kept)
    waiting = asyncio.ensure_future(receipt.wait())
    await asyncio.wait([waiting], timeout=LIMIT_SECONDS)
    assert waiting.cancelled()
    stored = await memory.outbox.stored("orders", ["t/0", "t/1"])
    assert stored == {"t/0": Stored(None, None), "t/1": Stored(None, None)}


# --- what comes again without positions ------------------------------------------------------------------------------


def payment(number: int, name: str = "m1", *, queue: str = "q", redelivered: bool = True) -> Message:
    return message(number, id=name, attributes={"queue": queue}, redelivered=redelivered)


async def test_what_comes_again_while_it_is_held_joins_it(memory: Subject) -> None:
    """After a reconnect: sent once, and every receipt resolves with the last call of the message."""
    first = payment(1, redelivered=False)
    receipts = [await memory.outbox.add(intake_of((first, call("a")), (first, call("b"))))]
    done, open_ = await memory.pending()
    await memory.settle(DELIVERED, done)
    await memory.settle(RETRY, open_, at_ms=START_MS)
    for _ in range(3):
        again = payment(1)
        receipts.append(await memory.outbox.add(intake_of((again, call("a")), (again, call("b")))))
    assert memory.outbox.depth()[:2] == (0, 1)
    waiting = [asyncio.ensure_future(receipt.wait()) for receipt in receipts]
    await turns()
    assert not any(one.done() for one in waiting)
    [retried] = await memory.due()
    await memory.settle(DELIVERED, retried)
    await soon(asyncio.gather(*waiting))
    again = payment(1)
    await memory.store((again, call("a")), (again, call("b")))
    assert [entry.instance_id for entry in await memory.pending()] == ["a", "b"]


@pytest.mark.parametrize(
    "other",
    [
        payment(2, redelivered=False),
        payment(2, queue="another"),
        payment(2, name="m2"),
        payment(2)._replace(has_identity=False),
    ],
    ids=["not marked", "another queue", "another id", "no identity"],
)
async def test_another_message_does_not_join(memory: Subject, other: Message) -> None:
    """Two messages that a producer gave the same id are two messages."""
    await memory.store((payment(1, redelivered=False)._replace(has_identity=other.has_identity), call("a")))
    await memory.store((other, call("b")))
    assert [entry.instance_id for entry in await memory.pending()] == ["a", "b"]


async def test_joining_needs_no_room(memory: Subject) -> None:
    """A full outbox does not keep the reader from what it holds already; new ones wait."""
    await memory.reopen(max_entries=2)
    await memory.store(
        (payment(1, "m1", redelivered=False), call("a")), (payment(2, "m2", redelivered=False), call("b"))
    )
    again = await soon(memory.outbox.add(intake_of((payment(1, "m1"), call("a")), (payment(2, "m2"), call("b")))))
    adding = asyncio.ensure_future(memory.outbox.add(intake_of((payment(3, "m3"), call("c")))))
    await turns()
    assert not adding.done()
    await memory.settle(DELIVERED, *await memory.pending())
    await soon(again.wait())
    await soon(adding)


async def test_every_receipt_fails_at_the_end(memory: Subject) -> None:
    """Also those that joined."""
    receipts = [await memory.outbox.add(intake_of((payment(1, redelivered=n > 0), call("a")))) for n in range(2)]
    await memory.outbox.close()
    for receipt in receipts:
        with pytest.raises(Exception, match="closed"):
            await soon(receipt.wait())
