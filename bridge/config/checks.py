"""What must be right between the parts of a configuration and around it; and what one should know of a right one."""

from __future__ import annotations

import contextlib
import os
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.admin.settings import SHORTEST_TOKEN
from bridge.call import IfExists, IfMissing
from bridge.cloudflare.token import Token
from bridge.cloudflare.transport import check_authorities
from bridge.config.model import DeadLettersSettings
from bridge.config.packages import missing_packages
from bridge.config.values import settings_of
from bridge.decoding import decoder
from bridge.document import dotted
from bridge.errors import ConfigError, Problem
from bridge.outbox.settings import MemorySettings, SqliteSettings
from bridge.secrecy import read_secret
from bridge.sources.rabbitmq_settings import check_address

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bridge.config.model import Config
    from bridge.routing.settings import RuleSettings

# RabbitMQ closes a channel whose message is not acknowledged for 30 minutes.
LONGEST_HOLD = timedelta(minutes=20)
TOO_LONG = "with the memory outbox a message of RabbitMQ can be held for at most 20 minutes"


def cross_checks(config: Config, *, here: bool = True) -> list[Problem]:
    """Everything that no single part can see. here: False leaves out what this machine has, and what is secret."""
    if not here:
        return [*_holds(config), *_watched(config)]
    files = list(_files(config))
    unreadable = {problem.path for problem in files}
    decoders = (problem for problem in _decoders(config) if problem.path not in unreadable)
    secrets = [*_targets(config, unreadable), *_addresses(config, unreadable), *_admin_tokens(config, unreadable)]
    return [
        *files,
        *secrets,
        *decoders,
        *missing_packages(config),
        *_outbox(config),
        *_holds(config),
        *_watched(config),
    ]


def _files(config: Config) -> Iterator[Problem]:
    """Files that settings name must be there, readable and not empty."""
    for path, value in settings_of(config):
        if isinstance(value, Path) and str(path[-1]).endswith("_file"):
            try:
                with value.open("rb") as file:
                    why = "" if file.read(1) else f"{value} is empty"
            except OSError as error:
                why = f"{value} cannot be read: {error.strerror}"
            except ValueError:  # a null character in its name
                why = f"{str(value)!r} is no name of a file"
            if why:
                yield Problem(dotted(path), why)


def _targets(config: Config, unreadable: set[str]) -> Iterator[Problem]:
    """Tokens, and certificate authorities."""
    checks = {"api_token_file": Token, "ca_file": check_authorities}
    for name, target in config.targets.items():
        for setting, check in checks.items():
            try:
                if f"targets.{name}.{setting}" not in unreadable:
                    check(target)
            except ConfigError as error:
                yield from error.below(f"targets.{name}")


def _addresses(config: Config, unreadable: set[str]) -> Iterator[Problem]:
    for path, value in settings_of(config):
        if isinstance(value, Path) and path[-1] == "url_file" and dotted(path) not in unreadable:
            try:
                check_address(read_secret(value))
            except (OSError, ValueError) as error:
                yield Problem(dotted(path), f"{value}: {getattr(error, 'strerror', None) or error}")


def _admin_tokens(config: Config, unreadable: set[str]) -> Iterator[Problem]:
    """What the listener would not take, when somebody shows it."""
    for name in ("read_token_file", "operator_token_file"):
        file = getattr(config.admin, name)
        if file is not None and f"admin.{name}" not in unreadable:
            with contextlib.suppress(OSError):
                if len(read_secret(file)) < SHORTEST_TOKEN:
                    yield Problem(f"admin.{name}", f"{file} holds fewer than {SHORTEST_TOKEN} characters")


def _decoders(config: Config) -> Iterator[Problem]:
    """Schemas, certificates and packages that decoding needs."""
    for name, source in config.sources.items():
        try:
            decoder(source)
        except ConfigError as error:
            yield from error.below(f"sources.{name}")


