"""What only the memory outbox promises: the broker keeps a message until its last call is safe."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from bridge.errors import OutboxError
from bridge.message import Position, Stored
from bridge.outbox.base import DeadLetter, Settlement, Verdict
from bridge.outbox.memory import MemoryOutbox
from bridge.outbox.settings import MemorySettings
from tests.outbox.subjects import (
    LIMIT_SECONDS,
    ORDERS,
    START_MS,
    Clock,
    DeadLetters,
    Subject,
    call,
    create,
    ids,
    intake_of,
    message,
    soon,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.call import Call
    from bridge.message import Message
    from bridge.outbox.base import Outbox

DELIVERED, RETRY, PARK, DEAD = Verdict.DELIVERED, Verdict.RETRY, Verdict.PARK, Verdict.DEAD


async def turns(count: int = 20) -> None:
    """Let everything run that can."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_dead_call_is_safe_when_its_letter_is_published() -> None:
    """Neither ``settle`` nor the receipt ends before the broker has confirmed the letter."""
    letters = DeadLetters()
    outbox = MemoryOutbox(MemorySettings(), letters, clock=Clock())
    await outbox.open()
    receipt = await outbox.add(intake_of(create(1, "a"), create(2, "b")))
    first, second = await outbox.pending(ORDERS, 0, 10)
    letters.gate.clear()
    settling = asyncio.ensure_future(
        outbox.settle([Settlement(first, DELIVERED), Settlement(second, DEAD, "rejected")])
    )
    waiting = asyncio.ensure_future(receipt.wait())
    await turns()
    assert not settling.done()
    assert not waiting.done()
    letters.gate.set()
    await soon(settling)
    await soon(waiting)
    assert [letter.reason for letter in letters.letters] == ["rejected"]
    await outbox.close()


async def test_letters_make_room_when_they_are_published() -> None:
    """They count as kept until then; what waited for their place goes on, though no call was settled."""
    letters = DeadLetters()
    outbox = MemoryOutbox(MemorySettings(max_entries=2), letters, clock=Clock())
    await outbox.open()
    letters.gate.clear()
    await outbox.add(intake_of(dead=[DeadLetter(message(number), "undecodable", "") for number in (1, 2)]))
    adding = asyncio.ensure_future(outbox.add(intake_of(create(3, "a"))))
    await turns()
    assert not adding.done()
    letters.gate.set()
    await soon(adding)
    await outbox.close()


async def fits(outbox: Outbox, number: int) -> bool:
    """Whether there is room for another call; it is taken in, or its place in the queue is given up."""
    adding = asyncio.ensure_future(outbox.add(intake_of(create(number, f"x-{number}", body=b""))))
    await turns()
    done = adding.done()
    adding.cancel()
    await asyncio.wait([adding])
    return done


@pytest.mark.parametrize("end", [DELIVERED, DEAD, "withdrawn"])
async def test_bytes_are_bounded_too(memory: Subject, end: Verdict | str) -> None:
    """A message counts once, whatever it becomes, and as long as one of its calls is held; then there is room again."""
    await memory.reopen(max_bytes=1_000)
    outbox, large = memory.outbox, message(1, b"x" * 700, id="t/0/1")
    calls = [(large, call(instance, body=b"y" * 100)) for instance in "abc"]
    await memory.store(*calls, positions=at(1))
    entries = await memory.pending()
    assert not await fits(outbox, 2)
    await memory.settle(DELIVERED, entries[0])
    await memory.store(create(3, "z", body=b"z" * 80))  # 980 of 1,000, and its own message
    assert await fits(outbox, 4)
    assert not await fits(outbox, 5)
    if end == "withdrawn":
        await soon(outbox.withdraw("orders", ["t/0"]))
    else:
        await memory.settle(Verdict(end), *entries[1:])
    await soon(memory.store(create(6, "large", body=b"z" * 700)))
    assert await fits(outbox, 7)


