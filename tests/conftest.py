"""Fixtures that every test may use; the real services bring their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bridge.secrecy import redact

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest_plugins = [
    "tests.services.kafka",
    "tests.services.kafka_cluster",
    "tests.services.rabbitmq",
    "tests.services.workerd",
]


@pytest.fixture(autouse=True)
def _no_secrets() -> Iterator[None]:
    """A secret of one test is a word like any other in the next one."""
    yield
    redact.clear()
