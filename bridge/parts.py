"""Builds each part of the bridge from its settings; the only place that knows which class a setting stands for."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from bridge.admission import Admission
from bridge.call import Operation
from bridge.caution.caution import Caution
from bridge.cloudflare.client import Client
from bridge.cloudflare.transport import open_transport
from bridge.config.model import DeadLettersSettings
from bridge.control import place
from bridge.control.diary import Diary
from bridge.control.operator import Operator
from bridge.dead_letters.registry import make_dead_letters
from bridge.dead_letters.upkeep import Copying, Expiry, Upkeep
from bridge.decoding.decoder import decoder
from bridge.dispatch.allowance import Allowance, Notes
from bridge.dispatch.gate import Line
from bridge.dispatch.metered import Metered
from bridge.dispatch.sending import Sender
from bridge.dispatch.traced import TracedSender, Trail
from bridge.dispatch.watching import Watching, plans, settled_since_ms
from bridge.errors import ConfigError
from bridge.intake import Current, Translation
from bridge.metrics import FileReading
from bridge.outbox.admin import SqliteOutboxAdmin
from bridge.outbox.file import on_disk
from bridge.outbox.ledger import Keeping
from bridge.outbox.memory import MemoryOutbox
from bridge.outbox.originals import Originals
from bridge.outbox.overview import LedgerFilter
from bridge.outbox.settings import MemorySettings, SqliteSettings
from bridge.outbox.sqlite import SqliteOutbox
from bridge.shadow import Shadow
from bridge.sources.registry import make_source
from bridge.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from bridge.cloudflare.results import Listed
    from bridge.cloudflare.settings import TargetSettings
    from bridge.config import Config, SourceSettings
    from bridge.control.operator import Bridge
    from bridge.decoding import Decoder
    from bridge.dispatch.timeline import Clock
    from bridge.dispatch.watching import Plan
    from bridge.metrics import Metrics
    from bridge.outbox.base import Queue
    from bridge.outbox.overview import LedgerRow
    from bridge.outbox.publisher import DeadLetterQueue
    from bridge.routing.settings import RuleSettings
    from bridge.tracing.tracer import Tracer

ROWS_OF_ONE = 50  # of creates of an instance, the last ones: enough to see which has made it


def outbox(config: Config, now_ms: Callable[[], int], metrics: Metrics) -> SqliteOutbox | MemoryOutbox:
    """The outbox, not open yet."""
    if isinstance(config.outbox, MemorySettings):
        return MemoryOutbox(config.outbox, _dead_letters(config, metrics), clock=now_ms)
    kept = config.dead_letters
    most = kept.max_bytes if isinstance(kept, DeadLettersSettings) else 0
    ledger = Keeping(config.ledger.keep, config.ledger.max_bytes)
    return SqliteOutbox(config.outbox, clock=now_ms, dead_max_bytes=most, ledger=ledger)


def _dead_letters(config: Config, metrics: Metrics) -> DeadLetterQueue | None:
    settings = config.dead_letters
    if not isinstance(settings, DeadLettersSettings) or settings.to is None:
        return None
    return make_dead_letters(settings.to, partial(metrics.dead_letters_seen_to, "cut"))


def upkeep(config: Config, outbox: SqliteOutbox | MemoryOutbox, metrics: Metrics, now_ms: Callable[[], int]) -> Upkeep:
    """What is done with dead letters that a file keeps; nothing without one. Raises ConfigError."""
    if not isinstance(config.outbox, SqliteSettings) or not isinstance(outbox, SqliteOutbox):
        return Upkeep()
    settings = config.dead_letters if isinstance(config.dead_letters, DeadLettersSettings) else DeadLettersSettings()
    metrics.dead_letter_capacity(settings.max_bytes)
    queue, admin = _dead_letters(config, metrics), SqliteOutboxAdmin(config.outbox.path)
    return Upkeep(
        None if queue is None else Copying(outbox, admin, queue, partial(metrics.dead_letters_seen_to, "copied")),
        None
        if settings.keep is None
        else Expiry(outbox, settings.keep, now_ms, partial(metrics.dead_letters_seen_to, "expired")),
    )


class Shared(NamedTuple):
    """What all parts of one run have in common."""

    outbox: SqliteOutbox | MemoryOutbox
    metrics: Metrics
    clock: Clock
    tracer: Tracer | None = None


def lines(config: Config, names: Iterable[str], shared: Shared) -> Mapping[str, Line]:
    """How these targets are called, each by a client of its own. Raises ConfigError."""
    made = {}
    for name in names:
        target = config.targets[name]
        allowance = _allowance(name, target, shared)
        try:
            client = Client(target, Metered(open_transport(target), allowance))
        except ConfigError as error:
            raise ConfigError(error.below(f"targets.{name}")) from None
        made[name] = Line(_sender(client, shared), target.concurrency, allowance)
    return made


def _sender(client: Client, shared: Shared) -> Sender:
    """Without tracing nothing of it is on the way of a request."""
    if shared.tracer is None:
        return Sender(client, shared.metrics, shared.clock.seconds)
    outbox = shared.outbox
    if isinstance(outbox, MemoryOutbox):
        trail = Trail(shared.tracer, outbox.originals, shared.clock.now_ms)
    else:
        trail = Trail(shared.tracer, Originals(outbox.path), shared.clock.now_ms)
    return TracedSender(client, shared.metrics, shared.clock.seconds, trail)


def _allowance(name: str, target: TargetSettings, shared: Shared) -> Allowance:
    """What the target's token allows, taken up where an earlier process, or an earlier configuration, left it."""
    note = f"quota/{name}"
    outbox = shared.outbox
    notes = Notes(lambda: outbox.noted(note), lambda text: outbox.note(note, text), shared.clock.now_ms)
    return Allowance(target.budget, shared.clock.seconds, notes)


