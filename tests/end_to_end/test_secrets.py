"""Secrets are planted wherever the bridge is given any; then everything that it shows or keeps is searched for them."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

import httpx
import pytest
from aiokafka import AIOKafkaProducer

from tests.end_to_end.bridge_process import BridgeProcess
from tests.services.kafka import USERS
from tests.services.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.services.kafka import KafkaServer
    from tests.services.rabbitmq import RabbitServer

pytestmark = [pytest.mark.kafka, pytest.mark.rabbitmq, pytest.mark.slow]

FIRST_TOKEN, SECOND_TOKEN = "planted-first-token", "planted-second-token"
REGISTRY_LOGIN = "registry-user:planted-registry-password"
OPERATOR_TOKEN = "planted-operator-token"  # noqa: S105  planted
LOOKS = (
    *("overview", "sources", "rules", "workflows", "deeds", "dead-letters", "dead-letters/1", "dead-letters/kinds"),
    *("openapi.json", "targets/main/workflows/w/instances", "targets/main/workflows/w/instances/o-1"),
)
PROXY_PASSWORD = "planted-proxy-password"  # noqa: S105  planted
WRONG_PASSWORDS = ("planted-wrong-kafka-password", "planted-wrong/rabbit password")
PLANTED = (
    FIRST_TOKEN,
    SECOND_TOKEN,
    REGISTRY_LOGIN.partition(":")[2],
    base64.b64encode(REGISTRY_LOGIN.encode()).decode(),
    PROXY_PASSWORD,
    OPERATOR_TOKEN,
    *WRONG_PASSWORDS,
    quote(WRONG_PASSWORDS[1], safe=""),
    USERS["bridge"],
)
UNAUTHORIZED, REJECTED = (401, 10000), (400, 10002)
LIMIT_SECONDS = 60


class Echo(BaseHTTPRequestHandler):
    """An API, a registry and a proxy in one, that say what they were sent as the text of an error.

    The first token is refused, so that the file is read again; with the second one every call is.
    """

    protocol_version = "HTTP/1.1"
    seen: ClassVar[list[str]] = []  # credentials, as they came

    def do_GET(self) -> None:
        """The registry."""
        self._answer(401, {"error_code": 40101, "message": self._credentials()})

    def do_POST(self) -> None:
        """The API."""
        self.rfile.read(int(self.headers.get("content-length", 0)))
        status, code = UNAUTHORIZED if FIRST_TOKEN in self._credentials() else REJECTED
        errors = [{"code": code, "message": f"{self.path} is not for {self._credentials()}"}]
        self._answer(status, {"success": False, "errors": errors, "messages": [], "result": None})

    def do_CONNECT(self) -> None:
        """The proxy."""
        self.send_error(407, self._credentials())

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""

    def _credentials(self) -> str:
        found = self.headers.get("authorization") or self.headers.get("proxy-authorization") or "nobody"
        self.seen.append(found)
        return found

    def _answer(self, status: int, value: object) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def echo() -> Iterator[str]:
    """Host and port."""
    Echo.seen.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def configuration(kafka: KafkaServer, topics: list[str], queue: str, echo: str, folder: Path) -> dict[str, Any]:
    """Every setting that takes a secret has one."""
    assert kafka.certificates is not None
    kafka_login = {"mechanism": "PLAIN", "username": "bridge", "password_file": str(folder / "kafka-password")}
    reading: dict[str, Any] = {
        "type": "kafka",
        "bootstrap_servers": [kafka.sasl_bootstrap],
        "tls": {"ca_file": str(kafka.certificates.ca_file)},
        "sasl": kafka_login,
    }
    registry = {"url": f"http://{echo}", "auth_file": str(folder / "registry-login")}
    api = {"account_id": "a", "base_url": f"http://{echo}", "api_token_file": str(folder / "token")}
    away = {"account_id": "a", "base_url": "https://workflows.invalid", "api_token_file": str(folder / "token")}
    return {
        "targets": {"main": api, "proxied": away},
        "sources": {
            "orders": {**reading, "topics": [topics[0]], "group_id": topics[0]},
            "encoded": {
                **reading,
                "topics": [topics[1]],
                "group_id": topics[1],
                "decode": "avro",
                "registry": registry,
            },
            "payments": {"type": "rabbitmq", "url_file": str(folder / "amqp-url"), "queues": [queue]},
        },
        "rules": [
            {"name": "order", "from": "orders", "create": {"target": "main", "workflow": "w", "id": "${body.id}"}},
            {
                "name": "payment",
                "from": "payments",
                "event": {"target": "main", "workflow": "w", "id": "${body.id}", "type": "paid"},
            },
            {"name": "away", "from": "orders", "create": {"target": "proxied", "workflow": "w", "id": "${body.id}"}},
        ],
        "admin": {"port": free_ports(1)[0], "operator_token_file": str(folder / "operator-token")},
        "log": {"level": "debug", "format": "json"},
    }


async def until(seen: Callable[[], bool], what: str) -> None:
    """Wait until a fact holds; it is looked at in a thread."""
    try:
        async with asyncio.timeout(LIMIT_SECONDS):
            while not await asyncio.to_thread(seen):
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"not seen in {LIMIT_SECONDS} s: {what}") from None


def logins() -> set[str]:
    """Names and passwords that registry and proxy were given."""
    return {base64.b64decode(seen[6:]).decode() for seen in list(Echo.seen) if seen.startswith("Basic")}


def said(*arguments: str | Path, env: dict[str, str]) -> str:
    """What a command prints, on both streams."""
    command = [sys.executable, "-m", "bridge", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=env)
    return done.stdout + done.stderr


async def test_no_secret_shows_anywhere(
    kafka: KafkaServer,
    rabbitmq: RabbitServer,
    echo: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not in a log line down to debug, a metric, a probe, a dead letter, the outbox's files or a command's output.

    The secrets are used for real: refused by real brokers, echoed by an API and a registry in their errors, given to a
    proxy, and exchanged for others while the bridge runs.
    """
    topics = [await kafka.topic(), await kafka.topic()]
    queue = await rabbitmq.queue()
    secrets = {
        "token": FIRST_TOKEN,
        "operator-token": OPERATOR_TOKEN,
        "registry-login": REGISTRY_LOGIN,
        "kafka-password": WRONG_PASSWORDS[0],
        "amqp-url": rabbitmq.url.replace(":guest@", f":{quote(WRONG_PASSWORDS[1], safe='')}@"),
    }
    for name, secret in secrets.items():
        (tmp_path / name).write_text(secret + "\n")
    proxy = f"http://proxy-user:{PROXY_PASSWORD}@{echo}"
    monkeypatch.setenv("WORKFLOW_BRIDGE_TARGETS__PROXIED__PROXY", proxy)
    config = configuration(kafka, topics, queue, echo, tmp_path)
    bridge = BridgeProcess(tmp_path / "bridge", config)

    def logged(*words: str) -> bool:
        return any(all(word in line for word in words) for line in bridge.log.read_text().splitlines())

    with bridge:
        await until(lambda: logged("source_lost", "orders"), "Kafka has refused the password")
        await until(lambda: logged("source_lost", "payments"), "RabbitMQ has refused the password")
        (tmp_path / "kafka-password").write_text(USERS["bridge"])
        (tmp_path / "amqp-url").write_text(rabbitmq.url)
        async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap) as producer:
            await producer.send_and_wait(topics[0], b'{"id":"o-1"}')
            await producer.send_and_wait(topics[1], b"\0\0\0\0\x07body")  # an id of a schema: the registry is asked
        await rabbitmq.publish(queue, [b'{"id":"o-1"}'])
        await until(lambda: f"Bearer {FIRST_TOKEN}" in Echo.seen, "the API has seen the first token")
        (tmp_path / "token").write_text(SECOND_TOKEN)
        dead = "workflow_bridge_dead_letters_total"
        await until(
            lambda: sum(count for name, count in bridge.metrics().items() if name.startswith(dead)) >= 2,
            "the API has rejected order and payment",
        )
        await until(lambda: REGISTRY_LOGIN in logins(), "the registry is asked")
        await until(lambda: f"proxy-user:{PROXY_PASSWORD}" in logins(), "the proxy is asked")
        shown = {path: await asyncio.to_thread(_get, bridge.port, path) for path in ("metrics", "readyz", "livez")}
        shown |= {f"page: {path}": await asyncio.to_thread(_look, config["admin"]["port"], path) for path in LOOKS}
        shown["letters"] = said("dead-letters", "list", "--json", "--outbox", bridge.outbox, env=_environment(proxy))
        shown["check"] = said("check", "--online", "--config", bridge.config_file, env=_environment(proxy))
    assert "is not for" in shown["letters"], "the letters do hold the API's own words"
    assert "is not for" in shown["page: dead-letters/1"] + shown["page: dead-letters"]
    assert "The API says" in shown["page: targets/main/workflows/w/instances"]
    shown |= _files(bridge)
    assert {"bridge.log", "outbox.db", "outbox.db-wal"} <= shown.keys()
    for where, text in shown.items():
        for secret in PLANTED:
            assert secret not in text, f"{secret} shows in {where}: {_around(text, secret)}"


def _get(port: int, path: str) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=30) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        return error.read().decode()


def _look(port: int, path: str) -> str:
    """As an operator's page asks."""
    headers = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}
    return httpx.get(f"http://127.0.0.1:{port}/api/v1/{path}", headers=headers, trust_env=False, timeout=30).text


def _files(bridge: BridgeProcess) -> dict[str, str]:
    """What the bridge has written."""
    written = [file for file in bridge.outbox.parent.rglob("*") if file.is_file() and file != bridge.config_file]
    return {file.name: file.read_bytes().decode("latin-1") for file in written}


def _environment(proxy: str) -> dict[str, str]:
    return {**os.environ, "WORKFLOW_BRIDGE_TARGETS__PROXIED__PROXY": proxy}


def _around(text: str, secret: str) -> str:
    at = text.index(secret)
    return text[max(at - 200, 0) : at + 100]
