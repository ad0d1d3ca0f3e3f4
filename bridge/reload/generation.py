"""One configuration in use, and the number that tells it from those before and after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from bridge.config import Config


class Generation(NamedTuple):
    """A configuration that this process uses, or has used."""

    number: int  # from 1, by this process; a reload that changes something adds one
    config: Config

    @property
    def digest(self) -> str:
        """Names the configuration itself, in every process; stored with each call that it made."""
        return self.config.digest()

    def next(self, config: Config) -> Generation:
        """The one that follows."""
        return Generation(self.number + 1, config)
