"""The queues for dead letters by the name of their broker; a broker's packages are imported only when it is used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Protocol

from bridge.errors import ConfigError, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bridge.dead_letters.letter import Letter
    from bridge.dead_letters.settings import KafkaDeadLetterSettings, RabbitDeadLetterSettings


class DeadLetters(Protocol):
    """A bridge.outbox.publisher.DeadLetterQueue, by structure."""

    async def open(self) -> None:
        """Connect; raises OutboxError when that is not possible."""

    async def publish(self, letters: Sequence[Letter]) -> None:
        """Return once the broker has confirmed every letter, or will never take it; retries until then."""

    async def close(self) -> None:
        """Let go of the broker; never raises."""


_PLACES = {"kafka": ("kafka", "KafkaDeadLetters"), "rabbitmq": ("rabbitmq", "RabbitDeadLetters")}


def make_dead_letters(
    settings: KafkaDeadLetterSettings | RabbitDeadLetterSettings, cut: Callable[[int], None] = lambda _: None
) -> DeadLetters:
    """A queue that is not open yet. Raises ConfigError where its packages are not installed.

    cut: told how many letters went without some of their message, since it is too large for the broker.
    """
    module, name = _PLACES[settings.type]
    try:
        loaded = import_module(f"bridge.dead_letters.{module}")
    except ModuleNotFoundError as error:
        what = f"needs the package {error.name}: pip install 'workflow-bridge[{settings.type}]'"
        raise ConfigError([Problem("type", what)]) from error
    made: DeadLetters = getattr(loaded, name)(settings, cut)
    return made
