"""Takes messages of a source into a file, one a line, and leaves them where they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from bridge import recorded
from bridge.errors import ConfigError, Problem
from bridge.sources.registry import make_reader

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.config import Config
    from bridge.sources.base import Reader

MOST_UNACKNOWLEDGED = 65_535  # messages that RabbitMQ gives to one consumer at most


class Recording:
    """One taking of messages; ``taken`` are in the file, whatever ends it.

    Raises ConfigError where there is no such source, or too many messages are wanted of a queue.
    """

    def __init__(self, config: Config, source: str, wanted: int) -> None:
        if source not in config.sources:
            raise ConfigError([Problem("", f"no source {source!r}; there are {', '.join(config.sources)}")])
        settings = config.sources[source]
        self.kind = settings.type
        if self.kind == "rabbitmq" and wanted > MOST_UNACKNOWLEDGED:
            raise ConfigError([Problem("", f"of a queue at most {MOST_UNACKNOWLEDGED:,} messages can be looked at")])
        self.taken = 0
        self._wanted = wanted
        self._reader: Reader = make_reader(settings.type, source, settings, wanted)

    async def run(self, at: str | int, sink: BinaryIO, progress: Callable[[int], None]) -> None:
        """Until all are taken; may be cancelled. at: see bridge.sources.base.Reader. Raises SourceLost, OSError."""
        try:
            await self._reader.open()
            await self._reader.begin(at)
            while self.taken < self._wanted:
                messages = (await self._reader.receive())[: self._wanted - self.taken]
                if messages:
                    sink.write(b"".join(recorded.encode(message) + b"\n" for message in messages))
                    sink.flush()
                    self.taken += len(messages)
                    progress(self.taken)
        finally:
            await self._reader.close()
