"""``workflow-bridge record`` and ``explain --offset`` on real brokers: messages are taken, and stay where they are."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from bridge import recorded
from bridge.cli import app
from bridge.sources.rabbitmq import RabbitSource
from tests.sources.kafka_steps import committed, move_group
from tests.sources.subjects import collect, rabbit_settings

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result

    from bridge.message import Message
    from tests.services.kafka import KafkaServer
    from tests.services.rabbitmq import RabbitServer

RULES = """\
targets: {main: {account_id: "00000000000000000000000000000000"}}
rules: [{name: r, when: body.n == 1, create: {workflow: w, id: "i-${body.n}"}}]
"""


async def invoke(*arguments: object, env: dict[str, str] | None = None) -> Result:
    """In a thread: the command has a loop of its own."""
    command = [str(argument) for argument in arguments]
    return await asyncio.to_thread(lambda: CliRunner().invoke(app, command, env=env, catch_exceptions=False))


def configured(folder: Path, source: str) -> Path:
    file = folder / "rules.yaml"
    file.write_text(f"sources: {{s: {source}}}\n{RULES}")
    return file


def kafka_config(folder: Path, server: KafkaServer, topic: str) -> Path:
    return configured(
        folder,
        f'{{type: kafka, bootstrap_servers: ["{server.bootstrap}"], topics: [{topic}], group_id: group-of-{topic}}}',
    )


def messages(file: Path) -> list[Message]:
    return [recorded.decode(line).message for line in file.read_bytes().splitlines()]


BODIES: list[Any] = [b'{"n":0}', b'{"n":1}', b"", b"\xff"]


@pytest.mark.kafka
async def test_kafkas_messages_are_taken_to_the_byte(kafka: KafkaServer, tmp_path: Path) -> None:
    """From the earliest on, as many as were asked for; an empty body and bytes that are no text too."""
    topic = await kafka.topic()
    await kafka.produce(topic, BODIES)
    config, file = kafka_config(tmp_path, kafka, topic), tmp_path / "out.jsonl"
    result = await invoke("record", "-c", config, "--source", "s", "-n", 4, "-o", file)
    assert result.exit_code == 0, result.output
    found = messages(file)
    assert [message.body for message in found] == BODIES
    assert [message.id for message in found] == [f"{topic}/0/{offset}" for offset in range(4)]
    assert await committed(kafka, topic) is None
    await move_group(kafka, topic, 2)
    assert (
        await invoke("record", "-c", config, "--source", "s", "-n", 2, "-o", file, "--from", "committed")
    ).exit_code == 0
    assert [message.body for message in messages(file)] == BODIES[2:]
    assert await committed(kafka, topic) == 2


@pytest.mark.kafka
async def test_an_interrupted_recording_keeps_what_it_has(kafka: KafkaServer, tmp_path: Path) -> None:
    """Ctrl-C while it waits for more: exit 130, and the lines so far are whole."""
    topic = await kafka.topic()
    await kafka.produce(topic, BODIES)
    config, file = kafka_config(tmp_path, kafka, topic), tmp_path / "out.jsonl"
    command = ("-m", "bridge", "record", "-c", config, "--source", "s", "-n", "100", "-o", file)
    process = await asyncio.create_subprocess_exec(sys.executable, *command, stderr=asyncio.subprocess.PIPE)
    async with asyncio.timeout(60):
        while not file.exists() or file.read_bytes().count(b"\n") < len(BODIES):
            await asyncio.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, said = await process.communicate()
    assert (process.returncode, said) == (130, b"interrupted; 4 messages are written\n")
    assert [message.body for message in messages(file)] == BODIES


@pytest.mark.kafka
async def test_reading_begins_where_it_is_told(kafka: KafkaServer, tmp_path: Path) -> None:
    """At a time; at the end nothing comes in time, which is exit 1."""
    topic = await kafka.topic()
    await kafka.produce(topic, BODIES)
    config, file = kafka_config(tmp_path, kafka, topic), tmp_path / "out.jsonl"
    ask = ("record", "-c", config, "--source", "s", "-o", file, "--timeout", 3)
    assert (await invoke(*ask, "-n", 1, "--from", "2001-01-01T00:00:00Z")).exit_code == 0
    assert [message.attributes["offset"] for message in messages(file)] == [0]
    result = await invoke(*ask, "-n", 9, "--from", "latest")
    assert (result.exit_code, messages(file)) == (1, [])
    assert "0 of 9 messages came within 3 s" in result.stderr
    assert (await invoke(*ask, "--from", "yesterday")).exit_code == 2


@pytest.mark.kafka
async def test_a_record_is_explained_where_it_lies(kafka: KafkaServer, tmp_path: Path) -> None:
    """By topic, partition and offset; one that is not there says which are."""
    topic = await kafka.topic()
    await kafka.produce(topic, BODIES)
    config = kafka_config(tmp_path, kafka, topic)
    found = await invoke("explain", "-c", config, "--topic", topic, "--partition", 0, "--offset", 1)
    assert (found.exit_code, found.stdout.split("\n")[0]) == (0, f"message {topic}/0/1 of source s"), found.output
    assert "=> create w/i-1 at target main" in found.stdout
    missing = await invoke("explain", "-c", config, "--topic", topic, "--offset", 9)
    assert (missing.exit_code, missing.stderr) == (2, f"{topic}/0 has offsets 0 to 3, and not 9\n")
    other = await invoke("explain", "-c", config, "--topic", topic, "--partition", 7, "--offset", 0)
    assert other.stderr == f"s reads no partition {topic}/7; there are {topic}/0\n"


@pytest.mark.rabbitmq
@pytest.mark.parametrize("kind", ["classic", "quorum"])
async def test_rabbitmqs_messages_go_back_to_their_queue(rabbitmq: RabbitServer, tmp_path: Path, kind: str) -> None:
    """All of them are there afterwards, in order, marked as redelivered; the command says so."""
    queue = await rabbitmq.queue(kind=kind)
    bodies = [b"%d" % number for number in range(5)]
    await rabbitmq.publish(queue, bodies)
    settings = rabbit_settings(rabbitmq, queue)
    assert settings.url is not None
    config, file = configured(tmp_path, f"{{type: rabbitmq, queue: {queue}}}"), tmp_path / "out.jsonl"
    env = {"WORKFLOW_BRIDGE_SOURCES__S__URL": settings.url.get_secret_value()}
    result = await invoke("record", "-c", config, "--source", "s", "-n", 3, "-o", file, env=env)
    assert result.exit_code == 0, result.output
    assert "marked as redelivered" in result.stderr
    assert settings.url.get_secret_value() not in result.output
    assert [message.body for message in messages(file)] == bodies[:3]
    source = RabbitSource("s", settings)
    await source.open()
    again = await collect(source, 5)
    assert [message.body for message in again] == bodies
    assert [message.redelivered for message in again][:3] == [True, True, True]
    await source.close()


async def test_a_queue_has_no_places(tmp_path: Path) -> None:
    """No broker is asked; the text says what to do instead. Nor is there a source that is not configured."""
    config = configured(tmp_path, "{type: rabbitmq, queue: q}")
    result = await invoke("explain", "-c", config, "--offset", 0)
    assert result.exit_code == 2
    assert "workflow-bridge record" in result.stderr
    unknown = await invoke("record", "-c", config, "--source", "x")
    assert (unknown.exit_code, unknown.stderr) == (2, "no source 'x'; there are s\n")
    many = await invoke("record", "-c", config, "--source", "s", "-n", 70_000)
    assert (many.exit_code, many.stdout) == (2, "")
