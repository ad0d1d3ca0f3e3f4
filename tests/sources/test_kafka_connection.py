"""How a Kafka source gets in, and what it says when it does not; every codec; on a real broker."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from bridge.errors import SourceLost
from bridge.sources.kafka import KafkaSource
from bridge.sources.kafka_settings import KafkaSettings
from tests.services.kafka import USERS
from tests.sources.subjects import (
    OutboxPositions,
    bodies,
    collect,
    kafka_settings,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.services.kafka import KafkaServer

from tests.sources.kafka_steps import values

pytestmark = pytest.mark.kafka


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_every_codec_is_read(kafka: KafkaServer, codec: str) -> None:
    """Topics compressed with any of Kafka's codecs are read."""
    topic = await kafka.topic()
    await kafka.produce(topic, values(100), compression_type=codec)
    source = KafkaSource("orders", kafka_settings(kafka, topic), OutboxPositions())
    await source.open()
    assert bodies(await collect(source, 100)) == values(100)
    await source.close()


def secured(kafka: KafkaServer, **sasl: object) -> dict[str, Any]:
    assert kafka.certificates is not None
    return {
        "bootstrap_servers": [kafka.sasl_bootstrap],
        "tls": {"ca_file": kafka.certificates.ca_file},
        "sasl": {"username": "bridge", "password": USERS["bridge"], **sasl},
    }


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_password_over_tls(kafka: KafkaServer, mechanism: str, tmp_path: Path) -> None:
    """Every password mechanism works over TLS, with the password in a file."""
    topic = await kafka.topic()
    await kafka.produce(topic, [b"x"])
    (tmp_path / "password").write_text(USERS["bridge"] + "\n")
    sasl = {"mechanism": mechanism, "password": None, "password_file": tmp_path / "password"}
    source = KafkaSource("orders", kafka_settings(kafka, topic, **secured(kafka, **sasl)), OutboxPositions())
    await source.open()
    assert bodies(await collect(source, 1)) == [b"x"]
    await source.close()


def unsecured_token(lives_seconds: int) -> str:
    """A token such as Kafka's development validator takes: not signed."""
    now = int(time.time())
    claims = {"sub": "bridge", "iat": now, "exp": now + lives_seconds}
    parts = ({"alg": "none"}, claims)
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + "."


async def test_oauth_token_from_a_file(kafka: KafkaServer, tmp_path: Path) -> None:
    """OAUTHBEARER sends the token that is in the file."""
    topic = await kafka.topic()
    await kafka.produce(topic, [b"x"])
    (tmp_path / "token").write_text(unsecured_token(600))
    changes = secured(kafka) | {"sasl": {"mechanism": "OAUTHBEARER", "token_file": tmp_path / "token"}}
    source = KafkaSource("orders", kafka_settings(kafka, topic, **changes), OutboxPositions())
    await source.open()
    assert bodies(await collect(source, 1)) == [b"x"]
    await source.close()


async def test_mutual_tls(kafka: KafkaServer) -> None:
    """With a certificate of our own the TLS listener lets us in; without one the text names the handshake."""
    topic = await kafka.topic()
    await kafka.produce(topic, [b"x"])
    assert kafka.certificates is not None
    files = kafka.certificates
    tls = {"ca_file": files.ca_file, "cert_file": files.client_cert_file, "key_file": files.client_key_file}
    there: dict[str, Any] = {"bootstrap_servers": [kafka.mtls_bootstrap]}
    source = KafkaSource("orders", kafka_settings(kafka, topic, tls=tls, **there), OutboxPositions())
    await source.open()
    assert bodies(await collect(source, 1)) == [b"x"]
    await source.close()
    without = kafka_settings(kafka, topic, tls={"ca_file": files.ca_file}, **there)
    with pytest.raises(SourceLost, match="no broker lets us in"):
        await KafkaSource("orders", without, OutboxPositions()).open()


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
async def test_a_wrong_password_is_called_that(kafka: KafkaServer, mechanism: str) -> None:
    """The error says that authentication failed, where aiokafka only says that it cannot bootstrap; no secret in it."""
    topic = await kafka.topic()
    changes = secured(kafka, mechanism=mechanism, password="not-the-password")  # noqa: S106  on purpose
    with pytest.raises(SourceLost, match="authentication failed") as caught:
        await KafkaSource("orders", kafka_settings(kafka, topic, **changes), OutboxPositions()).open()
    assert "not-the-password" not in str(caught.value)


async def test_a_missing_topic_is_named(kafka: KafkaServer) -> None:
    """Opening fails with the topic's name, and nothing is created by it."""
    with pytest.raises(SourceLost, match=r"no such topic.*: nowhere"):
        await KafkaSource("orders", kafka_settings(kafka, "nowhere"), OutboxPositions()).open()


async def test_an_address_where_nobody_listens_is_named() -> None:
    """The error names the broker that was tried."""
    settings = {"bootstrap_servers": ["127.0.0.1:9"], "topics": ["x"], "group_id": "g", "lost_after_seconds": 2}
    with pytest.raises(SourceLost, match=r"127\.0\.0\.1:9 "):
        await KafkaSource("orders", KafkaSettings.model_validate(settings), OutboxPositions()).open()
