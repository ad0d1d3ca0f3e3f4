"""Configurations for the tests of what tries rules out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bridge.config import Config
from bridge.rehearsal.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NOW_MS = 1_700_000_000_000
SOURCES: Mapping[str, Any] = {
    "orders": {"type": "kafka", "bootstrap_servers": ["b:9092"], "topics": ["shop.orders"], "group_id": "g"},
    "payments": {"type": "rabbitmq", "url": "amqp://b", "queue": "payments", "unmatched": "dead-letter"},
}


def config(rules: Sequence[Mapping[str, Any]], **more: Any) -> Config:
    """A configuration with these rules; those without a name get one."""
    named = [{"name": f"r{place}", **rule} for place, rule in enumerate(rules)]
    values = {"targets": {"main": {"account_id": "0" * 32, "api_token": "t"}}, "sources": SOURCES, "rules": named}
    return Config.model_validate({**values, **more})


def stage(*rules: Mapping[str, Any], **more: Any) -> Stage:
    """The same on a stage."""
    return Stage(config(rules, **more))
