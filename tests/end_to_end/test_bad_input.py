"""Bad messages among good ones: each stops only itself, and nothing disappears."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from bridge.cloudflare.responses import Meaning, meaning
from bridge.errors import ApiRefused
from tests.end_to_end.bridge_process import BridgeProcess
from tests.end_to_end.recorder import Call, Recorder
from tests.end_to_end.scenario import Scenario, engine_client, statuses

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from tests.services.kafka import KafkaServer
    from tests.services.workerd import Workerd

pytestmark = [pytest.mark.kafka, pytest.mark.workerd, pytest.mark.slow]

GOOD = Scenario(orders=60, paid=0)
LIMIT_SECONDS = 60
REJECTED = "o-60"  # an order like the others, but the API does not take its instance
RULES: Sequence[Mapping[str, Any]] = [
    {
        "name": "named",
        "when": 'body.type == "named"',
        "create": {"workflow": "echo", "id": "n-${body.name}", "params": "${body}"},
    },
    {
        "name": "summed",
        "when": 'body.type == "summed" && body.total + 1 > 0',
        "create": {"workflow": "echo", "id": "s-1"},
    },
    {
        "name": "removed",
        "when": 'body == null && key == "known"',
        "create": {"workflow": "echo", "id": "removed-${key}"},
    },
]


class Bad(NamedTuple):
    """A message and the dead letter that it must become; no reason: it becomes none."""

    body: bytes | None
    reason: str = ""
    rule: str = ""
    key: bytes | None = b"\xfe\x00key"


BAD: Mapping[str, Bad] = {
    "malformed": Bad(b'{"type": "order", "n": \xff\x00', "undecodable"),
    "cut off": Bad(b'{"type": "order", "n": 7', "undecodable"),
    "empty": Bad(b"", "undecodable"),
    "of no rule": Bad(b'{"type": "unheard-of"}'),
    "not an object": Bad(b"[1, 2]"),
    "without the field of its id": Bad(b'{"type": "named", "title": "x"}', "render_error", "named"),
    "null in its id": Bad(b'{"type":"named", "name":null}', "render_error", "named"),
    "space in its id": Bad(b'{"type": "named",\n "name": "a b"}', "invalid_id", "named"),
    "of another type": Bad(b'{"type": "summed", "total": "12"}', "rule_error", "summed"),
    "tombstone with a rule": Bad(None, key=b"known"),
    "tombstone without one": Bad(None),
    "rejected by the API": Bad(b'{"type": "order",  "n": 60, "paid": false}', "rejected", "free-order"),
}
UNMATCHED = {"of no rule", "not an object", "tombstone without one"}
HEADERS = [("trace", b"\xff\x00"), ("x", b"one"), ("x", b"two")]


def refuse_one(call: Call) -> tuple[int, bytes] | None:
    """The API answers 400 to every request that has the rejected instance in it."""
    if f"create {REJECTED}" not in call.names:
        return None
    return 400, b'{"success":false,"errors":[{"code":10002,"message":"workflows.api.error.bad_request"}],"result":null}'


async def produce(server: KafkaServer, topic: str) -> dict[int, str]:
    """Bad messages spread among the good ones, in one partition; returns offset -> name of each bad one."""
    messages: list[tuple[str, bytes | None, bytes | None]] = [("", body, None) for body in GOOD.bodies]
    for number, (name, bad) in enumerate(BAD.items()):
        messages.insert(5 * number + 3, (name, bad.body, bad.key))
    offsets = {}
    async with AIOKafkaProducer(bootstrap_servers=server.bootstrap) as producer:
        for name, body, key in messages:
            headers = [("name", name.encode()), *HEADERS] if name else []
            sent = await producer.send_and_wait(topic, body, key, partition=0, headers=headers)
            if name:
                offsets[sent.offset] = name
    return offsets


def dead_letters(bridge: BridgeProcess) -> list[dict[str, Any]]:
    """What the command says while the bridge runs."""
    command = [sys.executable, "-m", "bridge", "dead-letters", "list", "--json", "--config", str(bridge.config_file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=True)
    return [json.loads(line) for line in done.stdout.split("\n") if line]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_SECONDS):
        while not condition():
            await asyncio.sleep(0.05)


async def committed(server: KafkaServer, group: str) -> int:
    admin = AIOKafkaAdminClient(bootstrap_servers=server.bootstrap)
    await admin.start()
    offsets = await admin.list_consumer_group_offsets(group)
    await admin.close()
    return max((entry.offset for entry in offsets.values()), default=-1)


def check_letters(letters: list[dict[str, Any]], topic: str, offsets: Mapping[int, str]) -> None:
    """Each bad message that must be a dead letter is one, once, with its reason and its original to the byte."""
    expected = {name: bad for name, bad in BAD.items() if bad.reason}
    found = {offsets[letter["message"]["attributes"]["offset"]]: letter for letter in letters}
    assert len(letters) == len(found)
    assert {name: (letter["reason"], letter["rule"]) for name, letter in found.items()} == {
        name: (bad.reason, bad.rule) for name, bad in expected.items()
    }
    numbers = {name: offset for offset, name in offsets.items()}
    for name, letter in found.items():
        message, offset = letter["message"], numbers[name]
        assert body_of(message) == expected[name].body
        assert base64.b64decode(message["key"]["base64"]) == expected[name].key
        assert [(header["name"], raw(header)) for header in message["headers"]] == [("name", name.encode()), *HEADERS]
        assert {header["type"] for header in message["headers"]} == {"bytes"}
        assert (message["source"], message["channel"], message["id"]) == ("orders", topic, f"{topic}/0/{offset}")
        assert message["attributes"]["partition"] == 0
        assert letter["detail"]
    call = found["rejected by the API"]["call"]
    assert (call["operation"], call["workflow"], call["instance_id"]) == ("create", "echo", REJECTED)
    assert call["body"]["json"]["instance_id"] == REJECTED
    assert found["rejected by the API"]["attempts"] == 1
    assert "10002" in found["rejected by the API"]["detail"]


def raw(value: Mapping[str, str]) -> bytes:
    return base64.b64decode(value["base64"]) if "base64" in value else value["text"].encode()


def body_of(message: Mapping[str, Any]) -> bytes | None:
    return None if message["body"] is None else raw(message["body"])


def check_metrics(metrics: Mapping[str, float]) -> None:
    """The counters tell the same story: received is the sum of how messages ended."""
    prefix = "workflow_bridge_"

    def counted(name: str) -> float:
        return metrics[f"{prefix}{name}"]

    assert counted('source_messages_received_total{source="orders"}') == GOOD.orders + len(BAD)
    assert counted('messages_unmatched_total{source="orders"}') == len(UNMATCHED)
    deaths = Counter((bad.rule, bad.reason) for bad in BAD.values() if bad.reason)
    labels = re.compile(rf'{prefix}dead_letters_total{{reason="(\w+)",rule="([\w-]*)"}}')
    told = {(found[2], found[1]): value for name, value in metrics.items() if (found := labels.fullmatch(name))}
    assert told == deaths
    assert counted('rule_errors_total{rule="summed"}') >= 1
    assert counted("dead_letter_entries") == deaths.total()
    assert counted('outbox_entries{state="ready"}') == 0


async def test_bad_messages_stop_only_themselves(
    kafka: KafkaServer, engine: Workerd, token_file: Path, tmp_path: Path
) -> None:
    """Each is a dead letter with its reason and original, or counted; the good ones around it are instances."""
    topic = await kafka.topic()
    offsets = await produce(kafka, topic)
    source = {"type": "kafka", "bootstrap_servers": [kafka.bootstrap], "topics": [topic], "group_id": topic}
    letters = sum(1 for bad in BAD.values() if bad.reason)
    async with Recorder(engine, refuse_one) as recorder:
        config = GOOD.config(source, recorder, token_file=str(token_file))
        config["rules"] = [*config["rules"], *RULES]
        with BridgeProcess(tmp_path, config) as bridge:
            await until(lambda: bridge.metrics()["workflow_bridge_dead_letter_entries"] >= letters)
            assert Counter((await statuses(recorder, GOOD)).values()) == {"complete": GOOD.orders}
            check_letters(dead_letters(bridge), topic, offsets)
            await until(lambda: bridge.metrics()['workflow_bridge_outbox_entries{state="ready"}'] == 0)
            check_metrics(bridge.metrics())
            await the_partition_goes_on(kafka, topic, recorder)
            assert bridge.stop() == 0
    assert await committed(kafka, topic) == GOOD.orders + len(BAD) + 1
    assert await on_the_engine(recorder, "removed-known")
    assert not await on_the_engine(recorder, REJECTED)
    created = Counter(name for call in recorder.calls if call.status == 200 for name in call.names)
    assert created == {**dict.fromkeys(GOOD.names, 1), "create removed-known": 1, "create o-61": 1}
    assert max(len(call.names) for call in recorder.calls) > 40  # the rejected one had a batch around it


async def the_partition_goes_on(kafka: KafkaServer, topic: str, recorder: Recorder) -> None:
    await kafka.produce(topic, [b'{"type": "order", "n": 61, "paid": false}'])
    await until(lambda: recorder.received["create o-61"] == 1)


async def on_the_engine(recorder: Recorder, instance_id: str) -> bool:
    client = engine_client(recorder)
    try:
        await client.get_instance("echo", instance_id, simple=True)
    except ApiRefused as refused:
        if meaning(refused) is Meaning.INSTANCE_MISSING:
            return False
        raise
    finally:
        await client.close()
    return True
