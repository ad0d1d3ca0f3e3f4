"""Builds each part of the bridge from its settings; the only place that knows which class a setting stands for."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from bridge.call import Operation
from bridge.caution.caution import Caution
from bridge.cloudflare.client import Client
from bridge.cloudflare.transport import open_transport
from bridge.dead_letters.registry import make_dead_letters
from bridge.decoding.decoder import decoder
from bridge.dispatch.allowance import Allowance, Notes, numbers
from bridge.dispatch.gate import Line
from bridge.dispatch.metered import Metered
from bridge.dispatch.sending import Sender
from bridge.intake import Current, Translation
from bridge.outbox.memory import MemoryOutbox
from bridge.outbox.settings import MemorySettings
from bridge.outbox.sqlite import SqliteOutbox
from bridge.shadow import Shadow
from bridge.sources.registry import make_source
from bridge.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from bridge.cloudflare.settings import TargetSettings
    from bridge.config import Config, SourceSettings
    from bridge.dispatch.dispatcher import Clock
    from bridge.metrics import Metrics
    from bridge.outbox.base import DeadLetterQueue
    from bridge.routing.settings import RuleSettings


def outbox(config: Config, now_ms: Callable[[], int]) -> SqliteOutbox | MemoryOutbox:
    """The outbox, not open yet."""
    if isinstance(config.outbox, MemorySettings):
        return MemoryOutbox(config.outbox, _dead_letters(config), clock=now_ms)
    return SqliteOutbox(config.outbox, clock=now_ms)


def _dead_letters(config: Config) -> DeadLetterQueue | None:
    if config.dead_letters is None or config.dead_letters == "discard":
        return None
    return make_dead_letters(config.dead_letters.to)


class Shared(NamedTuple):
    """What all parts of one run have in common."""

    outbox: SqliteOutbox | MemoryOutbox
    metrics: Metrics
    clock: Clock
    seconds: Callable[[], float]  # monotonic


def lines(config: Config, names: Iterable[str], shared: Shared) -> Mapping[str, Line]:
    """How these targets are called, each by a client of its own. Raises ConfigError."""
    made = {}
    for name in names:
        target = config.targets[name]
        allowance = _allowance(name, target, shared)
        client = Client(target, Metered(open_transport(target), allowance))
        made[name] = Line(Sender(client, shared.metrics, shared.seconds), target.concurrency, allowance)
    return made


def _allowance(name: str, target: TargetSettings, shared: Shared) -> Allowance:
    """What the target's token allows, taken up where an earlier process, or an earlier configuration, left it."""
    note = f"quota/{name}"
    outbox = shared.outbox
    notes = Notes(lambda: outbox.noted(note), lambda text: outbox.note(note, text))
    allowance = Allowance(target.budget, lambda: shared.clock.now_ms() / 1000, notes)
    shared.metrics.watch_quota(name, lambda: numbers(allowance, shared.clock.now_ms() / 1000))
    return allowance


def supervisor(config: Config, name: str, shared: Shared) -> Supervisor:
    """What keeps this source reading. Raises ConfigError where a file that it needs cannot be read."""
    settings = config.sources[name]
    source = make_source(settings.type, name, _for_outbox(settings, config), shared.outbox)
    translation = Translation(
        decoder(settings, shared.seconds), config.router(), shared.metrics, shared.clock.now_ms, shared.seconds
    )
    current = Current(renewed(translation, config, name))
    return Supervisor(source, current, shared.outbox, Caution(name, _marks(config, name)), shared.clock.random)


def _marks(config: Config, source: str) -> Path | None:
    """The file in which this source's reader says what it is at work on; None where there is no place for it."""
    folder = config.outbox.marks_folder
    return None if folder is None else folder / source


def renewed(translation: Translation, config: Config, name: str) -> Translation:
    """The translation of a source by another configuration, which connects and decodes it in the same way."""
    age = config.sources[name].ignore_older_than
    shadow = config.shadow_router()
    return translation._replace(
        router=config.router(),
        ignore_older_than_ms=None if age is None else age // timedelta(milliseconds=1),
        config=config.digest(),
        shadow=None if shadow is None else Shadow(shadow, translation.metrics),
    )


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


def declare_rules(config: Config, metrics: Metrics) -> None:
    """Let every series that is known from the rules exist."""
    metrics.declare(rules=[(rule.name, operation(rule)) for rule in config.rules])


def operation(rule: RuleSettings) -> str:
    """The operation of a rule's calls; "" where it makes none."""
    calls = {Operation.CREATE: rule.create, Operation.EVENT: rule.event, Operation.STATUS: rule.status}
    return next((name for name, action in calls.items() if action is not None), "")
