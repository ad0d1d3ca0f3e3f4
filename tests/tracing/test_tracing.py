"""Traces: from the producer through the bridge to the call, also where a process died in between."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from bridge.decoding.cloudevents import decode_event
from bridge.demo.broker import EmbeddedBroker
from bridge.emulator.fixture import RunningEmulator
from bridge.errors import ConfigError
from bridge.outbox.base import Verdict
from bridge.outbox.originals import Originals
from bridge.routing.metadata import with_metadata
from bridge.tracing import tracer
from bridge.tracing.context import Traced, traced, traceparent_of
from bridge.tracing.settings import TracingSettings
from bridge.tracing.tracer import Tracer, open_tracer
from tests.end_to_end.bridge_process import BridgeProcess
from tests.outbox.subjects import START_MS, Subject, call, create, event, message
from tests.tracing.receiver import Received, Receiver

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bridge.message import HeaderValue
    from bridge.tracing.spans import Span

ROOT = Path(__file__).parents[2]
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
TRACE, PARENT, OTHER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", "00f067aa0ba902b8"
SAMPLED = f"00-{TRACE}-{PARENT}-01"
STRUCTURED = orjson.dumps({"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "traceparent": SAMPLED})


def producer(number: int, flags: str = "01") -> str:
    """The context of a producer's span; each of its own trace."""
    return f"00-{number:032x}-{number:016x}-{flags}"


# --- the context -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        [("traceparent", SAMPLED.encode())],
        [("traceparent", SAMPLED)],
        [("ce_traceparent", SAMPLED.encode())],
        [("cloudEvents:traceparent", SAMPLED)],
        [("ce_traceparent", producer(7).encode()), ("traceparent", SAMPLED.encode())],
    ],
    ids=["bytes", "text", "Kafka extension", "AMQP extension", "the header goes first"],
)
def test_the_context_is_found(headers: list[tuple[str, HeaderValue]]) -> None:
    """In a header, or as the CloudEvents extension in binary mode."""
    assert traceparent_of(message(1, headers=headers)) == SAMPLED


def test_a_structured_event_has_it_in_its_body() -> None:
    """Decoded, as rules see it, and as the outbox gives it back."""
    stored = message(1, STRUCTURED, [("content-type", b"application/cloudevents+json; charset=utf-8")])
    decoded, _ = decode_event(stored)
    assert traceparent_of(stored) == traceparent_of(decoded) == SAMPLED
    added = orjson.loads(with_metadata("r", per_element=False)(b"{}", decoded, 0))
    assert added["_bridge"]["traceparent"] == SAMPLED
    assert traced(stored, 0) == traced(decoded, 0) != None  # noqa: E711  the chain says it shortest


@pytest.mark.parametrize(
    "text",
    ["", "00-0", SAMPLED.upper(), f"ff-{TRACE}-{PARENT}-01", f"00-{'0' * 32}-{PARENT}-01", f"00-{TRACE}-{'0' * 16}-01"],
)
def test_what_is_no_context_is_none(text: str) -> None:
    """A trace may begin with such a message, but it continues none."""
    wrong = message(1, headers=[("traceparent", text.encode())])
    assert traceparent_of(wrong) == ""
    assert traced(wrong, 0) is None


def test_the_producer_decides() -> None:
    """One that was not sampled is not, whatever the share of the others is."""
    unsampled = message(1, headers=[("traceparent", producer(1, "00"))])
    assert traced(unsampled, 1) is None
    place = traced(message(1, headers=[("traceparent", SAMPLED)]), 0)
    assert place is not None
    assert (place.trace_id, place.parent_id) == (TRACE, PARENT)


def test_a_share_of_the_others_is_traced() -> None:
    """The same ones in every process, with the same ids; each span id is of one message."""
    places = [traced(message(n), 0.25) for n in range(2_000)]
    assert places == [traced(message(n), 0.25) for n in range(2_000)]
    chosen = [place for place in places if place is not None]
    assert 400 < len(chosen) < 600
    assert len({place.span_id for place in chosen}) == len({place.trace_id for place in chosen}) == len(chosen)
    assert not any(place.parent_id for place in chosen)
    assert traced(message(1), 0) is None
    assert traced(message(1), 1) is not None