def watch_quotas(lines: Mapping[str, Line], shared: Shared) -> None:
    """Let scrapes tell what the tokens of these targets, which are used from now on, allow."""
    for name, line in lines.items():
        if line.allowance is not None:
            shared.metrics.watch.quota(name, partial(_quota, line.allowance))


def _quota(allowance: Allowance) -> tuple[float, float, float] | None:
    known = allowance.numbers()
    return None if known is None else (known.limit, known.remaining, known.reset_seconds)


def supervisor(config: Config, name: str, shared: Shared) -> Supervisor:
    """What keeps this source reading. Raises ConfigError where a file that it needs cannot be read."""
    settings = config.sources[name]
    source = make_source(settings.type, name, _for_outbox(settings, config), shared.outbox)
    made = translation(config, name, shared.metrics, shared.clock.now_ms, shared.clock.seconds)
    current = Current(made._replace(tracer=shared.tracer))
    return Supervisor(source, current, shared.outbox, Caution(name, _marks(config, name)), shared.clock.random)


def translation(
    config: Config, name: str, metrics: Metrics, now_ms: Callable[[], int], seconds: Callable[[], float]
) -> Translation:
    """How messages of this source become calls. Raises ConfigError where a file that it needs cannot be read."""
    made = Translation(decoding(config, name, seconds), config.router(), metrics, now_ms, seconds)
    return renewed(made, config, name)


def decoding(config: Config, name: str, seconds: Callable[[], float]) -> Decoder:
    """The codec of a source. Raises ConfigError where a file that it needs cannot be read."""
    try:
        return decoder(config.sources[name], seconds)
    except ConfigError as error:
        raise ConfigError(error.below(f"sources.{name}")) from None


def _marks(config: Config, source: str) -> Path | None:
    """The file in which this source's reader says what it is at work on; None where there is no place for it."""
    folder = config.outbox.marks_folder
    return None if folder is None else folder / source


def renewed(translation: Translation, config: Config, name: str) -> Translation:
    """The translation of a source by another configuration, which connects and decodes it in the same way."""
    settings = config.sources[name]
    shadow = config.shadow_router()
    return translation._replace(
        router=config.router(),
        admission=Admission.of(settings.max_message_bytes, settings.ignore_older_than),
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


class _Records:
    """Reads the ledger beside the writer, in a thread: a look-up goes through the keys of all that came since."""

    def __init__(self, outbox: SqliteOutbox, now_ms: Callable[[], int]) -> None:
        self._outbox = outbox
        self._admin = SqliteOutboxAdmin(outbox.path)
        self._now_ms = now_ms

    async def creations(self, instances: Sequence[Listed]) -> Sequence[Sequence[LedgerRow]]:
        """See watching.Records."""
        return await asyncio.to_thread(lambda: [self._creation(one) for one in instances])

    def _creation(self, instance: Listed) -> list[LedgerRow]:
        chosen = LedgerFilter(instance=instance.id, operation="create", since_ms=settled_since_ms(instance))
        return self._admin.ledger(None, ROWS_OF_ONE, chosen)

    async def errored(self, rows: Sequence[LedgerRow]) -> None:
        """See watching.Records."""
        await self._outbox.ask(lambda store: store.ledger.errored(rows, self._now_ms()))


def watching(
    config: Callable[[], Config],
    lines: Callable[[], Mapping[str, Line]],
    shared: Shared,
    stopped: Callable[[Queue], bool],
) -> Watching | None:
    """What looks after instances, by the configuration in use; None without a file, which has no ledger."""
    if not isinstance(shared.outbox, SqliteOutbox):
        return None

    def wanted() -> Mapping[Queue, Plan]:
        now = config()
        return plans(now.rules, next(iter(now.targets), ""))

    records = _Records(shared.outbox, shared.clock.now_ms)
    return Watching(wanted, lines, records, shared.metrics, shared.clock, stopped)


def operator(outbox: SqliteOutbox | MemoryOutbox, bridge: Bridge, now_ms: Callable[[], int]) -> Operator:
    """What operators can have done."""
    return Operator(Diary(outbox.ask, now_ms) if isinstance(outbox, SqliteOutbox) else None, bridge, now_ms)


def file_reading(config: Config, outbox: SqliteOutbox) -> FileReading:
    """What a scrape is told of the outbox file."""
    settings, counts = config.outbox, outbox.counts
    assert isinstance(settings, SqliteSettings)  # noqa: S101  it has a file
    duplicates = {name: counts.duplicates[name] for name in (*config.sources, *counts.duplicates)}
    return FileReading(on_disk(settings.path), settings.max_bytes, counts.write_errors, duplicates)


def control_name(config: Config, health_port: int) -> str:
    """Where commands reach the bridge that runs by this configuration. Raises OSError where its outbox has no file."""
    if isinstance(config.outbox, MemorySettings):
        return place.of_health(health_port)
    return place.of_outbox(config.outbox.path)


def declare_rules(config: Config, metrics: Metrics) -> None:
    """Let every series that is known from the rules exist."""
    metrics.declare(rules=[(rule.name, operation(rule)) for rule in config.rules])
    metrics.errored({rule.name: 0 for rule in config.rules if rule.watch is not None})


def operation(rule: RuleSettings) -> str:
    """The operation of a rule's calls; "" where it makes none."""
    calls = {Operation.CREATE: rule.create, Operation.EVENT: rule.event, Operation.STATUS: rule.status}
    return next((name for name, action in calls.items() if action is not None), "")
