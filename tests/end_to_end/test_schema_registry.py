"""Avro and Protobuf from a real Kafka, with a schema registry that goes away in between and comes back."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from bridge.app import LAST_ACKS_SECONDS
from tests.decoding.schemas import CUSTOMER_FILE, MONEY, ORDER_FILE, avro, message_class, text
from tests.end_to_end.bridge_process import BridgeProcess
from tests.end_to_end.places import emulated
from tests.services.certificates import make_certificates
from tests.services.schema_registry import SchemaRegistryServer, framed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.services.kafka import KafkaServer

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

LIMIT_SECONDS = 60
COUNT = 300  # of each kind, before and after the registry is gone
WAITING = 'workflow_bridge_source_waiting{source="%s"}'
RULES = [
    {
        "name": "avro",
        "from": "avro",
        "create": {"workflow": "echo", "id": "a-${body.n}", "params": {"price": "${body.price.amount}"}},
    },
    {
        "name": "protobuf",
        "from": "protobuf",
        "create": {"workflow": "echo", "id": "p-${body.order_id}", "params": "${body}"},
    },
]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_SECONDS):
        while not condition():
            await asyncio.sleep(0.05)


class Orders:
    """Two topics, and the schemas of what is in them; each new version of a schema is a field more."""

    def __init__(self, registry: SchemaRegistryServer) -> None:
        self.registry = registry
        registry.register("money", text(MONEY))
        registry.register("customer", descriptor=CUSTOMER_FILE.SerializeToString())

    def avro(self, version: int, numbers: range) -> list[bytes]:
        """Of a schema that is registered now."""
        more = [{"name": f"more{n}", "type": "int"} for n in range(version)]
        fields = [*more, {"name": "n", "type": "long"}, {"name": "price", "type": "shop.Money"}]
        schema = {"type": "record", "name": "shop.O", "fields": fields}
        number = self.registry.register("avro", text(schema), references=[("shop.Money", "money", 1)])
        plain = {"type": "record", "name": "shop.Money", "fields": [{"name": "amount", "type": "bytes"}]}
        added = {f"more{n}": 0 for n in range(version)}
        return [framed(number, avro(schema, {**added, "n": n, "price": {"amount": b"\x7d"}}, plain)) for n in numbers]

    def protobuf(self, numbers: range) -> list[bytes]:
        """Of a schema that is registered now."""
        references = [("shop/customer.proto", "customer", 1)]
        number = self.registry.register("p", descriptor=ORDER_FILE.SerializeToString(), references=references)
        order = message_class("shop.Order", CUSTOMER_FILE, ORDER_FILE)
        return [framed(number, b"\x02\x02" + order(order_id=n).SerializeToString()) for n in numbers]


def source(kafka: KafkaServer, topic: str, decode: str, registry: dict[str, Any]) -> dict[str, Any]:
    place = {"bootstrap_servers": [kafka.bootstrap], "topics": [topic], "group_id": topic}
    return {"type": "kafka", **place, "decode": decode, "registry": registry, "fetch": {"max_records": 50}}


def waits(bridge: BridgeProcess) -> list[float]:
    metrics = bridge.metrics()
    return [metrics[WAITING % name] for name in ("avro", "protobuf")]


async def test_a_registry_that_goes_away_stops_its_sources_and_loses_nothing(
    kafka: KafkaServer, tmp_path: Path
) -> None:
    """While it is away its sources wait and say so; then every message is an instance, once, and none a dead letter."""
    certificates, auth = make_certificates(tmp_path), tmp_path / "auth"
    auth.write_text("s3cret")
    server = SchemaRegistryServer(certificates=certificates, authorization="Bearer s3cret")
    settings = {"url": server.url, "auth": "bearer", "auth_file": str(auth), "ca_file": str(certificates.ca_file)}
    topics = [await kafka.topic(), await kafka.topic()]
    async with emulated() as api:
        (tmp_path / "token").write_text(api.token)
        target = {"account_id": api.account_id, "base_url": api.base_url, "api_token_file": str(tmp_path / "token")}
        sources = {
            name: source(kafka, topic, name, settings) for name, topic in zip(("avro", "protobuf"), topics, strict=True)
        }
        config = {"targets": {"main": target}, "sources": sources, "rules": RULES}
        with server, BridgeProcess(tmp_path / "bridge", config) as bridge:
            orders = Orders(server)
            await produce(kafka, topics, orders.avro(0, range(COUNT)), orders.protobuf(range(COUNT)))
            await until(lambda: len(api.received) == 2 * COUNT)
            server.stop()
            later = range(COUNT, 2 * COUNT)
            await produce(kafka, topics, orders.avro(1, later), orders.protobuf(later))
            await until(lambda: waits(bridge) == [1, 1])
            await until(lambda: len([e for e in bridge.events() if e["event"] == "schemas_unavailable"]) >= 4)
            assert bridge.answers("/livez")
            assert bridge.answers("/readyz")
            assert len(api.received) == 2 * COUNT
            server.start()
            await until(lambda: len(api.received) == 4 * COUNT)
            await until(lambda: waits(bridge) == [0, 0])
            metrics = bridge.metrics()
            assert bridge.stop() == 0
    assert set(api.received) == {f"create {kind}-{n}" for kind in "ap" for n in range(2 * COUNT)}
    assert set(api.received.values()) == {1}
    assert not any(name.startswith("workflow_bridge_dead_letters_total") for name in metrics)
    assert metrics["workflow_bridge_dead_letter_entries"] == 0
    assert "s3cret" not in bridge.log.read_text()


async def test_a_stop_does_not_wait_for_a_registry(kafka: KafkaServer, tmp_path: Path) -> None:
    """What was read and could not be decoded is read again after the next start."""
    server = SchemaRegistryServer()
    topic = await kafka.topic()
    async with emulated() as api:
        (tmp_path / "token").write_text(api.token)
        target = {"account_id": api.account_id, "base_url": api.base_url, "api_token_file": str(tmp_path / "token")}
        rules = [{"name": "all", "create": {"workflow": "echo", "id": "a-${body.n}"}}]
        sources = {"avro": source(kafka, topic, "avro", {"url": server.url})}
        config = {"targets": {"main": target}, "sources": sources, "rules": rules}
        await kafka.produce(topic, Orders(server).avro(0, range(COUNT)))
        with BridgeProcess(tmp_path / "bridge", config) as bridge:
            await until(lambda: bridge.metrics()[WAITING % "avro"] == 1)
            assert await asyncio.to_thread(bridge.stop) == 0
            times = {event["event"]: datetime.fromisoformat(event["timestamp"]) for event in bridge.events()}
            assert (times["stopped"] - times["stopping"]).total_seconds() < LAST_ACKS_SECONDS
        with server, BridgeProcess(tmp_path / "bridge", config) as bridge:
            await until(lambda: len(api.received) == COUNT)
            assert bridge.stop() == 0
    assert set(api.received.values()) == {1}


async def produce(kafka: KafkaServer, topics: list[str], *bodies: list[bytes]) -> None:
    for topic, written in zip(topics, bodies, strict=True):
        await kafka.produce(topic, written)
