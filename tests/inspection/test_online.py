"""What ``check --online`` finds at real brokers and at the emulator; it leaves them as they are, and never hangs."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from aiokafka import AIOKafkaConsumer, TopicPartition
from typer.testing import CliRunner

from bridge.cli import app
from bridge.config import load_config
from bridge.emulator.server import Emulator
from bridge.emulator.settings import EmulatorSettings
from bridge.inspection.inspecting import Inspection, inspect
from tests.services.schema_registry import SchemaRegistryServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.services.kafka import KafkaServer
    from tests.services.rabbitmq import RabbitServer

LIMIT_SECONDS = 60.0


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    settings = EmulatorSettings(workflows={"fulfil-order": "waits: paid", "pick": "completes"})
    async with Emulator(settings, clock=lambda: 1_795_000_000_000) as made:
        yield made


class Place:
    """A folder with a configuration that names an emulator and some source."""

    def __init__(self, folder: Path, emulator: Emulator) -> None:
        self.file = folder / "bridge.yaml"
        (folder / "token").write_text(emulator.token)
        self.value: dict[str, Any] = {
            "targets": {
                "main": {
                    "account_id": emulator.account_id,
                    "base_url": emulator.base_url,
                    "api_token_file": str(folder / "token"),
                }
            },
            "sources": {"orders": kafka_at("127.0.0.1:9", "orders")},
            "outbox": {"path": str(folder / "outbox.db")},
            "rules": [
                {"name": name, "create": {"workflow": workflow, "id": f"{name}-${{body.id}}"}}
                for name, workflow in (
                    ("a", "fulfil-order"),
                    ("b", "pick"),
                    ("c", "fulfil-order"),
                    ("d", "x-${body.w}"),
                )
            ],
        }

    async def inspect(self, seconds: float = LIMIT_SECONDS, **changes: Any) -> Inspection:
        self.file.write_text(yaml.safe_dump(self.value | changes))
        return await inspect(load_config(self.file, {}), seconds, lambda _done, _all: None)


@pytest.fixture
def place(tmp_path: Path, emulator: Emulator) -> Place:
    return Place(tmp_path, emulator)


def kafka_at(address: str, *topics: str) -> dict[str, Any]:
    return {"type": "kafka", "bootstrap_servers": [address], "topics": list(topics), "group_id": "online"}


def about(found: Inspection, subject: str) -> list[tuple[str, bool, str]]:
    return [
        (answer.finding.asked, answer.finding.good, answer.finding.answer)
        for answer in found.answers
        if answer.subject == subject
    ]


async def test_a_target_is_asked_once_for_each_workflow(place: Place, emulator: Emulator) -> None:
    """With one list of one instance each, and nothing else; names that come from a message are not asked for."""
    found = await place.inspect()
    assert about(found, "target main") == [
        ("workflow fulfil-order", True, "is there, the token is accepted, 0 instances"),
        ("workflow pick", True, "is there, the token is accepted, 0 instances"),
    ]
    assert found.requests == 2
    assert [(each.operation, each.workflow) for each in emulator.journal.records] == [
        ("list", "fulfil-order"),
        ("list", "pick"),
    ]


async def test_a_missing_workflow_is_named_and_the_others_are_still_asked_for(place: Place) -> None:
    """With what to do."""
    place.value["rules"][0]["create"]["workflow"] = "fulfill-order"
    found = await place.inspect()
    assert [(asked, good) for asked, good, _ in about(found, "target main")] == [
        ("workflow fulfill-order", False),
        ("workflow pick", True),
        ("workflow fulfil-order", True),
    ]
    assert found.requests == 3
    (missing,) = [answer.finding for answer in found.answers if answer.finding.asked == "workflow fulfill-order"]
    assert "10200" in missing.answer
    assert missing.advice == "deploy it, or correct the name in the rules"


async def test_a_refused_token_costs_one_request(place: Place, tmp_path: Path) -> None:
    """All others would be refused as well; the token is in no answer."""
    (tmp_path / "token").write_text("wrong-and-secret")
    found = await place.inspect()
    first, second = (answer.finding for answer in found.answers if answer.subject == "target main")
    assert "the token is refused" in first.advice
    assert second.answer == "not asked: the answer would be the same"
    assert found.requests == 1
    assert "wrong-and-secret" not in str(found)


async def test_a_blocked_token_says_when_to_try_again(tmp_path: Path) -> None:
    """Nothing more is asked then."""
    settings = EmulatorSettings.model_validate({"quota": {"requests": 1, "window_seconds": 300}})
    async with Emulator(settings, clock=lambda: 1_795_000_000_000) as emulator:
        found = await Place(tmp_path, emulator).inspect()
    first, second = (answer.finding for answer in found.answers if answer.subject == "target main")
    assert first.good
    assert second.advice.startswith("the token is over its quota; try again in ")


async def test_an_address_where_nobody_listens_is_named(place: Place) -> None:
    """Of a broker, and of the API."""
    place.value["targets"]["main"]["base_url"] = "http://127.0.0.1:9/client/v4"
    (place.file.parent / "url").write_text("amqp://user:secret@127.0.0.1:9/")
    place.value["sources"]["shop"] = {"type": "rabbitmq", "url_file": str(place.file.parent / "url"), "queue": "q"}
    found = await place.inspect()
    assert not found.good
    (kafka,), (rabbit,) = about(found, "source orders"), about(found, "source shop")
    assert kafka[:2] == ("Kafka at 127.0.0.1:9", False)
    assert rabbit[:2] == ("RabbitMQ at 127.0.0.1:9/", False)
    assert about(found, "target main")[0][:2] == ("workflow fulfil-order", False)
    assert "secret" not in str(found)


async def test_what_never_answers_is_given_up_in_time(place: Place) -> None:
    """A server that takes connections and says nothing holds up nothing beyond the limit."""
    done = asyncio.Event()

    async def silent(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await done.wait()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    place.value["targets"]["main"]["base_url"] = f"http://127.0.0.1:{port}/client/v4"
    place.value["sources"] = {
        "orders": kafka_at(f"127.0.0.1:{port}", "orders"),
        "shop": {"type": "rabbitmq", "url": f"amqp://127.0.0.1:{port}/", "queue": "q"},
    }
    async with asyncio.timeout(LIMIT_SECONDS):
        found = await place.inspect(seconds=0.3)
    done.set()
    server.close()
    for subject in ("source orders", "source shop", "target main"):
        assert about(found, subject) == [("an answer in time", False, "nothing more within 0.3 s")]


@pytest.mark.kafka
async def test_a_cluster_is_asked_for_topics_and_group(place: Place, kafka: KafkaServer) -> None:
    """Partitions are counted, a missing topic is named and not made, and the group's positions are seen."""
    topic = await kafka.topic(partitions=3)
    async with AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap, group_id="online") as consumer:
        consumer.assign([TopicPartition(topic, 0)])
        await consumer.commit({TopicPartition(topic, 0): 0})
    place.value["sources"]["orders"] = kafka_at(kafka.bootstrap, topic, "nowhere")
    place.value["sources"]["all"] = kafka_at(kafka.bootstrap) | {"topics_pattern": "t-.*"}
    place.value["sources"]["none"] = kafka_at(kafka.bootstrap) | {"topics_pattern": "orders-.*"}
    for _ in range(2):
        found = await place.inspect()
        assert about(found, "source orders") == [
            (f"Kafka at {kafka.bootstrap}", True, "connected"),
            (f"topic {topic}", True, "3 partitions"),
            ("topic nowhere", False, "no such topic, or it may not be seen"),
            ("group online", True, "positions of 1 partitions"),
        ]
        assert about(found, "source all")[1][1]
        assert about(found, "source none")[1][1:] == (False, "no topic matches")