async def test_letters_that_wait_for_their_broker_count_with_their_bytes(memory: Subject) -> None:
    """A topic that does not confirm fills no memory."""
    await memory.reopen(max_bytes=1_000)
    memory.published.gate.clear()
    await memory.outbox.add(intake_of(dead=[DeadLetter(message(1, b"x" * 1_000), "undecodable", "")]))
    assert not await fits(memory.outbox, 2)
    memory.published.gate.set()
    await soon(memory.published.confirmed.wait())
    assert await fits(memory.outbox, 3)


async def test_dead_letters_of_a_batch_hold_its_receipt() -> None:
    """An undecodable message is published before the broker may forget it."""
    letters = DeadLetters()
    outbox = MemoryOutbox(MemorySettings(), letters, clock=Clock())
    await outbox.open()
    letters.gate.clear()
    receipt = await outbox.add(intake_of(dead=[DeadLetter(message(1), "undecodable", "")]))
    waiting = asyncio.ensure_future(receipt.wait())
    await turns()
    assert not waiting.done()
    letters.gate.set()
    await soon(waiting)
    await outbox.close()


async def test_without_a_queue_dead_letters_are_dropped_and_counted() -> None:
    """``dead_letters: discard`` delivers the rest."""
    outbox = MemoryOutbox(MemorySettings(), None, clock=Clock())
    await outbox.open()
    receipt = await outbox.add(intake_of(create(1, "a"), dead=[DeadLetter(message(2), "undecodable", "")]))
    [entry] = await outbox.pending(ORDERS, 0, 10)
    await outbox.settle([Settlement(entry, DEAD, "rejected")])
    await soon(receipt.wait())
    assert outbox.discarded == 2
    await outbox.close()


async def test_letters_that_cannot_be_published_stop_the_outbox() -> None:
    """The receipt and later calls raise: nothing is acknowledged."""

    class Broken(DeadLetters):
        async def publish(self, letters: Sequence[DeadLetter]) -> None:  # noqa: ARG002  the contract's name
            raise OutboxError("no such topic")

    outbox = MemoryOutbox(MemorySettings(), Broken(), clock=Clock())
    await outbox.open()
    receipt = await outbox.add(intake_of(dead=[DeadLetter(message(1), "undecodable", "")]))
    with pytest.raises(OutboxError, match="no such topic"):
        await soon(receipt.wait())
    with pytest.raises(OutboxError, match="no such topic"):
        await outbox.add(intake_of(create(2, "b")))
    await outbox.close()


async def test_a_withdrawn_partition_is_not_sent(memory: Subject) -> None:
    """Its entries are gone, ready and later ones; those of others, and of other sources, stay."""
    outbox = memory.outbox
    await memory.store(of("t/0", 1), of("t/1", 1), of("t/0", 2), positions=at(2))
    await memory.store((message(1, id="t/0/1", source="other"), call("other")), source="other", positions=at(1))
    entries = await memory.pending()
    await memory.settle(RETRY, entries[0], at_ms=START_MS)
    await soon(outbox.withdraw("orders", ["t/0"]))
    assert [entry.message_id for entry in outbox.begin(entries)] == ["t/1/1", "t/0/1"]
    assert outbox.begin(await memory.due()) == []
    assert [entry.source for entry in await memory.pending()] == ["orders", "other"]
    assert outbox.depth()[:2] == (2, 0)


@pytest.mark.parametrize("end", [DELIVERED, RETRY, PARK, DEAD, "back"])
async def test_withdraw_waits_for_what_is_in_flight(memory: Subject, end: Verdict | str) -> None:
    """However the call ends, it is not sent again here."""
    outbox = memory.outbox
    await memory.store(of("t/0", 1), of("t/0", 2), positions=at(2))
    flying = outbox.begin((await memory.pending())[:1])
    withdrawing = asyncio.ensure_future(outbox.withdraw("orders", ["t/0"]))
    await turns()
    assert not withdrawing.done()
    assert outbox.begin(flying) == []
    if isinstance(end, Verdict):
        await memory.settle(end, *flying, at_ms=START_MS)
    else:
        outbox.back(flying)
    await soon(withdrawing)
    assert outbox.depth()[:2] == (0, 0)
    assert len(memory.dead_letters()) == (end is DEAD)


