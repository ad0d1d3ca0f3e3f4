"""A real Apache Kafka broker (KRaft, one node) for tests: only a JDK and Maven are needed."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import struct
import subprocess
import time
import uuid
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

from tests.services.certificates import Certificates, make_certificates
from tests.services.kafka_topics import KafkaTopics
from tests.services.ports import free_ports
from tests.services.presence import missing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

KAFKA_VERSION = "4.1.1"
CACHE = Path.home() / ".cache" / "workflow-bridge" / "kafka"
USERS = {"bridge": "correct-horse"}
POM = """<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>local</groupId><artifactId>kafka-jars</artifactId><version>1</version><dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{kafka}</version></dependency>
<dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
</dependencies></project>"""
# The first compiler tier alone starts fastest; a benchmark gives flags of its own.
QUICK_START = (
    *("-Xms64m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"),
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
)
MODULES = "org.apache.kafka.common.security"


def kafka_jars(cache: Path = CACHE) -> Path:
    """The folder with Kafka's jars, fetched by Maven the first time."""
    libs = cache / KAFKA_VERSION
    if libs.is_dir():
        return libs
    part = libs.with_suffix(f".part{os.getpid()}")
    part.mkdir(parents=True)
    (part / "pom.xml").write_text(POM.format(kafka=KAFKA_VERSION))
    copy = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={part}"]
    subprocess.run(["mvn", "-B", "-q", "-f", part / "pom.xml", *copy], check=True)
    try:
        part.rename(libs)  # atomic: a half download is never taken for a whole one
    except OSError:
        shutil.rmtree(part)  # another process was first
    return libs


class KafkaServer(KafkaTopics):
    """One broker with a plaintext listener and, given certificates, a SASL_SSL and a mutual-TLS one."""

    def __init__(
        self,
        folder: Path,
        *,
        certificates: Certificates | None = None,
        properties: Mapping[str, object] | None = None,
        jvm: Sequence[str] = QUICK_START,
    ) -> None:
        """properties: the broker's own, over those that are here; None leaves one out."""
        self.folder, self.certificates, self.jvm = folder, certificates, jvm
        self.libs = kafka_jars()
        self.process: subprocess.Popen[bytes] | None = None
        self.port, sasl, mtls, controller = free_ports(4)
        self.bootstrap = f"127.0.0.1:{self.port}"
        self.sasl_bootstrap, self.mtls_bootstrap = f"127.0.0.1:{sasl}", f"127.0.0.1:{mtls}"
        self.config = folder / "server.properties"
        folder.mkdir(parents=True, exist_ok=True)
        settings = _basics(folder, controller) | self._listeners(controller) | dict(properties or {})
        lines = [f"{key}={value}\n" for key, value in settings.items() if value is not None]
        self.config.write_text("".join(lines))

    def _listeners(self, controller: int) -> dict[str, object]:
        listeners = {"PLAINTEXT": self.bootstrap, "CONTROLLER": f"127.0.0.1:{controller}"}
        protocols = {"PLAINTEXT": "PLAINTEXT", "CONTROLLER": "PLAINTEXT"}
        security: dict[str, object] = {}
        if self.certificates is not None:
            listeners |= {"SASL": self.sasl_bootstrap, "MTLS": self.mtls_bootstrap}
            protocols |= {"SASL": "SASL_SSL", "MTLS": "SSL"}
            security = _security(self.certificates)
        return security | {
            "listeners": ",".join(f"{name}://{address}" for name, address in listeners.items()),
            "listener.security.protocol.map": ",".join(f"{name}:{protocol}" for name, protocol in protocols.items()),
        }

    def start(self, seconds: float = 60) -> Self:
        """Start on the data that is there; return when a client can produce."""
        self.launch()
        self.wait_until_ready(seconds)
        return self

    def launch(self) -> None:
        """Start on the data that is there, and do not wait."""
        if not (self.folder / "data" / "meta.properties").exists():
            self._format()
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(self._java("kafka.Kafka", self.config), stdout=log, stderr=log)

    def wait_until_ready(self, seconds: float = 60) -> None:
        """Return when a client can produce."""
        deadline = time.monotonic() + seconds
        while not self._answers():
            if self.process is None or self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                message = f"Kafka did not start:\n{(self.folder / 'server.log').read_text()[-4000:]}"
                raise RuntimeError(message)
            time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL: no clean shutdown; the data stays."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def freeze(self) -> None:
        """SIGSTOP: connections stay, and nothing answers."""
        if self.process is not None:
            self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on after ``freeze``."""
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """SIGTERM, and SIGKILL where that does not help."""
        if self.process is not None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(20)
            self.kill()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _java(self, main: str, *arguments: object) -> list[str]:
        return ["java", *self.jvm, "-cp", f"{self.libs}/*", main, *map(str, arguments)]

    def _tool(self, main: str, *arguments: object) -> None:
        subprocess.run(self._java(main, *arguments), check=True, capture_output=True, timeout=60)

    def _format(self) -> None:
        scram = [
            f"--add-scram=SCRAM-SHA-{bits}=[name={name},password={password}]"
            for name, password in USERS.items()
            for bits in (256, 512)
        ]
        options = ["--standalone", f"--cluster-id={new_cluster_id()}", f"--config={self.config}", *scram]
        self._tool("kafka.tools.StorageTool", "format", *options)

    def _answers(self) -> bool:
        """Whether a Metadata request (key 3, version 1, no topics) is answered with a broker in it."""
        request = struct.pack(">hhihi", 3, 1, 1, -1, 0)
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as sock, sock.makefile("rb") as reader:
                sock.sendall(struct.pack(">i", len(request)) + request)
                answer = reader.read(struct.unpack(">i", reader.read(4))[0])
        except (OSError, struct.error):
            return False
        return int.from_bytes(answer[4:8], "big") > 0


def new_cluster_id() -> str:
    """16 bytes in Kafka's spelling of base64, which does not begin with a dash."""
    return urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "a")


