"""Whether the optional packages are installed that a configuration needs; it imports none of them."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from bridge.config.model import DeadLettersSettings
from bridge.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bridge.config.model import Config

BROKERS = {"kafka": "aiokafka", "rabbitmq": "aio_pika"}  # the extra -> what it installs
TRACING = {"otel": "opentelemetry"}


def missing_packages(config: Config) -> Iterator[Problem]:
    """A problem for each extra that is not there, where it is asked for."""
    for name, source in config.sources.items():
        yield from _missing(f"sources.{name}.type", source.type, BROKERS)
    if isinstance(config.dead_letters, DeadLettersSettings) and config.dead_letters.to is not None:
        yield from _missing("dead_letters.to.type", config.dead_letters.to.type, BROKERS)
    if config.tracing.endpoint:
        yield from _missing("tracing.endpoint", "otel", TRACING)


def _missing(path: str, extra: str, packages: dict[str, str]) -> Iterator[Problem]:
    package = packages.get(extra)
    if package is not None and find_spec(package) is None:
        yield Problem(path, f"this needs the package {package}: pip install 'workflow-bridge[{extra}]'")