async def test_a_receipt_of_withdrawn_messages_never_resolves(memory: Subject) -> None:
    """Waiting for it ends by cancellation; a batch whose calls were all in flight resolves."""
    outbox = memory.outbox
    dropped = await outbox.add(intake_of(of("t/0", 1), of("t/0", 2), positions=at(2)))
    whole = await outbox.add(intake_of(of("t/0", 3), positions=at(3)))
    entries = await memory.pending()
    flying = outbox.begin([entries[0], entries[2]])
    waiting = asyncio.ensure_future(dropped.wait())
    withdrawing = asyncio.ensure_future(outbox.withdraw("orders", ["t/0"]))
    await turns()
    await memory.settle(DELIVERED, *flying)
    await soon(withdrawing)
    await soon(whole.wait())
    await asyncio.wait([waiting], timeout=LIMIT_SECONDS)
    assert waiting.cancelled()


async def test_a_withdrawn_partition_is_forgotten(memory: Subject) -> None:
    """What was dropped has to come again: nothing counts as stored."""
    receipt = await memory.outbox.add(intake_of(of("t/0", 1), positions=at(1)))
    await memory.settle(DELIVERED, *await memory.pending())
    await soon(receipt.wait())
    assert (await memory.outbox.stored("orders", ["t/0"]))["t/0"].last == Position(1, START_MS)
    await memory.outbox.withdraw("orders", ["t/0"])
    assert await memory.outbox.stored("orders", ["t/0"]) == {"t/0": Stored(None, None)}


async def test_only_what_was_delivered_counts_as_stored(memory: Subject) -> None:
    """The unbroken run of batches from the front; a crash loses the rest, so the broker has to give it again."""
    receipts = [await memory.outbox.add(intake_of(of("t/0", n), positions=at(n))) for n in range(3)]
    entries = await memory.pending()
    await memory.settle(DELIVERED, entries[1])
    await soon(receipts[1].wait())
    assert (await memory.outbox.stored("orders", ["t/0"]))["t/0"].last is None
    await memory.settle(DELIVERED, entries[0])
    assert (await memory.outbox.stored("orders", ["t/0"]))["t/0"].last == Position(1, START_MS)


async def test_when_nothing_is_sent_any_more_nobody_waits_for_what_is_parked(memory: Subject) -> None:
    """The receipt of a batch with a call that is parked or ready ends at once, and the broker is not told."""
    receipts = [await memory.outbox.add(intake_of(create(number, f"i{number}"))) for number in range(2)]
    waiting = [asyncio.ensure_future(receipt.wait()) for receipt in receipts]
    (first, _) = await memory.outbox.pending(ORDERS, 0, 10)
    await memory.outbox.settle([Settlement(first, PARK, at_ms=START_MS + 1_000_000)])
    assert isinstance(memory.outbox, MemoryOutbox)
    memory.outbox.rest()
    done, _ = await asyncio.wait(waiting, timeout=0.1)
    assert [task.cancelled() for task in done] == [True, True]


async def test_the_end_fails_open_receipts(memory: Subject) -> None:
    """What was not delivered is still with the broker; nobody waits for ever."""
    receipt = await memory.outbox.add(intake_of(create(1, "a")))
    waiting = asyncio.ensure_future(receipt.wait())
    await turns()
    await memory.outbox.close()
    with pytest.raises(OutboxError, match="closed"):
        await soon(waiting)


async def test_a_batch_larger_than_the_outbox_is_taken_alone(memory: Subject) -> None:
    """It could never fit; it does not wait for ever."""
    await memory.reopen(max_entries=2)
    await memory.store(*(create(n, f"i{n}") for n in range(5)))
    assert ids(await memory.pending()) == ["0", "1", "2", "3", "4"]


def of(partition: str, number: int) -> tuple[Message, Call]:
    return message(number, id=f"{partition}/{number}"), call(f"{partition}-{number}".replace("/", "-"))


def at(offset: int) -> dict[str, Position]:
    return {"t/0": Position(offset, START_MS)}
