"""The first half and its supervisor, with a broker in memory and an outbox whose receipts the test holds."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import intake
from bridge.admission import EVERYTHING, HEAD_BYTES, Admission
from bridge.caution.caution import Caution
from bridge.caution.suspects import Part
from bridge.decoding import Decoded, DecodingSettings, decoder
from bridge.errors import SchemasUnavailable
from bridge.intake import LIST_BYTES, TURN_BYTES, TURN_MESSAGES, Current, Reader, Translation, joined, portions
from bridge.message import Message
from bridge.metrics import Metrics
from bridge.routing.router import Router, SourceInfo
from bridge.routing.settings import RuleSettings
from bridge.sources.memory import MemoryBroker, MemorySource
from bridge.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bridge.outbox.base import Intake

RULE = {
    "name": "order",
    "when": 'body.type == "order"',
    "create": {"workflow": "w", "id": "o-${body.n}", "params": "${body}"},
}
SECONDS = 60.0  # far more than anything here takes
NOW_MS = 1_000_000


class HeldReceipt:
    """Resolves when the test says so."""

    def __init__(self) -> None:
        self.given = asyncio.Event()

    async def wait(self) -> None:
        await self.given.wait()


class HeldOutbox:
    """Takes everything; keeps the receipts."""

    def __init__(self) -> None:
        self.intakes: list[Intake] = []
        self.receipts: list[HeldReceipt] = []
        self.room = asyncio.Event()
        self.room.set()

    async def add(self, intake: Intake) -> HeldReceipt:
        await self.room.wait()
        self.intakes.append(intake)
        self.receipts.append(HeldReceipt())
        return self.receipts[-1]


def translation(admission: Admission = EVERYTHING, **rule: object) -> Translation:
    rules = [RuleSettings.model_validate(RULE | rule)]
    router = Router(rules, vars={}, sources=[SourceInfo("orders")], targets=["main"])
    return Translation(decoder(DecodingSettings()), router, Metrics(), lambda: NOW_MS, lambda: 0.0, admission)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not condition():
            await asyncio.sleep(0.001)


class Bench:
    """A running reader."""

    def __init__(self, max_records: int = 2) -> None:
        self.broker = MemoryBroker()
        self.source = MemorySource("orders", self.broker, max_records)
        self.outbox = HeldOutbox()
        self.reader = Reader(self.source, Current(translation()), self.outbox, Caution("orders", None), lambda: 0.0)  # type: ignore[arg-type]  # what it asks of it

    def produce(self, *bodies: bytes) -> None:
        for body in bodies:
            self.broker.publish(body)


@pytest.fixture
async def bench() -> Bench:
    made = Bench()
    await made.source.open()
    return made


async def test_no_ack_before_the_receipt(bench: Bench) -> None:
    """The broker is told to forget a batch after its receipt has resolved, and not a moment before."""
    bench.produce(b'{"type":"order","n":1}', b'{"type":"order","n":2}')
    reading = asyncio.create_task(bench.reader.run())
    await until(lambda: len(bench.outbox.receipts) == 1)
    for _ in range(20):
        await asyncio.sleep(0)
    assert bench.broker.committed == 0
    bench.outbox.receipts[0].given.set()
    await until(lambda: bench.broker.committed == 2)
    bench.reader.stop()
    await asyncio.wait_for(reading, SECONDS)


async def test_reading_goes_on_while_receipts_are_outstanding(bench: Bench) -> None:
    """A slow disk does not hold up the next fetch; a batch that is stored later is never skipped."""
    bench.produce(*(b'{"type":"order","n":%d}' % n for n in range(4)))
    reading = asyncio.create_task(bench.reader.run())
    await until(lambda: len(bench.outbox.receipts) == 2)
    bench.outbox.receipts[1].given.set()
    for _ in range(20):
        await asyncio.sleep(0)
    assert bench.broker.committed == 0
    bench.outbox.receipts[0].given.set()
    await until(lambda: bench.broker.committed == 4)
    bench.reader.stop()
    await asyncio.wait_for(reading, SECONDS)


async def test_a_stop_waits_for_receipts(bench: Bench) -> None:
    """After a stop nothing more is fetched, and what was taken in is still acknowledged."""
    bench.produce(b'{"type":"order","n":1}')
    reading = asyncio.create_task(bench.reader.run())
    await until(lambda: len(bench.outbox.receipts) == 1)
    bench.reader.stop()
    bench.produce(b'{"type":"order","n":2}')
    await asyncio.sleep(0)
    assert not reading.done()
    bench.outbox.receipts[0].given.set()
    await asyncio.wait_for(reading, SECONDS)
    assert (bench.broker.committed, len(bench.outbox.intakes)) == (1, 1)


async def test_a_stop_while_the_outbox_has_no_room(bench: Bench) -> None:
    """A batch that could not be handed over is not acknowledged: the broker keeps it."""
    bench.outbox.room.clear()
    bench.produce(b'{"type":"order","n":1}')
    reading = asyncio.create_task(bench.reader.run())
    for _ in range(20):
        await asyncio.sleep(0)
    bench.reader.stop()
    await asyncio.wait_for(reading, SECONDS)
    assert (bench.broker.committed, bench.outbox.intakes) == (0, [])


async def test_a_pause_just_as_reading_begins() -> None:
    """The source has been opened, and its reader has not had its first turn: it reads nothing, and can go on later."""
    bench = Bench()
    supervisor = Supervisor(bench.source, Current(translation()), bench.outbox, Caution("orders", None), lambda: 0.0)  # type: ignore[arg-type]  # as above
    bench.produce(b'{"type":"order","n":1}')
    running = asyncio.create_task(supervisor.run())
    async with asyncio.timeout(SECONDS):
        while supervisor._reader is None:
            await asyncio.sleep(0)
    supervisor.pause()
    await until(lambda: not bench.source.connected)
    assert bench.outbox.intakes == []
    supervisor.resume()
    await until(lambda: len(bench.outbox.intakes) == 1)
    supervisor.stop()
    bench.outbox.receipts[0].given.set()
    await asyncio.wait_for(running, SECONDS)


async def test_a_lost_source_is_opened_again_and_nothing_is_acknowledged_for_it() -> None:
    """The supervisor reopens the source; what was outstanding on the old connection comes again."""
    bench = Bench()
    supervisor = Supervisor(bench.source, Current(translation()), bench.outbox, Caution("orders", None), lambda: 0.0)  # type: ignore[arg-type]  # as above
    running = asyncio.create_task(supervisor.run())
    bench.produce(b'{"type":"order","n":1}')
    await until(lambda: len(bench.outbox.receipts) == 1)
    bench.broker.kill()
    await until(lambda: bench.source._acks is None)  # the supervisor has closed it
    bench.broker.start()
    await until(lambda: len(bench.outbox.receipts) == 2)
    bench.outbox.receipts[0].given.set()
    for _ in range(20):
        await asyncio.sleep(0)
    assert bench.broker.committed == 0
    bench.outbox.receipts[1].given.set()
    await until(lambda: bench.broker.committed == 1)
    supervisor.stop()
    await asyncio.wait_for(running, SECONDS)


async def test_bad_messages_are_dead_letters_and_stop_nothing(bench: Bench) -> None:
    """What is no JSON, and what has no id, becomes a dead letter with its reason; the rest of the batch is a call."""
    bench.produce(b"{not json", b'{"type":"order","n":1}', b'{"type":"order"}', b'{"type":"other"}')
    reading = asyncio.create_task(bench.reader.run())
    await until(lambda: len(bench.outbox.intakes) == 2)
    dead = [(letter.reason, letter.message.body) for intake in bench.outbox.intakes for letter in intake.dead]
    assert dead == [("undecodable", b"{not json"), ("render_error", b'{"type":"order"}')]
    assert [call.instance_id for intake in bench.outbox.intakes for _, call in intake.calls] == ["o-1"]
    bench.reader.stop()
    for receipt in bench.outbox.receipts:
        receipt.given.set()
    await asyncio.wait_for(reading, SECONDS)


async def test_a_large_batch_is_translated_in_turns_with_the_rest_of_the_process() -> None:
    """Between portions other tasks go on; what is stored is one intake, in the order of the batch."""
    bench = Bench(max_records=2_000)
    await bench.source.open()
    bench.produce(
        b"{not json", *(b'{"type":"order","n":%d}' % n for n in range(3 * TURN_MESSAGES)), b'{"type":"order"}'
    )
    turns = 0

    async def others() -> None:
        nonlocal turns
        while not bench.outbox.intakes:
            turns += 1
            await asyncio.sleep(0)

    reading = asyncio.create_task(bench.reader.run())
    await others()
    assert turns >= 4
    (stored,) = bench.outbox.intakes
    assert [call.instance_id for _, call in stored.calls] == [f"o-{n}" for n in range(3 * TURN_MESSAGES)]
    assert [letter.reason for letter in stored.dead] == ["undecodable", "render_error"]
    assert [position.offset for position in stored.positions.values()] == [3 * TURN_MESSAGES + 1]
    bench.reader.stop()
    bench.outbox.receipts[0].given.set()
    await asyncio.wait_for(reading, SECONDS)


@pytest.mark.parametrize("bound", ["STORED_CALLS", "STORED_BYTES"])
async def test_a_batch_that_becomes_very_many_calls_is_stored_in_pieces(
    monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    """Each with the position that it reaches, before what follows is looked into; all are acknowledged together."""
    made = [b'{"type":"order","n":%d}' % n for n in range(3 * TURN_MESSAGES)]
    size = len(b'{"instance_id":"o-100","params":' + made[100] + b"}")
    monkeypatch.setattr(intake, bound, (TURN_MESSAGES + 1) * (1 if bound == "STORED_CALLS" else size))
    bench = Bench(max_records=2_000)
    await bench.source.open()
    bench.produce(*made)
    bench.outbox.room.clear()
    reading = asyncio.create_task(bench.reader.run())
    for _ in range(20):
        await asyncio.sleep(0)
    received = bench.reader._current.translation.metrics.registry.get_sample_value
    assert received("workflow_bridge_source_messages_received_total", {"source": "orders"}) == 2 * TURN_MESSAGES
    bench.outbox.room.set()
    await until(lambda: len(bench.outbox.intakes) == 2)
    places = [(len(some.calls), [place.offset for place in some.positions.values()]) for some in bench.outbox.intakes]
    assert places == [(2 * TURN_MESSAGES, [2 * TURN_MESSAGES - 1]), (TURN_MESSAGES, [3 * TURN_MESSAGES - 1])]
    bench.outbox.receipts[1].given.set()
    for _ in range(20):
        await asyncio.sleep(0)
    assert bench.broker.committed == 0
    bench.outbox.receipts[0].given.set()
    await until(lambda: bench.broker.committed == 3 * TURN_MESSAGES)
    bench.reader.stop()
    await asyncio.wait_for(reading, SECONDS)


async def test_where_a_rule_goes_over_a_list_less_is_translated_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each element may be given the whole message: what a large batch becomes must not be in memory as a whole."""
    monkeypatch.setattr(intake, "STORED_BYTES", LIST_BYTES)
    bench = Bench(max_records=100)
    create = {"workflow": "w", "id": "o-${body.n}-${item}", "params": "${body}"}
    bench.reader._current.translation = translation(for_each="body.items", create=create)
    await bench.source.open()
    fill = "x" * (LIST_BYTES // 8)
    bench.produce(*(b'{"type":"order","n":%d,"items":[1,2,3],"fill":"%s"}' % (n, fill.encode()) for n in range(70)))
    reading = asyncio.create_task(bench.reader.run())
    await until(lambda: len(bench.outbox.intakes) == 10)
    assert [len(some.calls) for some in bench.outbox.intakes] == [3 * 7] * 10
    bench.reader.stop()
    for receipt in bench.outbox.receipts:
        receipt.given.set()
    await asyncio.wait_for(reading, SECONDS)


@given(sizes=st.lists(st.integers(0, 3 * TURN_BYTES), max_size=12), small=st.integers(0, 3 * TURN_MESSAGES))
def test_portions_are_the_batch_within_bounds(sizes: list[int], small: int) -> None:
    """Every message is in one portion, in order; only a single message is larger than a portion may be."""
    bodies = [bytes(size) for size in sizes] + [None] * small
    messages = [Message("orders", str(n), "t", None, (), body, None, {}) for n, body in enumerate(bodies)]
    found = [portion.messages for portion in portions(Part(messages, {}))]
    assert [message for part in found for message in part] == messages
    assert all(found) or not messages
    for part in found:
        assert len(part) <= TURN_MESSAGES
        assert len(part) <= 1 or sum(len(message.body or b"") for message in part) <= TURN_BYTES


async def test_old_messages_are_dropped_and_counted() -> None:
    """``ignore_older_than`` looks at the message's own time; what it drops is counted by reason."""
    bench = Bench()
    await bench.source.open()
    bench.produce(b'{"type":"order","n":1}')
    young = translation(Admission(ignore_older_than_ms=NOW_MS))
    old = translation(Admission(ignore_older_than_ms=10))
    batch = await bench.source.receive()  # its timestamp is its offset: 0
    assert len(young.translate("orders", batch).calls) == 1
    assert old.translate("orders", batch).calls == []
    sample = {"source": "orders", "reason": "too_old"}
    assert old.metrics.registry.get_sample_value("workflow_bridge_messages_dropped_total", sample) == 1


async def test_a_message_that_is_too_large_stops_only_itself() -> None:
    """It becomes a dead letter with the head of its body, and its size; the others are routed."""
    small = [b'{"type":"order","n":%d}' % n for n in (1, 2)]
    large = b'{"type":"order","n":3,"fill":"' + b"x" * HEAD_BYTES + b'"}'
    just = b'{"type":"order","n":4,"fill":"' + b"x" * (len(large) - 33) + b'"}'
    bench = Bench(max_records=10)
    await bench.source.open()
    bench.produce(small[0], large, just, small[1])
    batch = await bench.source.receive()
    translating = translation(Admission(max_message_bytes=len(large) - 1))
    made = translating.translate("orders", batch)
    assert [call.instance_id for _, call in made.calls] == ["o-1", "o-4", "o-2"]
    assert [(letter.reason, letter.rule) for letter in made.dead] == [("too_large", "")]
    message = made.dead[0].message
    assert (message.body, message.id) == (large[:HEAD_BYTES], "memory/0/1")
    assert message.attributes == {"partition": 0, "offset": 1, "body_bytes": len(large)}
    assert made.positions == batch.positions
    sample = {"reason": "too_large", "rule": ""}
    assert translating.metrics.registry.get_sample_value("workflow_bridge_dead_letters_total", sample) == 1


async def test_what_a_rule_drops_is_told_to_the_outbox() -> None:
    """With its reason and the configuration, of every portion of a batch; what no rule matches is not."""
    rules = [RuleSettings.model_validate({"name": "tests", "when": 'body.type == "test"', "drop": "a test"})]
    router = Router(rules, vars={}, sources=[SourceInfo("orders")], targets=["main"])
    dropping = translation()._replace(router=router, config="0123456789ab")
    bench = Bench(max_records=10)
    await bench.source.open()
    bench.produce(b'{"type":"test"}', b'{"type":"order"}', b'{"type":"test"}')
    batch = await bench.source.receive()
    intake = joined([dropping.translate("orders", batch)] * 2)
    told = [(drop.message.body, drop.reason, drop.config) for drop in intake.dropped]
    assert told == [(b'{"type":"test"}', "a test", "0123456789ab")] * 4


class WaitingDecoder:
    """JSON that cannot be decoded as long as a registry is down."""

    def __init__(self) -> None:
        self.up = asyncio.Event()
        self.tries = 0
        self.closed = False
        self._json = decoder(DecodingSettings())

    async def prepare(self, messages: Sequence[Message]) -> None:
        assert messages
        self.tries += 1
        if not self.up.is_set():
            raise SchemasUnavailable("cannot connect", "connect")

    def decode(self, messages: Sequence[Message]) -> Decoded:
        return self._json.decode(messages)

    async def close(self) -> None:
        self.closed = True


def waiting(current: Current) -> tuple[float | None, float | None]:
    """The two metrics that tell of a wait."""
    registry = current.translation.metrics.registry
    errors = {"source": "orders", "reason": "connect"}
    return (
        registry.get_sample_value("workflow_bridge_source_waiting", {"source": "orders"}),
        registry.get_sample_value("workflow_bridge_schema_registry_errors_total", errors),
    )


async def test_a_source_waits_for_its_schema_registry(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it is down nothing is lost and nothing is a dead letter; when it is back the same batch goes on."""
    monkeypatch.setattr(intake, "FIRST_WAIT_SECONDS", 0.001)
    missing = WaitingDecoder()
    bench.reader._current.translation = bench.reader._current.translation._replace(decoder=missing)
    bench.produce(b'{"type":"order","n":1}', b"{", b'{"type":"order","n":2}')
    reading = asyncio.create_task(bench.reader.run())
    await until(lambda: missing.tries >= 4)
    assert (bench.outbox.intakes, bench.broker.committed) == ([], 0)
    assert waiting(bench.reader._current) == (1, missing.tries)
    missing.up.set()
    await until(lambda: len(bench.outbox.intakes) == 2)
    assert waiting(bench.reader._current)[0] == 0
    assert [call.instance_id for intake in bench.outbox.intakes for _, call in intake.calls] == ["o-1", "o-2"]
    assert [letter.message.body for intake in bench.outbox.intakes for letter in intake.dead] == [b"{"]
    bench.reader.stop()
    for receipt in bench.outbox.receipts:
        receipt.given.set()
    await asyncio.wait_for(reading, SECONDS)


async def test_partitions_that_go_while_their_messages_wait_are_not_stored(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has them now is given the messages; nothing is acknowledged, and the wait ends when all are gone."""
    monkeypatch.setattr(intake, "FIRST_WAIT_SECONDS", 0.001)
    missing = WaitingDecoder()
    bench.reader._current.translation = bench.reader._current.translation._replace(decoder=missing)
    bench.produce(b'{"type":"order","n":1}', b'{"type":"order","n":2}')
    assigned = [f"{bench.broker.topic}/0"]
    monkeypatch.setattr(MemorySource, "assigned", property(lambda _: assigned))
    reading = asyncio.create_task(bench.reader.run())
    await until(lambda: missing.tries >= 2)
    assigned.clear()
    await until(lambda: len(bench.outbox.intakes) == 1)
    assert not missing.up.is_set()
    assert bench.outbox.intakes[0][1:4] == ((), (), {})
    assigned.append(f"{bench.broker.topic}/0")
    bench.produce(b'{"type":"order","n":3}')
    await until(lambda: missing.tries > 2)
    missing.up.set()
    await until(lambda: len(bench.outbox.intakes) == 2)
    assert [call.instance_id for _, call in bench.outbox.intakes[1].calls] == ["o-3"]
    bench.reader.stop()
    for receipt in bench.outbox.receipts:
        receipt.given.set()
    await asyncio.wait_for(reading, SECONDS)


async def test_a_stop_ends_the_wait_for_a_registry_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The batch stays with the broker, and the decoder is closed."""
    monkeypatch.setattr(intake, "FIRST_WAIT_SECONDS", 3_600.0)
    bench, missing = Bench(), WaitingDecoder()
    made = translation()._replace(decoder=missing)
    supervisor = Supervisor(bench.source, Current(made), bench.outbox, Caution("orders", None), lambda: 0.0)  # type: ignore[arg-type]  # as above
    running = asyncio.create_task(supervisor.run())
    bench.produce(b'{"type":"order","n":1}')
    await until(lambda: missing.tries == 1)
    supervisor.stop()
    await asyncio.wait_for(running, SECONDS)
    assert (bench.broker.committed, bench.outbox.intakes, missing.closed) == (0, [], True)
    assert waiting(supervisor.current) == (0, 1)


async def test_a_new_translation_takes_over_a_batch_that_waits(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong address of a registry is put right without losing the batch that met it."""
    monkeypatch.setattr(intake, "FIRST_WAIT_SECONDS", 0.001)
    missing = WaitingDecoder()
    right = bench.reader._current.translation
    bench.reader._current.translation = right._replace(decoder=missing)
    bench.produce(b'{"type":"order","n":1}')
    reading = asyncio.create_task(bench.reader.run())
    await until(lambda: missing.tries > 1)
    bench.reader._current.translation = right
    await until(lambda: len(bench.outbox.intakes) == 1)
    bench.reader.stop()
    bench.outbox.receipts[0].given.set()
    await asyncio.wait_for(reading, SECONDS)
    assert bench.broker.committed == 1
