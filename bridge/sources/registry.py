"""The brokers by the name that a configuration gives them; a broker's packages are imported only when it is used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from bridge.errors import ConfigError, Problem

if TYPE_CHECKING:
    from pydantic import BaseModel

    from bridge.message import Positions
    from bridge.sources.base import Reader, Source


class SourceType(NamedTuple):
    """Where the code of one kind of source is."""

    settings: str  # "module:class" of its pydantic model
    source: str  # "module:class" of the source
    reader: str  # "module:class" of what looks at its messages and leaves them where they are
    extra: str  # the optional dependency that brings its packages
    positions: bool  # whether it keeps positions: the outbox is given to it


SOURCES = {
    "kafka": SourceType(
        "kafka_settings:KafkaSettings", "kafka:KafkaSource", "kafka_reading:KafkaReader", "kafka", positions=True
    ),
    "rabbitmq": SourceType(
        "rabbitmq_settings:RabbitSettings",
        "rabbitmq:RabbitSource",
        "rabbitmq_reading:RabbitReader",
        "rabbitmq",
        positions=False,
    ),
}


def require(kind: str) -> None:
    """Raises ConfigError where the packages of this type of source are not installed."""
    _load(kind, _known(kind).source)


def settings_model(kind: str) -> type[BaseModel]:
    """The settings of this type of source, without ``type`` itself.

    Raises ConfigError where there is no such type.
    """
    model: type[BaseModel] = _load(kind, _known(kind).settings)
    return model


def make_source(kind: str, name: str, settings: BaseModel, positions: Positions) -> Source:
    """A source that is not open yet. Raises ConfigError where its packages are not installed."""
    entry = _known(kind)
    source: Any = _load(kind, entry.source)
    made: Source = source(name, settings, positions) if entry.positions else source(name, settings)
    return made


def make_reader(kind: str, name: str, settings: BaseModel, most: int) -> Reader:
    """A reader that is not open yet, for so many messages. Raises ConfigError where its packages are not installed."""
    made: Reader = _load(kind, _known(kind).reader)(name, settings, most)
    return made


def _known(kind: str) -> SourceType:
    if kind not in SOURCES:
        known = ", ".join(sorted(SOURCES))
        raise ConfigError([Problem("type", f"there is no source of type {kind!r}; there are: {known}")])
    return SOURCES[kind]


def _load(kind: str, place: str) -> Any:  # noqa: ANN401  the caller knows which class it is
    module, _, name = place.partition(":")
    try:
        return getattr(import_module(f"bridge.sources.{module}"), name)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("bridge"):
            raise
        extra = SOURCES[kind].extra
        what = f"{kind} needs the package {error.name}: pip install 'workflow-bridge[{extra}]'"
        raise ConfigError([Problem("type", what)]) from error
