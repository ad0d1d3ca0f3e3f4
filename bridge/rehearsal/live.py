"""One message from where it lies, at a broker."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from bridge.errors import ConfigError, Problem
from bridge.rehearsal.stage import Sample
from bridge.sources.registry import make_reader

if TYPE_CHECKING:
    from bridge.config import Config, SourceSettings


class Place(NamedTuple):
    """A record of Kafka."""

    topic: str  # "" where the source has only one
    partition: int
    offset: int


async def message_at(config: Config, source: str, place: Place) -> Sample:
    """The message at a place; nothing is joined and nothing committed.

    source: "" for the one that reads the topic. Raises ConfigError, SourceLost and RecordMissing.
    """
    name = source or _reads(config, place.topic)
    if name not in config.sources:
        raise ConfigError([Problem("", f"no source {name!r}; there are {', '.join(config.sources)}")])
    settings = config.sources[name]
    reader = make_reader(settings.type, name, settings, 1)
    try:
        topic = place.topic or _only_topic(settings)
        if settings.type == "kafka":
            await reader.open()
        return Sample(await reader.at(topic, place.partition, place.offset))
    finally:
        await reader.close()


def _only_topic(settings: SourceSettings) -> str:
    topics: list[str] = getattr(settings, "topics", ["?"])
    if len(topics) != 1:
        raise ConfigError([Problem("", "say which --topic")])
    return topics[0]


def _reads(config: Config, topic: str) -> str:
    """The source that reads a topic, where there is exactly one."""
    found = [name for name, settings in config.sources.items() if _has(settings, topic)]
    if len(found) == 1:
        return found[0]
    if not found and all(settings.type != "kafka" for settings in config.sources.values()):
        return next(iter(config.sources))  # whose reader says why it cannot be
    said = f"several sources read it: {', '.join(found)}" if found else "no source reads it"
    raise ConfigError([Problem("", f"topic {topic!r}: {said}; say which --source")])


def _has(settings: SourceSettings, topic: str) -> bool:
    if settings.type != "kafka":
        return False
    pattern = getattr(settings, "pattern", None)
    return topic in getattr(settings, "topics", ()) or (pattern is not None and re.match(pattern, topic) is not None)
