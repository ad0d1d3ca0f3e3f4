"""Sources by the name of their type."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bridge.errors import ConfigError
from bridge.sources import registry
from bridge.sources.registry import make_source, require, settings_model
from tests.sources.subjects import OutboxPositions


def test_each_type_is_made_from_its_settings() -> None:
    """The registry finds the model and the class of every broker."""
    kafka = settings_model("kafka").model_validate({"bootstrap_servers": ["k:9092"], "topics": ["t"], "group_id": "g"})
    rabbit = settings_model("rabbitmq").model_validate({"url": "amqp://u:p@h/", "queue": "q"})
    assert make_source("kafka", "orders", kafka, OutboxPositions()).name == "orders"
    assert make_source("rabbitmq", "payments", rabbit, OutboxPositions()).name == "payments"


def test_an_unknown_type_is_a_configuration_error() -> None:
    """It says which types there are."""
    with pytest.raises(ConfigError, match="there are: kafka, rabbitmq"):
        settings_model("nats")


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a broker's client is not installed, the error says what to install."""
    entry = registry.SOURCES["kafka"]._replace(extra="kafka")
    monkeypatch.setitem(registry.SOURCES, "kafka", entry)
    monkeypatch.setitem(sys.modules, "aiokafka", None)
    for name in [name for name in sys.modules if name.startswith("bridge.sources.kafka")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ConfigError, match=r"pip install 'workflow-bridge\[kafka\]'"):
        require("kafka")


def test_settings_are_read_without_any_client() -> None:
    """A process that uses one broker does not carry the client of the other, nor does a mere check carry any."""
    code = (
        "import sys, bridge.sources.kafka_settings, bridge.sources.rabbitmq_settings, bridge.sources.registry,"
        " bridge.dead_letters.settings, bridge.dead_letters.registry;"
        "print([name for name in ('aiokafka', 'aiormq', 'aio_pika') if name in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("kafka", {"topics": []}, "one of `topics` and `topics_pattern`"),
        ("kafka", {"topics": [], "topics_pattern": "("}, "not a regular expression"),
        ("kafka", {"assign": {"index": 2, "of": 2}}, "must be below"),
        ("kafka", {"bootstrap_servers": ["no port"]}, "bootstrap_servers"),
        ("kafka", {"sasl": {"mechanism": "PLAIN", "username": "u"}}, "one of `password_file` and `password`"),
        ("kafka", {"sasl": {"mechanism": "OAUTHBEARER"}}, "token_file"),
        ("kafka", {"tls": {"key_file": "x"}}, "needs `cert_file`"),
        ("kafka", {"unknown": 1}, "Extra inputs"),
        ("rabbitmq", {"url": "http://u:sesame@h/"}, "has to look like"),
        ("rabbitmq", {"url_file": "x"}, "one of `url_file` and `url`"),
        ("rabbitmq", {"queues": ["a"]}, "one of `queue` and `queues`"),
        ("rabbitmq", {"declare": {"type": "quorum", "durable": False}}, "always durable"),
    ],
)
def test_settings_that_cannot_work_are_refused(kind: str, changes: dict[str, object], message: str) -> None:
    """Before anything connects; a password in a bad address is not repeated."""
    good: dict[str, dict[str, object]] = {
        "kafka": {"bootstrap_servers": ["k:9092"], "topics": ["t"], "group_id": "g"},
        "rabbitmq": {"url": "amqp://u:p@h/", "queue": "q"},
    }
    with pytest.raises(ValueError, match=message) as caught:
        settings_model(kind).model_validate(good[kind] | changes)
    assert "sesame" not in str(caught.value)


def test_every_setting_is_described() -> None:
    """The public documentation of settings is made from their descriptions."""
    for kind in registry.SOURCES:
        for name, field in settings_model(kind).model_fields.items():
            assert field.description, f"{kind}: {name}"
