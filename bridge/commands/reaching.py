"""How commands reach a bridge: the one that runs, or the outbox file of one that does not."""

from __future__ import annotations

import getpass
import os
import socket
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer
from prometheus_client import CollectorRegistry

from bridge import logs, parts
from bridge.app import now_ms
from bridge.commands.files import refuse
from bridge.config import Config, load_config
from bridge.control import place
from bridge.control.asking import ANSWER_SECONDS, Running, Stopped
from bridge.control.switches import Known
from bridge.errors import ConfigError, OperationRefused, OutboxError, OutboxLocked
from bridge.logs import Level
from bridge.metrics import Metrics
from bridge.outbox.admin import SqliteOutboxAdmin
from bridge.outbox.settings import SqliteSettings
from bridge.outbox.sqlite import SqliteOutbox
from bridge.redaction import Redaction

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from bridge.control.asking import Asked
    from bridge.control.draining import Drained
    from bridge.control.loudness import Loudness
    from bridge.control.operator import Operator
    from bridge.intake import Translation
    from bridge.outbox.overview import Paused

NOT_RUNNING = "no bridge runs here by this configuration"
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", "-c", envvar="WORKFLOW_BRIDGE_CONFIG", help="The configuration that names the outbox."),
]
OutboxFile = Annotated[
    Path | None, typer.Option("--outbox", help="The outbox file itself; no configuration is read then.")
]


class Bridge(NamedTuple):
    """What a command works on."""

    config: Config | None  # None: the file was named itself
    path: Path | None  # None: the outbox is memory

    @property
    def redaction(self) -> Redaction:
        """What nobody is to see who looks at messages; nothing where the file was named itself."""
        return Redaction([] if self.config is None else self.config.redact)

    @property
    def admin(self) -> SqliteOutboxAdmin:
        """What can be read of the file."""
        assert self.path is not None  # noqa: S101  asked for only where there is one
        return SqliteOutboxAdmin(self.path)


def bridge_with_file(config: Path | None, outbox: Path | None, *, as_json: bool = False) -> Bridge:
    """Of the options. Refuses where there is no outbox that keeps anything."""
    found = bridge_of(config, outbox, as_json=as_json)
    if found.path is None and found.config is not None:
        refuse(
            f"the outbox of {config} is memory, which keeps no dead letters: {_elsewhere(found.config)}",
            as_json=as_json,
        )
    return found


def bridge_of(config: Path | None, outbox: Path | None, *, as_json: bool = False) -> Bridge:
    """Of the options."""
    if outbox is not None and config is None:
        return Bridge(None, outbox)
    if config is None:
        refuse("say which outbox: --outbox FILE, or --config FILE (or WORKFLOW_BRIDGE_CONFIG)", as_json=as_json)
    try:
        loaded = load_config(config)
    except ConfigError as error:
        if outbox is not None:
            return Bridge(None, outbox)
        refuse(*error.problems, "without a right configuration name the file: --outbox FILE", as_json=as_json)
    if outbox is not None:
        return Bridge(loaded, outbox)
    return Bridge(loaded, loaded.outbox.path if isinstance(loaded.outbox, SqliteSettings) else None)


def _elsewhere(config: Config) -> str:
    """Where the letters of a memory outbox are. RabbitMQ's address is not said: its password is in it."""
    if config.dead_letters is None or config.dead_letters == "discard" or config.dead_letters.to is None:
        return "they are discarded, as dead_letters: discard says; they are only counted and logged"
    to = config.dead_letters.to
    if to.type == "kafka":
        return f"they are in the Kafka topic {to.topic} at {','.join(to.bootstrap_servers)}"
    if to.exchange:
        return f"they go to the RabbitMQ exchange {to.exchange} with the routing key {to.routing_key!r}"
    return f"they are in the RabbitMQ queue {to.routing_key}"