@pytest.mark.kafka
async def test_a_wrong_password_for_kafka_is_called_that(place: Place, kafka: KafkaServer) -> None:
    """And not shown."""
    assert kafka.certificates is not None
    sasl = {"mechanism": "SCRAM-SHA-512", "username": "bridge", "password": "hunter2-secret"}
    place.value["sources"]["orders"] = kafka_at(kafka.sasl_bootstrap, "x") | {
        "tls": {"ca_file": str(kafka.certificates.ca_file)},
        "sasl": {name: value for name, value in sasl.items() if name != "password"},
    }
    place.value["sources"]["orders"]["sasl"]["password_file"] = str(place.file.parent / "password")
    (place.file.parent / "password").write_text(sasl["password"])
    ((_, good, answer),) = about(await place.inspect(), "source orders")
    assert not good
    assert "authentication failed" in answer
    assert "hunter2" not in answer


@pytest.mark.rabbitmq
async def test_a_broker_is_asked_for_queues_and_exchanges(place: Place, rabbitmq: RabbitServer) -> None:
    """Passively: messages are counted, what is missing is named and not made; run would declare it where told to."""
    queue = await rabbitmq.queue()
    await rabbitmq.publish(queue, [b"a", b"b"])
    there = {"type": "rabbitmq", "url_file": str(place.file.parent / "url")}
    (place.file.parent / "url").write_text(rabbitmq.url)
    bind = [{"exchange": "amq.topic", "routing_key": "x"}, {"exchange": "nowhere", "routing_key": "x"}]
    place.value["sources"] = {
        "shop": {**there, "queues": [queue, "missing"], "bind": bind},
        "made": {**there, "queue": "not-yet", "declare": {"arguments": {"x-dead-letter-exchange": "no-letters"}}},
    }
    for _ in range(2):
        found = await place.inspect()
        assert about(found, "source shop")[1:] == [
            (f"queue {queue}", True, "2 messages, 0 consumers"),
            ("queue missing", False, "is not there"),
            ("exchange amq.topic", True, "is there"),
            ("exchange nowhere", False, "is not there"),
        ]
        assert about(found, "source made")[1:] == [
            ("queue not-yet", True, "is not there yet; run declares it"),
            ("exchange no-letters", False, "is not there"),
        ]


