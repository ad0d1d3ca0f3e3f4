"""Fixtures that every test may use; the real services bring their own."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
import structlog
from hypothesis import settings

from bridge.secrecy import redact

if TYPE_CHECKING:
    from collections.abc import Iterator

# How long one example takes says more about the machine than about the code.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

pytest_plugins = [
    "tests.services.kafka",
    "tests.services.kafka_cluster",
    "tests.services.rabbitmq",
    "tests.services.workerd",
    "tests.services.containers",
]


@pytest.fixture(autouse=True)
def _no_secrets() -> Iterator[None]:
    """A secret of one test is a word like any other in the next one."""
    yield
    redact.clear()


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """What one test sets up of logging, as a command does that runs in its process, is not there for the next one."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)
