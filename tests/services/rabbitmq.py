"""A real RabbitMQ node for tests: Debian's package, without systemd, on loopback only."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Self

import aio_pika
import pytest

from tests.services.certificates import Certificates, make_certificates
from tests.services.ports import free_ports
from tests.services.presence import missing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

# Not /usr/sbin: the wrappers there change to another user.
BIN = Path(os.environ.get("RABBITMQ_BIN", "/usr/lib/rabbitmq/bin"))
# A queue younger than this may not outlive SIGKILL: the node has not yet written its name (3.10; quorum queues always,
# classic ones on a busy machine). No event tells when it has.
YOUNG_SECONDS = 2.0


class RabbitServer:
    """One node with its own name, ports, cookie, epmd and data; with certificates also a TLS listener."""

    def __init__(
        self, folder: Path, certificates: Certificates | None = None, ack_timeout_seconds: float | None = None
    ) -> None:
        """ack_timeout_seconds: after that, and at most a second, a channel that owes an acknowledgement is closed."""
        self.folder, self.certificates, self.ack_timeout_seconds = folder, certificates, ack_timeout_seconds
        self.port, self.tls_port, self._distribution, self._epmd_port = free_ports(4)
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}/"
        self.tls_url = f"amqps://guest:guest@localhost:{self.tls_port}/"
        self.node = f"t{os.getpid()}-{self.port}@localhost"
        self.process: subprocess.Popen[bytes] | None = None
        self._declared = -YOUNG_SECONDS  # when the youngest queue was
        (folder / "plugins").write_text("[].\n")
        (folder / "rabbitmq.conf").write_text("\n".join(self._config()) + "\n")
        (folder / "advanced.config").write_text("[{rabbit, [{channel_tick_interval, 1000}]}].\n")
        # Its own epmd first, or the node leaves a daemon behind.
        self._epmd = subprocess.Popen(["epmd"], env=self._environment())

    def start(self, seconds: float = 90) -> Self:
        """Start on the data that is there; return when a client can connect."""
        with (self.folder / "console.log").open("ab") as log:
            self.process = subprocess.Popen(
                [BIN / "rabbitmq-server"],
                env=self._environment(),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + seconds
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                message = f"RabbitMQ did not start:\n{(self.folder / 'console.log').read_text()[-4000:]}"
                raise RuntimeError(message)
            time.sleep(0.05)
        return self

    def kill(self) -> None:
        """SIGKILL to the whole process group: nothing is flushed; the data stays, queues included."""
        if self.process is not None:
            time.sleep(max(0.0, self._declared + YOUNG_SECONDS - time.monotonic()))
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def freeze(self) -> None:
        """SIGSTOP: connections stay, and nothing answers."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on after ``freeze``."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGCONT)

    def end(self) -> None:
        """Kill the node and its epmd; an orderly stop takes six seconds and the data goes anyway."""
        self._declared = -YOUNG_SECONDS
        self.kill()
        self._epmd.terminate()
        self._epmd.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.end()

    async def queue(self, name: str | None = None, kind: str = "classic") -> str:
        """Declare a durable queue and return its name; ``kill`` waits until it is old enough."""
        name = name or f"q-{uuid.uuid4().hex[:12]}"
        async with self.channel() as channel:
            await channel.declare_queue(name, durable=True, arguments={"x-queue-type": kind})
        self._declared = time.monotonic()
        return name

    async def delete_queue(self, name: str) -> None:
        """Delete a queue under its consumers."""
        async with self.channel() as channel:
            await channel.queue_delete(name)

    async def publish(self, queue: str, bodies: Iterable[bytes], **properties: object) -> None:
        """Confirmed, persistent messages; ``message_id="m-{}"`` numbers them."""
        message_id = str(properties.pop("message_id", "m-{}"))
        async with self.channel() as channel:
            await asyncio.gather(
                *(
                    channel.default_exchange.publish(
                        aio_pika.Message(
                            body,
                            message_id=message_id.format(number) or None,
                            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                            **properties,  # type: ignore[arg-type]
                        ),
                        queue,
                    )
                    for number, body in enumerate(bodies)
                )
            )

    @contextlib.asynccontextmanager
    async def channel(self) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
        """A channel of a connection of its own."""
        async with await aio_pika.connect(self.url) as connection:
            yield await connection.channel()

    def evaluate(self, expression: str) -> None:
        """Have the node do this, in Erlang."""
        command = [str(BIN / "rabbitmqctl"), "--node", self.node, "eval", f"{expression}."]
        subprocess.run(command, env=self._environment(), cwd=self.folder, check=True, capture_output=True, timeout=60)

    def _config(self) -> Iterable[str]:
        yield f"listeners.tcp.1 = 127.0.0.1:{self.port}"
        if self.ack_timeout_seconds is not None:
            yield f"consumer_timeout = {int(self.ack_timeout_seconds * 1000)}"
        if self.certificates is not None:
            yield f"listeners.ssl.1 = 127.0.0.1:{self.tls_port}"
            yield f"ssl_options.cacertfile = {self.certificates.ca_file}"
            yield f"ssl_options.certfile = {self.certificates.server_cert_file}"
            yield f"ssl_options.keyfile = {self.certificates.server_key_file}"
            yield "ssl_options.verify = verify_peer"
            yield "ssl_options.fail_if_no_peer_cert = true"

    def _environment(self) -> dict[str, str]:
        folder = self.folder
        return {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(folder),  # the cookie is made here
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_DIST_PORT": str(self._distribution),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self._epmd_port),
            # `+sbwt none`: idle schedulers sleep instead of spinning.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none",
        }

    def _answers(self) -> bool:
        """Whether a protocol header is answered: listeners open last."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as sock:
                sock.sendall(b"AMQP\x00\x00\x09\x01")
                return sock.recv(1) == b"\x01"
        except OSError:
            return False


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[RabbitServer]:
    """One node for the whole session; a test that kills it starts it again."""
    if not (BIN / "rabbitmq-server").exists() or shutil.which("epmd") is None:
        missing("rabbitmq-server")
    # Not pytest's folder: the node's paths have to be short.
    with tempfile.TemporaryDirectory(prefix="rabbitmq-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        server = RabbitServer(folder, make_certificates(folder))
        try:
            yield server.start()
        finally:
            server.end()