@pytest.mark.rabbitmq
async def test_a_wrong_password_for_rabbitmq_is_called_that(place: Place, rabbitmq: RabbitServer) -> None:
    """And not shown."""
    (place.file.parent / "url").write_text(rabbitmq.url.replace("guest:guest", "guest:hunter2"))
    place.value["sources"] = {"shop": {"type": "rabbitmq", "url_file": str(place.file.parent / "url"), "queue": "q"}}
    ((_, good, answer),) = about(await place.inspect(), "source shop")
    assert not good
    assert "authentication failed" in answer
    assert "hunter2" not in answer


@pytest.mark.kafka
@pytest.mark.rabbitmq
async def test_where_dead_letters_go_is_asked_for(place: Place, kafka: KafkaServer, rabbitmq: RabbitServer) -> None:
    """A topic, an exchange, or the queue behind the default one."""
    topic = await kafka.topic()
    to_kafka = {"type": "kafka", "bootstrap_servers": [kafka.bootstrap]}
    (place.file.parent / "url").write_text(rabbitmq.url)
    to_rabbit = {"type": "rabbitmq", "url_file": str(place.file.parent / "url")}
    place.value["outbox"] = {"type": "memory"}
    expected = [
        (to_kafka | {"topic": topic}, (f"topic {topic}", True)),
        (to_kafka | {"topic": "gone"}, ("topic gone", False)),
        (to_rabbit | {"exchange": "amq.fanout"}, ("exchange amq.fanout", True)),
        (to_rabbit | {"routing_key": "gone"}, ("queue gone", False)),
    ]
    for to, (asked, good) in expected:
        found = about(await place.inspect(dead_letters={"to": to}), "dead letters")
        assert [each[:2] for each in found[1:]] == [(asked, good)]


@pytest.mark.kafka
async def test_the_command_says_what_it_asked_and_exits_by_the_answers(
    place: Place, kafka: KafkaServer, tmp_path: Path
) -> None:
    """0 when all is there, 4 when something is not, 2 (and nothing asked) when the file is wrong; JSON has the same."""
    place.value["sources"]["orders"] = kafka_at(kafka.bootstrap, await kafka.topic())
    place.file.write_text(yaml.safe_dump(place.value))

    async def run(*options: str) -> tuple[int, str]:
        arguments = ["check", "-c", str(place.file), "--online", *options]
        result = await asyncio.to_thread(CliRunner().invoke, app, arguments, catch_exceptions=False)
        return result.exit_code, result.output

    code, output = await run()
    assert code == 0
    assert "  ok    target main: workflow pick: is there, the token is accepted, 0 instances\n" in output
    assert output.endswith("everything is there; 2 requests to the API\n")
    (tmp_path / "token").write_text("wrong")
    code, output = await run()
    assert code == 4
    assert "  FAIL  target main: workflow fulfil-order: " in output
    code, output = await run("--json")
    facts = json.loads(output)["online"]
    assert (code, facts["good"], facts["requests"]) == (4, False, 1)
    assert {answer["path"] for answer in facts["answers"]} == {"sources.orders", "targets.main"}
    place.file.write_text("rules: 1\n")
    code, output = await run("--json")
    assert (code, "online" in json.loads(output)) == (2, False)


async def test_a_schema_registry_is_asked_once(place: Place) -> None:
    """Whether it answers, and takes the credentials."""
    with SchemaRegistryServer(authorization="Bearer right") as registry:
        (place.file.parent / "registry").write_text("right")
        place.value["sources"]["orders"] |= {
            "decode": "avro",
            "registry": {"url": registry.url, "auth": "bearer", "auth_file": str(place.file.parent / "registry")},
        }
        good = about(await place.inspect(), "source orders")
        asked = list(registry.requests)
        (place.file.parent / "registry").write_text("wrong-and-secret")
        refused = about(await place.inspect(), "source orders")
    gone = about(await place.inspect(), "source orders")
    name = f"schema registry {registry.url}"
    assert good[-1] == (name, True, "answers")
    assert len(asked) == 1
    assert refused[-1][:2] == (name, False)
    assert "HTTP 401" in refused[-1][2]
    assert "secret" not in str(refused)
    assert gone[-1][:2] == (name, False)