async def test_the_outbox_gives_messages_back(sqlite: Subject) -> None:
    """Whole ones, those inside of a call's body, shared ones, and those that wait for later."""
    headers = [("traceparent", SAMPLED.encode())]
    inside = message(1, STRUCTURED, [("content-type", "application/cloudevents+json")])
    shared = message(2, headers=headers)
    await sqlite.store(
        (inside, call("a", body=b'{"params":' + STRUCTURED + b"}")),
        (shared, call("b")),
        (shared, call("c")),
        (message(3, headers=headers), call("d")),
        event(4, "e"),
    )
    entries = await sqlite.pending()
    await sqlite.settle(Verdict.RETRY, entries[3], at_ms=START_MS + 1)
    originals = Originals(sqlite.path)
    found = sorted((m.id[-1], traceparent_of(m)) for m in originals(entries))
    assert found == [("1", SAMPLED), ("2", SAMPLED), ("2", SAMPLED), ("3", SAMPLED), ("4", "")]
    originals.close()


async def test_the_memory_outbox_gives_messages_back(tmp_path: Path) -> None:
    """Those that it still holds."""
    subject = Subject("memory", tmp_path)
    await subject.outbox.open()
    await subject.store(create(1, "a"), create(2, "b"))
    entries = await subject.pending()
    await subject.settle(Verdict.DELIVERED, entries[0])
    assert [m.id[-1] for m in subject.outbox.originals(entries)] == ["2"]  # type: ignore[attr-defined]
    await subject.outbox.close()


# --- what is off costs nothing ---------------------------------------------------------------------------------------


def test_without_an_endpoint_nothing_is_imported() -> None:
    """Not even by the parts that could use it."""
    code = "import sys, bridge.app, bridge.cli; sys.exit(any(n.startswith('opentelemetry') for n in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
    assert open_tracer(TracingSettings()) is None


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to install."""
    monkeypatch.delitem(sys.modules, "bridge.tracing.exporting", raising=False)
    for name in [name for name in sys.modules if name.startswith("opentelemetry")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(ConfigError, match=r"tracing.endpoint: .*pip install 'workflow-bridge\[otel\]'"):
        open_tracer(TracingSettings(endpoint="http://localhost:4318"))


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("http://localhost:4318", "http://localhost:4318/v1/traces"),
        ("https://otel.example/", "https://otel.example/v1/traces"),
        ("https://otel.example/in/traces", "https://otel.example/in/traces"),
    ],
)
def test_where_spans_go(endpoint: str, url: str) -> None:
    """An address without a path gets the one of OTLP."""
    assert TracingSettings(endpoint=endpoint).url == url


async def test_a_collector_that_hangs_keeps_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last spans have a time limit."""
    monkeypatch.setattr(tracer, "CLOSE_SECONDS", 0.05)
    released = threading.Event()

    class Hanging:
        def export(self, spans: Iterable[Span]) -> None:
            pass

        def close(self) -> None:
            released.wait(30)

    async with asyncio.timeout(20):
        await Tracer(Hanging(), 0).close()
    released.set()


# --- from the producer to the call -----------------------------------------------------------------------------------


def bridge_for(broker: EmbeddedBroker, emulator: RunningEmulator, receiver: Receiver, folder: Path, **more: Any) -> Any:
    (folder / "token").write_text(emulator.token)
    target = {"account_id": emulator.account_id, "base_url": emulator.base_url}
    source: dict[str, Any] = {
        "type": "kafka",
        "bootstrap_servers": [broker.bootstrap],
        "topics": ["orders"],
        "group_id": "bridge",
    }
    source["assign"] = {"index": 0, "of": 1}  # the killed one's place in a group would have to time out
    made = {"workflow": "fulfil", "id": "order-${body.n}", "params": "${body}", "metadata": True}
    config = {
        "targets": {"main": {**target, "api_token_file": str(folder / "token")}},
        "sources": {"orders": source},
        "rules": [{"name": "fulfil", "create": made}],
        "tracing": {"endpoint": receiver.address},
        **more,
    }
    return BridgeProcess(folder / "bridge", config, {"OTEL_BSP_SCHEDULE_DELAY": "50"})


def produce(broker: EmbeddedBroker, number: int, traceparent: str) -> None:
    headers: dict[str, str | bytes | None] = {"traceparent": traceparent.encode()}
    broker._producer.produce("orders", b'{"n":%d}' % number, b"one key", headers=headers)
    assert broker.flush() == 0