def _basics(folder: Path, controller: int) -> dict[str, object]:
    return {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "controller.quorum.bootstrap.servers": f"127.0.0.1:{controller}",
        "log.dirs": folder / "data",
        "auto.create.topics.enable": "false",
        "offsets.topic.num.partitions": 3,
        "offsets.topic.replication.factor": 1,
        "transaction.state.log.num.partitions": 3,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "group.initial.rebalance.delay.ms": 0,
        "group.min.session.timeout.ms": 1000,
        # A broker that was killed comes back when its old registration has ended.
        "broker.heartbeat.interval.ms": 100,
        "broker.session.timeout.ms": 700,
        "log.cleaner.dedupe.buffer.size": 8_388_608,
    }


def _security(certificates: Certificates) -> dict[str, object]:
    logins = " ".join(f'user_{name}="{password}"' for name, password in USERS.items())
    unsecured = 'required unsecuredLoginStringClaim_sub="broker";'
    listener = "listener.name.sasl"
    return {
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
        f"{listener}.plain.sasl.jaas.config": f"{MODULES}.plain.PlainLoginModule required {logins};",
        f"{listener}.scram-sha-256.sasl.jaas.config": f"{MODULES}.scram.ScramLoginModule required;",
        f"{listener}.scram-sha-512.sasl.jaas.config": f"{MODULES}.scram.ScramLoginModule required;",
        f"{listener}.oauthbearer.sasl.jaas.config": f"{MODULES}.oauthbearer.OAuthBearerLoginModule {unsecured}",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": certificates.keystore,
        "listener.name.mtls.ssl.truststore.type": "PEM",
        "listener.name.mtls.ssl.truststore.location": certificates.ca_file,
        "listener.name.mtls.ssl.client.auth": "required",
    }


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """One broker for the whole session; a test that kills it starts it again."""
    for program in ("java", "mvn"):
        if shutil.which(program) is None:
            missing(f"{program} (for a real Kafka)")
    folder = tmp_path_factory.mktemp("kafka")
    with KafkaServer(folder, certificates=make_certificates(folder)) as server:
        yield server
