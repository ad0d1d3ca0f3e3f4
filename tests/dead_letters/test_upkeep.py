"""What becomes of the dead letters that a file keeps: copied, let go when old, and not more than there is room."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from bridge.call import Policy
from bridge.dead_letters import upkeep
from bridge.dead_letters.upkeep import Copying, Expiry, Upkeep
from bridge.errors import OutboxError
from bridge.outbox.admin import SqliteOutboxAdmin
from bridge.outbox.base import DeadLetter, Verdict
from bridge.outbox.settings import SqliteSettings
from bridge.outbox.sqlite import SqliteOutbox
from tests.outbox.subjects import START_MS, DeadLetters, Subject, call, create, event, intake_of, message, soon

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


def letter(number: int, died_ms: int = START_MS) -> DeadLetter:
    return DeadLetter(message(number), "rejected", "no", "r", call("i"), died_ms=died_ms)


@pytest.fixture
async def subject(tmp_path: Path) -> AsyncIterator[Subject]:
    made = Subject("sqlite", tmp_path)
    await made.outbox.open()
    yield made
    await made.outbox.close()


async def bury(subject: Subject, *letters: DeadLetter) -> None:
    await soon((await subject.outbox.add(intake_of(dead=letters))).wait())


class Shaky(DeadLetters):
    """A broker that is not there for the first two tries, and once breaks while it is given letters."""

    def __init__(self) -> None:
        super().__init__()
        self.failures = ["open", "open", "publish"]

    async def open(self) -> None:
        if self.failures[:1] == ["open"]:
            del self.failures[0]
            raise OutboxError("no broker")

    async def publish(self, letters: object) -> None:
        if self.failures:
            self.failures.clear()
            raise OutboxError("gone")
        await super().publish(letters)  # type: ignore[arg-type]  # as it came


async def test_every_letter_is_copied(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    """In order, through failures of the broker, also after a restart; those that were there are not copied again."""
    for name in ("FIRST_WAIT_SECONDS", "LONGEST_WAIT_SECONDS", "LOOK_SECONDS"):
        monkeypatch.setattr(upkeep, name, 0.001)
    queue, counted = Shaky(), list[int]()
    admin = SqliteOutboxAdmin(subject.path)
    letters = [letter(number) for number in range(1, 151)]
    await bury(subject, *letters)

    async def copy_until(count: int) -> None:
        copying = asyncio.create_task(Copying(subject.outbox, admin, queue, counted.append).run())  # type: ignore[arg-type]  # an outbox with a file
        async with asyncio.timeout(20):
            while len(queue.letters) < count:
                await asyncio.sleep(0.001)
        copying.cancel()
        await asyncio.wait([copying])

    await copy_until(150)
    await subject.reopen()
    await bury(subject, letter(200), letter(201))
    await copy_until(152)
    assert queue.letters == [*letters, letter(200), letter(201)]
    assert sum(counted) == 152
    assert len(admin.dead_letter_numbers()) == 152


async def test_a_letter_that_dies_again_is_copied(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two looks it has taken the place of one that was sent again: as many letters, of as many bytes."""
    monkeypatch.setattr(upkeep, "LOOK_SECONDS", 0.001)
    queue = DeadLetters()
    await bury(subject, letter(1))
    copying = asyncio.create_task(
        Copying(subject.outbox, SqliteOutboxAdmin(subject.path), queue, lambda _: None).run()  # type: ignore[arg-type]  # an outbox with a file
    )
    async with asyncio.timeout(20):
        await queue.confirmed.wait()
        await asyncio.sleep(0.05)  # some looks
        before = subject.outbox.depth()
        await subject.outbox.ask(lambda store: (store.letters.discard(1), store.bring_in([letter(2)])))  # type: ignore[attr-defined]  # it has a file
        assert subject.outbox.depth() == before
        while len(queue.letters) < 2:
            await asyncio.sleep(0.001)
    copying.cancel()
    await asyncio.wait([copying])
    assert queue.letters == [letter(1), letter(2)]


async def test_old_letters_go(subject: Subject) -> None:
    """All that are older than said, however many; not one that blocks its lane."""
    await subject.store(event(1, "a", policy=Policy("r", blocks_lane=True).encode()), create(2, "b"))
    entries = await subject.pending()
    await subject.settle(Verdict.DEAD, *entries, reason="rejected", settled_ms=START_MS - 10_000)
    await bury(subject, *(letter(n, START_MS - 5_000) for n in range(1_200)), letter(9), letter(10, START_MS + 1))
    gone = list[int]()
    expiry = Expiry(subject.outbox, timedelta(seconds=4), subject.clock, gone.append)  # type: ignore[arg-type]  # an outbox with a file
    while await expiry.look():
        pass
    assert sum(gone) == 1_201
    left = subject.dead_letters()
    assert [one.message.id.rpartition("/")[2] for one in left] == ["1", "9", "10"]
    assert (subject.outbox.depth().dead, subject.outbox.depth().blocked) == (3, 1)
    assert await soon(Upkeep().run()) is None  # type: ignore[func-returns-value]  # that it returns is the point


async def test_intake_waits_when_there_are_too_many(subject: Subject) -> None:
    """Until somebody has seen to some; what dies meanwhile is kept all the same."""
    await subject.outbox.close()
    outbox = SqliteOutbox(SqliteSettings(path=subject.path), clock=subject.clock, dead_max_bytes=200)
    subject.outbox = outbox
    await outbox.open()
    await subject.store(create(1, "a"))
    await bury(subject, letter(2), letter(3))
    waiting = asyncio.create_task(outbox.add(intake_of(create(4, "b"))))
    (entry,) = await subject.pending()
    await subject.settle(Verdict.DEAD, entry, reason="rejected")
    assert (outbox.depth().dead, waiting.done()) == (3, False)
    await outbox.ask(lambda store: [store.letters.discard(number) for number in (1, 2, 3)])
    await soon((await soon(waiting)).wait())
    assert outbox.depth().ready == 1
