"""Builds each part of the bridge from its settings; the only place that knows which class a setting stands for."""

from __future__ import annotations

import random
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from bridge.call import Operation
from bridge.cloudflare.client import Client
from bridge.cloudflare.transport import open_transport
from bridge.dead_letters.registry import make_dead_letters
from bridge.decoding.decoder import decoder
from bridge.dispatch.dispatcher import Line
from bridge.dispatch.sending import Sender
from bridge.intake import Translation
from bridge.outbox.memory import MemoryOutbox
from bridge.outbox.settings import MemorySettings
from bridge.outbox.sqlite import SqliteOutbox
from bridge.sources.registry import make_source
from bridge.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bridge.config import Config, SourceSettings
    from bridge.metrics import Metrics
    from bridge.outbox.base import DeadLetterQueue
    from bridge.routing.router import Router
    from bridge.routing.settings import RuleSettings
    from bridge.sources.base import Source


def outbox(config: Config, now_ms: Callable[[], int]) -> SqliteOutbox | MemoryOutbox:
    """The outbox, not open yet."""
    if isinstance(config.outbox, MemorySettings):
        return MemoryOutbox(config.outbox, _dead_letters(config), clock=now_ms)
    return SqliteOutbox(config.outbox, clock=now_ms)


def _dead_letters(config: Config) -> DeadLetterQueue | None:
    if config.dead_letters is None or config.dead_letters == "discard":
        return None
    return make_dead_letters(config.dead_letters.to)


def clients(config: Config) -> Mapping[str, Client]:
    """One client per target. Raises ConfigError."""
    return {name: Client(target, open_transport(target)) for name, target in config.targets.items()}


def lines(
    config: Config, clients: Mapping[str, Client], metrics: Metrics, seconds: Callable[[], float]
) -> Mapping[str, Line]:
    """How each target is called. seconds: a monotonic clock."""
    return {
        name: Line(Sender(client, metrics, seconds), config.targets[name].concurrency)
        for name, client in clients.items()
    }


def supervisors(
    config: Config, outbox: SqliteOutbox | MemoryOutbox, metrics: Metrics, now_ms: Callable[[], int]
) -> Sequence[Supervisor]:
    """One for each source. Raises ConfigError where a rule cannot be compiled or a file cannot be read."""
    router = config.router()
    made = []
    for name, settings in config.sources.items():
        source = make_source(settings.type, name, _for_outbox(settings, config), outbox)
        metrics.watch_source(name, partial(_gauges, source))
        translation = _translation(settings, router, metrics, now_ms)
        made.append(Supervisor(source, translation, outbox, random.random))
    return made


def _for_outbox(settings: SourceSettings, config: Config) -> SourceSettings:
    """The source's settings, with batches of one message where a batch is acknowledged only when it is delivered.

    RabbitMQ can forget each message by itself; in a larger batch one call that waits would hold back all of them.
    """
    if (
        config.outbox.type == "memory"
        and settings.type == "rabbitmq"
        and "max_records" not in settings.model_fields_set
    ):
        return settings.model_copy(update={"max_records": 1})
    return settings


def operation(rule: RuleSettings) -> str:
    """The operation of a rule's calls; "" where it makes none."""
    calls = {Operation.CREATE: rule.create, Operation.EVENT: rule.event, Operation.STATUS: rule.status}
    return next((name for name, action in calls.items() if action is not None), "")


def _gauges(source: Source) -> Mapping[str, float]:
    lag = source.lag
    return {"partitions": len(source.assigned)} | ({"lag_messages": sum(lag.values())} if lag else {})


def _translation(settings: SourceSettings, router: Router, metrics: Metrics, now_ms: Callable[[], int]) -> Translation:
    age = settings.ignore_older_than
    ignore_older_than_ms = None if age is None else age // timedelta(milliseconds=1)
    return Translation(decoder(settings), router, metrics, now_ms, ignore_older_than_ms)
