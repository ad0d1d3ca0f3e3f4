"""From settings to aiokafka's clients: options, secrets read from their files, and why a connection fails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaConsumer
from aiokafka.abc import AbstractTokenProvider
from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import KafkaConnectionError, KafkaError, SaslAuthenticationFailed
from aiokafka.helpers import create_ssl_context

from bridge.secrecy import read_secret, redact

if TYPE_CHECKING:
    from pathlib import Path

    from bridge.sources.kafka_settings import KafkaConnection, KafkaSasl, KafkaSettings

NEVER_MS = 2**31 - 1


def client_options(settings: KafkaConnection) -> dict[str, Any]:
    """Arguments of every aiokafka client. Reads files: raises OSError (ssl.SSLError is one)."""
    tls, sasl = settings.tls, settings.sasl
    options: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap_servers,
        "client_id": settings.client_id,
        "security_protocol": ("SASL_" if sasl else "") + ("SSL" if tls else "PLAINTEXT"),
        # With the default of 100 ms a broker that is down is asked, and logged about, twenty times a second.
        "retry_backoff_ms": 300,
        "request_timeout_ms": int(settings.request_timeout_seconds * 1000),
    }
    if tls is not None:
        key_file = tls.key_file or tls.cert_file
        options["ssl_context"] = create_ssl_context(cafile=tls.ca_file, certfile=tls.cert_file, keyfile=key_file)
    return options | (_sasl_options(sasl) if sasl else {})


def consumer_options(settings: KafkaSettings) -> dict[str, Any]:
    """Arguments of AIOKafkaConsumer. Reads files: raises OSError."""
    session_ms = int(settings.session_timeout_seconds * 1000)
    fetch = settings.fetch
    return client_options(settings) | {
        "group_id": settings.group_id,
        "group_instance_id": settings.group_instance_id,
        "enable_auto_commit": False,
        # We place every partition ourselves and want to hear of offsets that are out of range.
        "auto_offset_reset": "none",
        "isolation_level": "read_committed" if settings.read_committed else "read_uncommitted",
        "session_timeout_ms": session_ms,
        "heartbeat_interval_ms": max(session_ms // 4, 100),
        "rebalance_timeout_ms": int(settings.rebalance_timeout_seconds * 1000),
        # Nobody calling `receive` is back-pressure, not death: aiokafka would leave the group.
        "max_poll_interval_ms": NEVER_MS,
        "metadata_max_age_ms": int(settings.metadata_refresh_seconds * 1000),
        "fetch_min_bytes": fetch.min_bytes,
        "fetch_max_wait_ms": fetch.max_wait_ms,
        "fetch_max_bytes": fetch.max_bytes,
        "max_partition_fetch_bytes": fetch.max_partition_bytes,
        "check_crcs": fetch.check_crcs,
    }


def make_consumer(options: dict[str, Any]) -> AIOKafkaConsumer:
    """One that is not started yet; options: ``consumer_options``, or others made of them."""
    consumer = AIOKafkaConsumer(**options)
    lose_closed_connections(consumer._client)  # noqa: SLF001  no public hook
    return consumer


def lose_closed_connections(client: Any) -> None:  # noqa: ANN401  aiokafka publishes no types
    """Let a request on a connection that has ended fail as any other does that is lost: KafkaConnectionError.

    aiokafka's connection maps what writing raises where that is an OSError. uvloop's transports raise RuntimeError once
    they are closed (UVHandle._ensure_alive), asyncio's own nothing; so a task of aiokafka's, or ours, would end of it.
    """
    send = client.send

    async def send_or_lose(node_id: int, request: object, **options: Any) -> Any:  # noqa: ANN401  as above
        try:
            return await send(node_id, request, **options)
        except KafkaError:  # a RuntimeError, too
            raise
        except RuntimeError as error:
            raise KafkaConnectionError(f"the connection to node {node_id} has ended: {error}") from error

    client.send = send_or_lose


async def diagnose(settings: KafkaConnection) -> str:
    """Why a bootstrap failed, in words: aiokafka itself says the same of an outage and of a wrong password."""
    options = client_options(settings)
    del options["bootstrap_servers"], options["retry_backoff_ms"]
    reasons = []
    for host, port, _ in collect_hosts(settings.bootstrap_servers):
        try:
            connection = await create_conn(host, port, **options)
            connection.close()
            reason = "answers now"
        except (KafkaError, OSError, TimeoutError, ValueError) as error:
            reason = explain(error)
        reasons.append(f"{host}:{port} {reason}")
    return "; ".join(reasons)


def _sasl_options(sasl: KafkaSasl) -> dict[str, Any]:
    if sasl.token_file is not None:
        return {"sasl_mechanism": sasl.mechanism, "sasl_oauth_token_provider": _TokenFile(sasl.token_file)}
    password = sasl.password.get_secret_value() if sasl.password else ""
    if sasl.password_file is not None:
        password = read_secret(sasl.password_file)
    return {
        "sasl_mechanism": sasl.mechanism,
        "sasl_plain_username": sasl.username,
        "sasl_plain_password": password,
    }


def explain(error: BaseException) -> str:
    """An error of the client as a sentence, without secrets."""
    if isinstance(error, TimeoutError):
        return "did not answer in time"
    text = redact(str(error)) or type(error).__name__
    if isinstance(error, SaslAuthenticationFailed):
        return f"authentication failed, check user name, password or token ({text})"
    return text


class _TokenFile(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka publishes no types
    def __init__(self, path: Path) -> None:
        self._path = path

    async def token(self) -> str:
        return read_secret(self._path)