def _outbox(config: Config) -> Iterator[Problem]:
    if isinstance(config.outbox, SqliteSettings):
        if why := _unusable(config.outbox.path):
            yield Problem("outbox.path", why)
        if config.dead_letters == "discard":
            yield Problem("dead_letters", "discard is for the memory outbox; sqlite keeps dead letters in its own file")
        return
    if config.dead_letters is None:
        fix = "say where they go (to: …), or write dead_letters: discard"
        yield Problem("dead_letters", f"the memory outbox has nowhere to keep dead letters: {fix}")
    elif isinstance(config.dead_letters, DeadLettersSettings):
        yield from _elsewhere(config.dead_letters)
    if not config.dispatch.enabled:
        yield Problem("dispatch.enabled", "without dispatch the memory outbox would only fill up")
    for number, rule in enumerate(config.rules):
        if rule.on_dead == "block":
            why = "the memory outbox keeps no dead letters that could block a lane; use outbox: {type: sqlite}"
            yield Problem(f"rules[{number}].on_dead", why)
        if rule.create is not None and rule.create.if_exists is IfExists.NEW:
            why = "the memory outbox cannot remember which instance of an id is the newest; use outbox: {type: sqlite}"
            yield Problem(f"rules[{number}].create.if_exists", why)


def _watched(config: Config) -> Iterator[Problem]:
    """The ledger tells which rule has made an instance."""
    for number, rule in enumerate(config.rules):
        if rule.watch is None:
            continue
        keep = config.ledger.keep
        if isinstance(config.outbox, MemorySettings) or keep is None:
            yield Problem(f"rules[{number}].watch", "needs the ledger: the sqlite outbox, and ledger.keep not off")
        elif rule.watch.span > keep:
            yield Problem(f"rules[{number}].watch.for", "is longer than ledger.keep: by then nobody knows the rule")


def _elsewhere(settings: DeadLettersSettings) -> Iterator[Problem]:
    """Of the memory outbox."""
    if settings.to is None:
        yield Problem("dead_letters.to", "is needed here: the memory outbox has nowhere to keep dead letters")
    for name in ("keep", "max_bytes"):
        if getattr(settings, name):
            yield Problem(f"dead_letters.{name}", "is for the sqlite outbox; a topic or queue has limits of its own")


def _unusable(path: Path) -> str:
    """Why a file cannot be made or opened there; "" if it can."""
    if path.is_dir():
        return f"{path} is a folder; name a file in it"
    if path.exists():
        return "" if os.access(path, os.R_OK | os.W_OK) else f"{path} cannot be written by this user"
    parent = next(folder for folder in path.absolute().parents if folder.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        return f"{path} cannot be made: {parent} is not a folder that this user can write to"
    return ""


def _holds(config: Config) -> Iterator[Problem]:
    """Under ``memory`` what waits keeps its message at the broker, and RabbitMQ does not wait for ever."""
    if not isinstance(config.outbox, MemorySettings):
        return
    for number, rule in enumerate(config.rules):
        kinds = {source.type for name, source in config.sources.items() if not rule.sources or name in rule.sources}
        if "rabbitmq" in kinds:
            if rule.not_before is not None:
                yield Problem(f"rules[{number}].not_before", "nobody knows how long that is, and " + TOO_LONG)
            for setting, held in _waits(rule):
                if held > LONGEST_HOLD:
                    yield Problem(f"rules[{number}].{setting}", TOO_LONG)


def _waits(rule: RuleSettings) -> Iterator[tuple[str, timedelta]]:
    if rule.delay is not None:
        yield "delay", rule.delay
    for name, action in (("event", rule.event), ("status", rule.status)):
        if action is not None and action.if_missing.kind is IfMissing.WAIT:
            yield f"{name}.if_missing", action.if_missing.wait


def notes(config: Config) -> list[str]:
    """What a user should know of a configuration that is right: its promises and their limits."""
    if isinstance(config.outbox, MemorySettings):
        found = ["memory outbox: messages are acknowledged when delivered; calls may repeat after a crash"]
        if config.dead_letters == "discard":
            found.append("dead letters are discarded: counted and logged, then gone")
    else:
        found = [f"sqlite outbox: messages are acknowledged when stored; {config.outbox.path} must outlive the process"]
    if config.shadow is not None:
        found.append(f"shadow: the rules of {config.shadow} are asked about every message, too, and never call")
    for name, source in config.sources.items():
        if source.type == "kafka" and getattr(source, "assign", None) is None:
            found.append(
                f"source {name}: partitions are shared by the group, so order per lane holds within one process; "
                "for several processes fix the partitions with assign"
            )
        if getattr(source, "identity", "") == "message-id" and _needs_identity(config, name):
            found.append(
                f"source {name}: a message without message_id has no identity; rules without id, and those with "
                "if_exists other than skip, make it a dead letter"
            )
    return found


def _needs_identity(config: Config, source: str) -> bool:
    return any(
        rule.create is not None
        and (rule.create.id is None or rule.create.if_exists is not IfExists.SKIP)
        and source in (rule.sources or config.sources)
        for rule in config.rules
    )
