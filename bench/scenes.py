"""The five scenes: a configuration each, and how to tell from outside how far the bridge has come."""

from __future__ import annotations

import sqlite3
import urllib.request
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
from confluent_kafka import Consumer, KafkaException, TopicPartition

from bench.load import PARTITIONS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CREATE = {"create": {"workflow": "bench", "id": "o-${body.order_id}", "params": "${body}"}}
EVENT = {
    "event": {
        "workflow": "bench",
        "id": "o-${body.order_id}",
        "type": "paid",
        "payload": {"total": "${body.total}", "kind": "${body.kind}"},
    }
}


class Scene(NamedTuple):
    """One scene."""

    name: str
    what: str
    source: str  # kafka or rabbitmq
    rule: dict[str, Any]
    aim: float  # CPU microseconds per message, as wished for
    messages: int
    dispatch: bool = True


NEVER = {"when": 'body.type == "never"', **CREATE}
SCENES = (
    Scene("filter", "Kafka in, no rule matches", "kafka", NEVER, 6, 400_000),
    Scene("intake", "Kafka to the sqlite outbox, fsync on", "kafka", CREATE, 10, 400_000, dispatch=False),
    Scene("create", "Kafka, outbox, batches of 100, settled", "kafka", CREATE, 14, 400_000),
    Scene("event", "Kafka, outbox, one request each, settled", "kafka", EVENT, 100, 50_000),
    Scene("rabbit", "RabbitMQ to the sqlite outbox, fsync on", "rabbitmq", CREATE, 60, 60_000, dispatch=False),
)


class Place(NamedTuple):
    """Where a scene is played."""

    folder: Path
    address: str  # of the broker
    input: str  # topic or queue
    stub_port: int
    health_port: int

    @property
    def outbox(self) -> Path:
        """The bridge's outbox file."""
        return self.folder / "outbox.db"


def config(scene: Scene, place: Place) -> dict[str, Any]:
    """The bridge's configuration for a scene."""
    kafka = {"type": "kafka", "bootstrap_servers": [place.address], "topics": [place.input], "group_id": place.input}
    (place.folder / "url").write_text(place.address)
    rabbitmq = {"type": "rabbitmq", "url_file": str(place.folder / "url"), "queues": [place.input], "prefetch": 1000}
    token = place.folder / "token"
    token.write_text("bench-token")
    base_url = f"http://127.0.0.1:{place.stub_port}/client/v4"
    return {
        "targets": {"main": {"account_id": "bench", "api_token_file": str(token), "base_url": base_url}},
        "sources": {"in": kafka if scene.source == "kafka" else rabbitmq},
        "outbox": {"type": "sqlite", "path": str(place.outbox)},
        "dispatch": {"enabled": scene.dispatch},
        "health": {"host": "127.0.0.1", "port": place.health_port},
        "rules": [{"name": "bench", **scene.rule}],
    }


def progress(scene: Scene, place: Place, group: str) -> Callable[[], int]:
    """A function that tells how many messages the bridge is done with, at no cost to the bridge."""
    if scene.source == "rabbitmq":
        return lambda: _stored(place.outbox)
    if scene.dispatch and scene.name != "filter":
        return lambda: _called(place.stub_port)
    return _Committed(place, group)


def _stored(outbox: Path) -> int:
    """Entries in the outbox; nothing leaves it in these scenes."""
    if not outbox.exists():
        return 0
    with closing(sqlite3.connect(f"file:{outbox}?mode=ro", uri=True)) as database:
        try:
            return int(database.execute("SELECT count(*) FROM entries").fetchone()[0])
        except sqlite3.OperationalError:
            return 0


def _called(port: int) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/counts", timeout=5) as answer:
        counts = orjson.loads(answer.read())
    return int(counts["creates"] + counts["events"])


class _Committed:
    """The group's committed offsets, summed over the topic."""

    def __init__(self, place: Place, group: str) -> None:
        self._consumer = Consumer({"bootstrap.servers": place.address, "group.id": group})
        self._partitions = [TopicPartition(place.input, partition) for partition in range(PARTITIONS)]

    def __call__(self) -> int:
        try:
            committed = self._consumer.committed(self._partitions, timeout=10)
        except KafkaException:  # the group's coordinator is being elected
            return 0
        return sum(max(0, partition.offset) for partition in committed)
