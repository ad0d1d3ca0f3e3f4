"""Processes that die of a message, played without a process: each life ends at the killer or at the end of the log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.caution.caution import Caution
from bridge.caution.marks import Mark, MarkFile, decode, encode
from bridge.caution.suspects import MOST_NAMES, NOBODY, Part, Suspects, Work, name_of
from bridge.message import Message, Position

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from bridge.sources.base import Batch

LIVES_PER_KILLER = 3  # deaths: two on a batch, one alone


@dataclass
class Given:
    """What a source gave."""

    messages: Sequence[Message]
    positions: Mapping[str, Position]

    async def ack(self) -> None:
        """Nobody calls it."""


class Died(BaseException):
    """Stands for SIGKILL: nothing that the process would still do is done."""


def of_kafka(number: int) -> Message:
    partition, offset = number % 2, number // 2
    place: dict[str, str | int] = {"partition": partition, "offset": offset}
    return Message("orders", f"t/{partition}/{offset}", "t", None, (), b"%d" % number, 1, place)


def of_rabbit(number: int) -> Message:
    return Message("orders", f"m{number}", "q", None, (), b"%d" % number, 1, {"queue": "q"}, redelivered=True)


def nameless(number: int) -> Message:
    return of_rabbit(number)._replace(id=f"made up {id(number)}", has_identity=False)


def batch_of(messages: Sequence[Message]) -> Batch:
    positions = {}
    for message in messages:
        if "offset" in message.attributes:
            partition, _, offset = message.id.rpartition("/")
            positions[partition] = Position(int(offset), 1)
    return Given(messages, positions)


class World:
    """What outlives the processes: the file, and what was stored, by number."""

    def __init__(self, path: Path, killers: set[int], make: object) -> None:
        self.path, self.killers, self.make = path, killers, make
        self.stored: list[int] = []
        self.dead: list[int] = []

    def live(self, numbers: Sequence[int], size: int) -> bool:
        """One process on what is not stored yet, in batches of a size; False: it died."""
        caution = Caution("orders", self.path)
        caution.open()
        for start in range(0, len(numbers), size):
            batch = batch_of([self.make(number) for number in numbers[start : start + size]])  # type: ignore[operator]
            for part in caution.parts(batch):
                try:
                    self._store(caution, part)
                except Died:
                    return False
        caution.close()
        return True

    def _store(self, caution: Caution, part: Part) -> None:
        numbers = [int(message.body or b"") for message in part.messages]
        if part.kills:
            self.dead += numbers
        else:
            with caution.at_work(part):
                if self.killers.intersection(numbers):
                    caution.close()  # the dead write nothing
                    raise Died
            self.stored += numbers
        caution.through(part)
        caution.safe(part)


@pytest.mark.parametrize("make", [of_kafka, of_rabbit, nameless])
@settings(deadline=None)
@given(
    count=st.integers(1, 60),
    killers=st.sets(st.integers(0, 59), max_size=3),
    sizes=st.lists(st.integers(1, 25), min_size=1, max_size=12),
)
def test_killers_are_found_and_nobody_else(
    tmp_path_factory: pytest.TempPathFactory, make: object, count: int, killers: set[int], sizes: list[int]
) -> None:
    """However the broker cuts its batches, and whichever messages kill: they end as dead letters, and nobody else does.

    The others are stored in their order, none twice, after a bounded number of deaths; then nobody is suspected.
    """
    killers = {number for number in killers if number < count}
    world = World(tmp_path_factory.mktemp("marks") / "orders", killers, make)
    deaths = 0
    while not world.live(
        [number for number in range(count) if number not in {*world.stored, *world.dead}], sizes[deaths % len(sizes)]
    ):
        deaths += 1
        assert deaths <= LIVES_PER_KILLER * len(killers), "a killer was not found in time"
    assert sorted(world.dead) == sorted(killers)
    assert world.stored == [number for number in range(count) if number not in killers]
    assert MarkFile(world.path).read() == Mark(NOBODY, None)


def test_deaths_at_different_messages_bury_nobody(tmp_path: Path) -> None:
    """Who is killed again and again, each time at work on something else, has no killer among its messages."""
    world = World(tmp_path / "orders", set(), of_kafka)
    for first in range(0, 200, 20):
        world.killers = {first + 10}  # each time whoever is just being looked into, when the process is shot
        assert not world.live(range(first, first + 20), 5)
        world.killers = set()
        assert world.live([n for n in range(first, first + 20) if n not in world.stored], 5)
    assert world.dead == []
    assert sorted(world.stored) == list(range(200))


def test_a_killer_that_comes_again_before_its_letter_is_safe_is_not_looked_into(tmp_path: Path) -> None:
    """The next process still knows it."""
    world = World(tmp_path / "orders", {3}, of_rabbit)
    for _ in range(LIVES_PER_KILLER):
        assert not world.live([n for n in range(6) if n not in world.stored], 6)
    for _ in range(2):
        caution = Caution("orders", tmp_path / "orders")
        caution.open()
        found = {
            part.messages[0].id for part in caution.parts(batch_of([of_rabbit(n) for n in range(3, 6)])) if part.kills
        }
        assert found == {"m3"}
        caution.close()


def test_without_a_place_nothing_is_remembered_or_written() -> None:
    """The memory outbox has no folder unless it is told of one."""
    caution = Caution("orders", None)
    caution.open()
    batch = batch_of([of_kafka(n) for n in range(4)])
    assert [len(part.messages) for part in caution.parts(batch)] == [4]
    with caution.at_work(Part(batch.messages, batch.positions)):
        pass


@pytest.mark.parametrize(
    "text", [b"", b"\n", b"{}\n", b"[[{},[],0,[]],nul", b"\x00" * 40, b"[1,2]\n", b"[[1,2,3,4],5]\n"]
)
def test_a_file_that_cannot_be_read_suspects_nobody(tmp_path: Path, text: bytes) -> None:
    """After the machine's own death anything may stand there: work begins as if there were nothing."""
    (tmp_path / "orders").write_bytes(text)
    caution = Caution("orders", tmp_path / "orders")
    caution.open()
    assert len(list(caution.parts(batch_of([of_kafka(n) for n in range(4)])))) == 1


def test_what_is_written_is_read_and_shorter_hides_longer(tmp_path: Path) -> None:
    """The newest line counts, whatever stood there."""
    file = MarkFile(tmp_path / "orders")
    long = Mark(Suspects({"t/0": 7}, frozenset("abc"), 2, ("x",)), Work({"t/1": 9}, ["n"] * MOST_NAMES, alone=False))
    file.write(encode(long))
    assert file.read() == long
    file.write(encode(Mark(NOBODY, None)))
    assert file.read() == Mark(NOBODY, None)
    assert decode(encode(long)[:-1]) is None


def test_the_name_of_a_message_without_identity_is_its_content() -> None:
    """The same message under another made-up id is known again, another one is not."""
    assert name_of(nameless(1)) == name_of(nameless(1)._replace(id="another"))
    assert name_of(nameless(1)) != name_of(nameless(2))


def test_a_file_that_cannot_be_written_is_gone_on_without(tmp_path: Path) -> None:
    """Its folder is a file: that is logged, and messages are taken in as ever."""
    (tmp_path / "folder").write_bytes(b"")
    caution = Caution("orders", tmp_path / "folder" / "orders")
    caution.open()
    with caution.at_work(Part([of_kafka(1)], {})):
        pass
