"""The processes that a scene is played with: brokers, the stub, and what the bridge's process has used up."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench.load import PARTITIONS, WARM
from tests.services.kafka import KafkaServer
from tests.services.rabbitmq import RabbitServer

if TYPE_CHECKING:
    from collections.abc import Iterator

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def status(pid: int, key: str) -> int:
    """A number of ``/proc/PID/status``, such as VmHWM, in KiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(key)))


@contextmanager
def stub(*options: str) -> Iterator[int]:
    """The stub with these options, at a port of its own."""
    process = subprocess.Popen([sys.executable, "-m", "bench.stub", *options], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None  # noqa: S101  it was asked for above
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()


@contextmanager
def broker(source: str, folder: Path) -> Iterator[str]:
    """A real one; gives its address."""
    if source == "kafka":
        with KafkaServer(folder / "kafka", jvm=WARM) as kafka:
            yield kafka.bootstrap
    else:
        (folder / "rabbitmq").mkdir()
        with RabbitServer(folder / "rabbitmq") as rabbitmq:
            yield rabbitmq.url


def make_topic(address: str, name: str) -> None:
    """One with the partitions of all scenes."""
    from confluent_kafka.admin import AdminClient, NewTopic  # noqa: PLC0415  used once

    admin = AdminClient({"bootstrap.servers": address})
    admin.create_topics([NewTopic(name, PARTITIONS, 1)])[name].result(30)


def free_port() -> int:
    """A TCP port of loopback that nobody has."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