@contextmanager
def reached(bridge: Bridge) -> Iterator[Asked]:
    """The bridge that runs; else its file, which nobody else has meanwhile. Raises OperationRefused, OutboxError."""
    asked = running(bridge) or _stopped(bridge)
    try:
        yield asked
    finally:
        asked.close()


def running(bridge: Bridge, seconds: float = ANSWER_SECONDS) -> Running | None:
    """seconds: how long an answer may take. None: it does not run, or not where this can reach it."""
    try:
        if bridge.path is not None:
            return Running.at(place.of_outbox(bridge.path), seconds)
        assert bridge.config is not None  # noqa: S101  one of both is there
        return Running.at(place.of_health(bridge.config.health.port), seconds)
    except OSError:
        return None


def _stopped(bridge: Bridge) -> Stopped:
    if bridge.path is None:
        raise OperationRefused(f"{NOT_RUNNING}, and a memory outbox is gone with its bridge")
    logs.configure(Level.WARNING)  # what is done is told by the command itself
    bridge.admin.pauses()  # a file that is none, or of another schema, is left as it is
    try:
        return Stopped(lambda: _opened(bridge))
    except OutboxLocked as error:
        raise OperationRefused(
            f"a bridge owns the outbox {bridge.path} and cannot be reached from here: run this command in its "
            "container, or on its machine, as its user"
        ) from error


@asynccontextmanager
async def _opened(bridge: Bridge) -> AsyncIterator[Operator]:
    assert bridge.path is not None  # noqa: S101  see _stopped
    outbox, at_rest = SqliteOutbox(SqliteSettings(path=bridge.path), clock=now_ms), AtRest(bridge.config)
    await outbox.open()
    try:
        operator = parts.operator(outbox, at_rest, now_ms)
        await operator.switches.open()
        yield operator
    finally:
        await at_rest.close()
        await outbox.close()


class AtRest:
    """A bridge.control.operator.Bridge that does not run; config: None where nobody has said which it has."""

    def __init__(self, config: Config | None) -> None:
        self._config = config
        self._made: dict[str, Translation] = {}

    def known(self) -> Known | None:
        """See Bridge."""
        if self._config is None:
            return None
        return Known(self._config.sources, [rule.name for rule in self._config.rules], self._config.targets)

    def halt(self, paused: Sequence[Paused]) -> None:
        """See Bridge: it is read when the bridge starts."""

    async def translation(self, source: str) -> Translation:
        """See Bridge."""
        if source not in self._made:
            self._made[source] = _translation(self._config, source)
        return self._made[source]

    def loudness(self) -> Loudness:
        """See Bridge."""
        raise OperationRefused(NOT_RUNNING)

    async def drain(self, seconds: float) -> Drained:
        """See Bridge."""
        del seconds
        raise OperationRefused(NOT_RUNNING)

    async def close(self) -> None:
        """Let go of schema registries."""
        for one in self._made.values():
            await one.decoder.close()


def _translation(config: Config | None, source: str) -> Translation:
    if config is None:
        raise OperationRefused("today's rules are in the configuration: name it, --config FILE")
    if source not in config.sources:
        raise OperationRefused(f"its source {source} is not in the configuration: redrive it as its call")
    try:
        return parts.translation(config, source, Metrics(CollectorRegistry()), now_ms, perf_counter)
    except ConfigError as error:
        raise OperationRefused(str(error)) from error


def who() -> str:
    """The person at the terminal, as the audit log knows them: WORKFLOW_BRIDGE_OPERATOR, else user and machine."""
    given = os.environ.get("WORKFLOW_BRIDGE_OPERATOR")
    if given:
        return given
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user has no name
        user = f"user {os.geteuid()}"
    return f"{user}@{socket.gethostname()}"


@contextmanager
def refusing(*, as_json: bool = False) -> Iterator[None]:
    """What cannot be done is said, and the exit code is 2."""
    try:
        yield
    except (OperationRefused, OutboxError) as error:
        refuse(str(error), as_json=as_json)
