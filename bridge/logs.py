"""Logging: one line per fact, as JSON or for a terminal, from our loggers and those of the libraries alike.

Secrets are taken out of the finished line, so that it does not matter how they got there: as a field, inside an error's
text or in a traceback.
"""

from __future__ import annotations

import json
import logging
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, BinaryIO

import orjson
import structlog

from bridge.secrecy import redact

if TYPE_CHECKING:
    from collections.abc import Iterable

    from structlog.typing import EventDict, Processor, WrappedLogger

# Chatty below WARNING; our own lines tell the same, once.
LIBRARIES = ("aiokafka", "aio_pika", "aiormq", "asyncio", "httpcore", "httpx", "uvicorn", "uvicorn.error")


class Level(StrEnum):
    """The least important lines that are written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"

    @property
    def number(self) -> int:
        """As the standard library counts."""
        return logging.getLevelNamesMapping()[self.upper()]


class Format(StrEnum):
    """How a line looks."""

    AUTO = "auto"  # console on a terminal, else json
    JSON = "json"
    CONSOLE = "console"


class Lines:
    """Where lines go. A logger that cannot write drops the line: it must not stop the bridge."""

    def __init__(self, name: str, stream: BinaryIO) -> None:
        self.name = name
        self._stream = stream

    def msg(self, line: str) -> None:
        """Write one line at once."""
        try:
            self._stream.write(redact(line).encode(errors="backslashreplace") + b"\n")
            self._stream.flush()
        except (OSError, ValueError):  # the pipe is gone, the disk is full, the stream is closed
            return

    debug = info = warning = error = critical = exception = msg


class Forward(logging.Handler):
    """Gives the records of the standard library to the same processors."""

    def __init__(self, processors: list[Processor], stream: BinaryIO) -> None:
        super().__init__()
        self._processors = processors
        self._stream = stream

    def emit(self, record: logging.LogRecord) -> None:
        """Render and write one record."""
        lines = Lines(record.name, self._stream)
        try:
            event: EventDict = {"event": record.getMessage(), "exc_info": record.exc_info}
            line: object = event
            for processor in self._processors:
                line = processor(lines, record.levelname.lower(), line)  # type: ignore[arg-type]  # each takes what the one before gave
        except Exception:  # noqa: BLE001  a library's broken log call must not stop the bridge
            line = f'{{"event":"log_line_broken","logger":"{record.name}"}}'
        lines.msg(str(line))


def configure(
    level: Level, style: Format = Format.AUTO, secrets: Iterable[str] = (), stream: BinaryIO | None = None
) -> None:
    """Send all logging to ``stream`` (standard error). May be called again, with other settings.

    secrets: values that must not appear in any line. Those under 4 characters are not masked.
    """
    redact.add(secrets)
    out = stream or sys.stderr.buffer
    console = style is Format.CONSOLE or (style is Format.AUTO and out.isatty())
    processors = _processors(console=console)
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(level.number),
        logger_factory=lambda *names: Lines(names[0] if names else "", out),
        cache_logger_on_first_use=False,  # module-level loggers follow a new configuration
    )
    _route_libraries(level, Forward(processors, out))


def set_level(level: Level) -> None:
    """Write more or fewer lines from now on, to where they go already."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(level.number))
    _set_levels(level)


def _route_libraries(level: Level, handler: logging.Handler) -> None:
    logging.captureWarnings(capture=True)
    root = logging.getLogger()
    for old in [known for known in root.handlers if isinstance(known, Forward)]:
        root.removeHandler(old)
    root.addHandler(handler)
    for name in LIBRARIES:
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True
    _set_levels(level)


def _set_levels(level: Level) -> None:
    logging.getLogger().setLevel(level.number)
    for name in LIBRARIES:
        logging.getLogger(name).setLevel(level.number if level is Level.DEBUG else max(level.number, logging.WARNING))


def _processors(*, console: bool) -> list[Processor]:
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        _name_logger,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    if console:
        # A plain traceback: the pretty ones show local variables, and with them whole messages.
        renderer = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        return [*shared, renderer]
    return [*shared, structlog.processors.format_exc_info, _render_json]


def _name_logger(logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    event["logger"] = logger.name
    return event


def _render_json(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    line = {"timestamp": event.pop("timestamp"), "level": event.pop("level"), "event": event.pop("event"), **event}
    try:
        return orjson.dumps(line, default=repr, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:  # lone surrogates, integers beyond 64 bits: slower, but never refused
        return json.dumps(line, default=repr, skipkeys=True)