def by_kind(spans: list[Received], kind: str) -> list[Received]:
    return [span for span in spans if span.kind == kind]


def test_a_trace_goes_from_the_producer_to_the_call(tmp_path: Path) -> None:
    """Also over a SIGKILL between outbox and call: parents and links are those that the killed process told of."""
    with EmbeddedBroker() as broker, RunningEmulator() as emulator, Receiver() as receiver:
        broker.create_topic("orders")
        intake = bridge_for(broker, emulator, receiver, tmp_path, dispatch={"enabled": False})
        with intake:
            for number in range(1, 5):
                produce(broker, number, producer(number))
            produce(broker, 9, producer(9, "00"))
            taken = by_kind(receiver.until(lambda spans: len(spans) == 4 and intake.stored() == 5), "consumer")
            intake.kill()
        assert sorted((s.name, s.trace_id, s.parent_id) for s in taken) == [
            ("process orders", f"{n:032x}", f"{n:016x}") for n in range(1, 5)
        ]
        assert taken[0].attributes["workflow_bridge.rules"] == ["fulfil"]
        assert taken[0].attributes["messaging.system"] == "kafka"
        with bridge_for(broker, emulator, receiver, tmp_path) as again:
            [batch] = by_kind(receiver.until(lambda spans: len(spans) == 5), "client")
            produce(broker, 7, producer(7))
            spans = receiver.until(lambda spans: len(spans) == 7)
            shown = {
                (family.name.removeprefix("workflow_bridge_"), sample.exemplar.labels["trace_id"])
                for family in text_string_to_metric_families(again.scraped(OPENMETRICS))  # type: ignore[no-untyped-call]
                for sample in family.samples
                if sample.exemplar and sample.exemplar.labels["span_id"]
            }
            assert "trace_id" not in again.scraped()
        # Of each bucket the last: the one call, and one of those in the batch, which waited longer.
        assert {name for name, _ in shown} == {"request_duration_seconds", "end_to_end_duration_seconds"}
        assert ("end_to_end_duration_seconds", f"{7:032x}") in shown
        assert {trace for _, trace in shown} <= {f"{n:032x}" for n in (1, 2, 3, 4, 7)}
        assert len({trace for name, trace in shown if name.startswith("end")}) > 1
        assert (batch.name, batch.parent_id, batch.failed) == ("create fulfil", "", False)
        assert sorted(batch.links) == sorted((span.trace_id, span.span_id) for span in taken)
        assert batch.attributes["messaging.batch.message_count"] == 5
        [process] = [span for span in by_kind(spans, "consumer") if span.trace_id == f"{7:032x}"]
        [create_one] = [span for span in by_kind(spans, "client") if span is not batch and span.links == []]
        assert (create_one.trace_id, create_one.parent_id) == (process.trace_id, process.span_id)
        assert create_one.attributes["workflow_bridge.instance_id"] == "order-7"
        for number, flags in ((1, "01"), (7, "01"), (9, "00")):
            made = emulator.instance("fulfil", f"order-{number}")
            assert made is not None
            assert made.params["_bridge"]["traceparent"] == producer(number, flags)
        assert receiver.resources[0]["service.name"] == "workflow-bridge"


def test_a_message_that_dies_and_a_request_that_fails_are_errors(tmp_path: Path) -> None:
    """With a bounded reason."""
    with EmbeddedBroker() as broker, RunningEmulator() as emulator, Receiver() as receiver:
        broker.create_topic("orders")
        emulator.fault(do="error", status=500, count=1)
        with bridge_for(broker, emulator, receiver, tmp_path):
            broker._producer.produce("orders", b"{", headers={"traceparent": producer(1).encode()})
            produce(broker, 2, producer(2))
            spans = receiver.until(lambda spans: len(spans) >= 3)
    found = {(s.kind, s.trace_id[-1], s.failed, s.attributes.get("error.type")) for s in spans}
    assert ("consumer", "1", True, "undecodable") in found
    assert ("consumer", "2", False, None) in found
    assert ("client", "2", True, "server_error") in found


def test_links_are_of_the_bridges_spans() -> None:
    """A place names the span that whoever took the message in has told of."""
    first, again = (traced(message(1, headers=[("traceparent", SAMPLED)]), 0) for _ in range(2))
    assert first == again
    assert isinstance(first, Traced)
    assert first.span_id not in {PARENT, OTHER}
