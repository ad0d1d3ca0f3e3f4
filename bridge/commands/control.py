"""``workflow-bridge pause``, ``resume``, ``pauses``, ``drain`` and ``audit``."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from bridge.commands.files import refuse
from bridge.commands.reaching import (
    NOT_RUNNING,
    ConfigFile,
    OutboxFile,
    bridge_of,
    reached,
    refusing,
    running,
    who,
)
from bridge.commands.tables import show
from bridge.control.answering import CONFIGURED
from bridge.control.switches import PauseKind, shown
from bridge.dead_letters.kept import time_of
from bridge.logs import Level
from bridge.rehearsal.words import safe
from bridge.routing.words import parse_duration

if TYPE_CHECKING:
    from bridge.commands.reaching import Bridge
    from bridge.config import Config

NOT_DONE = 1  # the exit code; 2, as everywhere: there is nothing to work on
MORE_SECONDS = 30.0  # than its limit a drain may take: the bridge says how it ended

Kind = Annotated[PauseKind, typer.Argument(metavar="KIND", help="all, or one source, rule, workflow or target.")]
Name = Annotated[
    str, typer.Argument(metavar="NAME", help="Which; of a workflow TARGET/NAME where there are several targets.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class LevelAsked(StrEnum):
    """How much the log is to say."""

    DEBUG = Level.DEBUG
    INFO = Level.INFO
    WARNING = Level.WARNING
    ERROR = Level.ERROR
    CONFIGURED = CONFIGURED


def pause(
    kind: Kind,
    name: Name = "",
    *,
    reason: Annotated[str, typer.Option(help="Why, for whoever finds it paused.")],
    config: ConfigFile = None,
    outbox: OutboxFile = None,
    json: Json = False,
) -> None:
    """Pause a source, a rule, a workflow, a target, or all; nothing is lost meanwhile, and requests in flight end.

    A source lets go of its broker, which keeps its messages. Calls of a rule are still made and stored, and not sent.
    To a workflow or target nothing is sent. With the sqlite outbox it outlives the process, and can be said to a bridge
    that does not run. Exit 2: there is no such thing, or no bridge.
    """
    bridge = bridge_of(config, outbox, as_json=json)
    with refusing(as_json=json), reached(bridge) as asked:
        told = asked.ask({"do": "pause", "kind": kind, "name": name, "reason": reason, "who": who()})
    if json:
        print(orjson.dumps(told).decode())
    else:
        typer.echo(f"{shown(kind, told['paused']['name'])} is paused")
    if kind is PauseKind.WORKFLOW and bridge.config is not None and not _is_named(bridge.config, name):
        typer.echo("no rule of the configuration names this workflow: is it spelt right?", err=True)


def _is_named(config: Config, name: str) -> bool:
    """Whether a rule may call the workflow; the outbox may hold calls to it all the same."""
    made = [rule.create or rule.event or rule.status for rule in config.rules]
    workflow = name.rpartition("/")[2]
    return any(one is not None and ("${" in one.workflow or one.workflow == workflow) for one in made)


def resume(
    kind: Kind,
    name: Name = "",
    *,
    config: ConfigFile = None,
    outbox: OutboxFile = None,
    json: Json = False,
) -> None:
    """Let go on what was paused. Exit 1: it was not paused by anybody; 2: there is no bridge."""
    bridge = bridge_of(config, outbox, as_json=json)
    with refusing(as_json=json), reached(bridge) as asked:
        told = asked.ask({"do": "resume", "kind": kind, "name": name, "who": who()})
    if json:
        print(orjson.dumps(told).decode())
    else:
        typer.echo(f"{shown(kind, name)} {'goes on' if told['resumed'] else 'was not paused'}", err=not told["resumed"])
    if not told["resumed"]:
        raise typer.Exit(NOT_DONE)


def pauses(*, config: ConfigFile = None, outbox: OutboxFile = None, json: Json = False) -> None:
    """List what operators have paused. What the bridge paused by itself, and why, `status` tells."""
    with refusing(as_json=json):
        bridge = bridge_of(config, outbox, as_json=json)
        if bridge.path is not None:
            found = [paused._asdict() for paused in bridge.admin.pauses()]
        else:
            found = asked_of(bridge, {"do": "pauses"}, as_json=json)["pauses"]
    if json:
        for one in found:
            print(orjson.dumps(one).decode())
    elif found:
        rows = [(shown(o["kind"], o["name"]), time_of(o["since_ms"]), o["who"], o["reason"]) for o in found]
        show(("paused", "since", "by", "reason"), rows)
    else:
        typer.echo(
            "no operator has paused anything; what the bridge paused by itself `workflow-bridge status` tells", err=True
        )


def drain(
    *,
    limit: Annotated[float, typer.Option(min=0, help="Seconds at most; then it stops with what is left.")] = 25.0,
    config: ConfigFile = None,
    outbox: OutboxFile = None,
    json: Json = False,
) -> None:
    """Have the running bridge read no more, deliver what is there, and stop: when nothing is left, or at the limit.

    For a preStop hook, too: run it in the bridge's container, with a limit some seconds below the Pod's
    terminationGracePeriodSeconds. Calls whose time comes after the limit are not waited for. Exit 0: nothing was left;
    1: something was, and waits in the outbox (sqlite) or at the broker (memory); 2: no bridge runs here.
    """
    bridge = bridge_of(config, outbox, as_json=json)
    with refusing(as_json=json):
        told = asked_of(bridge, {"do": "drain", "seconds": limit, "who": who()}, limit + MORE_SECONDS, as_json=json)
    if json:
        print(orjson.dumps(told).decode())
    else:
        left = f"{told['ready']} calls could be sent and {told['later']} wait for their time"
        typer.echo("drained" if told["drained"] else f"not all was delivered: {left}")
    if not told["drained"]:
        raise typer.Exit(NOT_DONE)


def log_level(
    level: Annotated[
        LevelAsked | None, typer.Argument(help="The least important lines to write; left out: tell what it is.")
    ] = None,
    *,
    span: Annotated[
        str | None, typer.Option("--for", metavar="TIME", help="Then it is as configured again: 90s, 10m, 2h.")
    ] = None,
    config: ConfigFile = None,
    outbox: OutboxFile = None,
    json: Json = False,
) -> None:
    """Have the running bridge log more, or less, without a reload; `configured` takes that back.

    It is gone with the process, and a reload leaves it as it is. At `debug` the libraries speak, too. Exit 2: no bridge
    runs here.
    """
    bridge = bridge_of(config, outbox, as_json=json)
    seconds = None if span is None else _seconds(span, as_json=json)
    if seconds is not None and level in {None, LevelAsked.CONFIGURED}:
        refuse("--for goes with a level: debug, info, warning or error", as_json=json)
    with refusing(as_json=json):
        told = asked_of(bridge, {"do": "log-level", "level": level, "seconds": seconds, "who": who()}, as_json=json)
    if json:
        print(orjson.dumps(told).decode())
        return
    until = f" until {time_of(told['until_ms'])}" if told["until_ms"] else ""
    by = f"; {safe(told['who'])} has said so{until}, the configuration says {told['configured']}" if told["who"] else ""
    typer.echo(f"{told['level']}{by or ', as configured'}")


def _seconds(span: str, *, as_json: bool) -> float:
    try:
        return parse_duration(span).total_seconds()
    except (ValueError, OverflowError):
        refuse(f"--for is a time such as 90s, 10m or 2h; not {span!r}", as_json=as_json)


def audit(
    *,
    config: ConfigFile = None,
    outbox: OutboxFile = None,
    before: Annotated[int | None, typer.Option(help="Only what was done before this number.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Show at most so much.")] = 50,
    json: Json = False,
) -> None:
    """List what operators did, the last first: who, what, to what, and when. Exit 2: there is nothing to read."""
    with refusing(as_json=json):
        bridge = bridge_of(config, outbox, as_json=json)
        if bridge.path is not None:
            found = [deed._asdict() for deed in bridge.admin.audit(before, limit)]
        else:
            found = asked_of(bridge, {"do": "audit", "before": before, "limit": limit}, as_json=json)["deeds"]
    if json:
        for one in found:
            print(orjson.dumps(one).decode())
    elif found:
        rows = [(str(o["number"]), time_of(o["at_ms"]), o["who"], o["what"], o["subject"], o["detail"]) for o in found]
        show(("number", "time", "who", "what", "to what", "detail"), rows)
    else:
        typer.echo("nobody has done anything", err=True)


def asked_of(
    bridge: Bridge, request: dict[str, Any], seconds: float = MORE_SECONDS, *, as_json: bool = False
) -> dict[str, Any]:
    """The answer of the bridge that runs; nothing else has one."""
    asked = running(bridge, seconds)
    if asked is None:
        refuse(NOT_RUNNING, as_json=as_json)
    try:
        return asked.ask(request)
    finally:
        asked.close()
