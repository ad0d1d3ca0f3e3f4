"""The sources as they are read now."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bridge.config.model import DeadLettersSettings
from bridge.console.shapes import Partition, Source, Sources
from bridge.metrics.watch import bounded
from bridge.secrecy import redact

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridge.config import SourceSettings
    from bridge.console.running import Running
    from bridge.console.sampling import History
    from bridge.metrics import Reading
    from bridge.outbox.base import Depth
    from bridge.outbox.settings import MemorySettings, SqliteSettings

STATES = {
    "reading": "It has its broker.",
    "disconnected": "It does not reach its broker, and tries again.",
    "held_up": "The outbox has no room: the broker keeps what comes after.",
    "waiting": "Its schema registry does not answer as it should, so nothing can be decoded.",
    "paused": "An operator has paused it: its broker keeps its messages.",
    "stopped": "It is not read.",
}


def sources(running: Running, history: History) -> Sources:
    """All of the configuration."""
    counted = {name: running.of_label(name) for name in _COUNTED}
    rates = history.of_sources()
    live, letters = running.live.sources, running.config.dead_letters
    most = letters.max_bytes if isinstance(letters, DeadLettersSettings) else 0
    held = full(running.outbox.depth(), running.config.outbox, most)
    switched = {(one.kind, one.name) for one in running.operator.switches.paused}
    return Sources(
        [
            _told(
                _source(name, settings, running.metrics.watch.reading(name), counted, rates.get(name, 0.0)),
                live.trouble(name),
                held,
            )
            if not switched & {("all", ""), ("source", name)}
            else replace(
                _source(name, settings, running.metrics.watch.reading(name), counted, 0.0),
                state="paused",
                explanation=STATES["paused"],
            )
            for name, settings in running.config.sources.items()
        ]
    )


def _told(source: Source, trouble: str, held: str) -> Source:
    """With the words of who it waits for."""
    said = {"disconnected": redact(trouble), "waiting": redact(trouble), "held_up": held}.get(source.state, "")
    return replace(source, explanation=f"{source.explanation} {said}") if said else source


def full(depth: Depth, outbox: SqliteSettings | MemorySettings, dead_max_bytes: int) -> str:
    """Which bound of the outbox is reached, as far as its counts tell. dead_max_bytes: 0, no bound. Pure."""
    calls = depth.ready + depth.later
    if outbox.max_entries and calls >= outbox.max_entries:
        return f"{calls:,} of {outbox.max_entries:,} calls wait (outbox.max_entries)."
    if dead_max_bytes and depth.dead_bytes >= dead_max_bytes:
        return f"Dead letters have used up dead_letters.max_bytes, {dead_max_bytes:,}: redrive or discard some."
    if outbox.type == "memory":
        return f"What waits for the API, or to be published, takes up outbox.max_bytes ({outbox.max_bytes:,} bytes)."
    return "If it lasts, its file is as large as outbox.max_bytes allows, or cannot be written: see the log."


_COUNTED = (
    "source_connected",
    "source_held_up",
    "source_waiting",
    "source_messages_received_total",
    "messages_unmatched_total",
    "messages_dropped_total",
    "source_unacknowledged_messages",
    "source_reconnects_total",
)


def _source(
    name: str,
    settings: SourceSettings,
    reading: Reading | None,
    counted: Mapping[str, Mapping[str, float]],
    rate: float,
) -> Source:
    values = {what: int(found.get(name, 0)) for what, found in counted.items()}
    behind = {} if reading is None else reading.behind
    state = _state(values, reading)
    return Source(
        name,
        settings.type,
        _reads(settings),
        state,
        STATES[state],
        values["source_messages_received_total"],
        rate,
        values["messages_unmatched_total"],
        values["messages_dropped_total"],
        values["source_unacknowledged_messages"],
        values["source_reconnects_total"],
        sum(far.messages for far in behind.values()) if behind else None,
        [Partition(part, far.messages, round(far.seconds, 1)) for part, far in bounded(behind).items()],
        0 if reading is None else reading.partitions,
    )


def _state(values: Mapping[str, int], reading: Reading | None) -> str:
    if reading is None:
        return "stopped"
    if not values["source_connected"]:
        return "disconnected"
    if values["source_waiting"]:
        return "waiting"
    return "held_up" if values["source_held_up"] else "reading"


def _reads(settings: SourceSettings) -> list[str]:
    """Topics, a pattern of them, or queues."""
    pattern = getattr(settings, "topics_pattern", None)
    if pattern:
        return [str(pattern)]
    return list(map(str, getattr(settings, "topics", None) or getattr(settings, "names", None) or ()))
