"""``workflow-bridge ledger``: what a message started, which message started an instance, and what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from bridge.commands.files import refuse
from bridge.commands.letters_chosen import MOMENT, moment
from bridge.commands.reaching import Bridge, ConfigFile, OutboxFile, bridge_of, refusing
from bridge.commands.tables import show
from bridge.dead_letters.kept import time_of
from bridge.outbox.overview import LedgerFilter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.outbox.overview import LedgerRow

NOTHING = 1  # the exit code; 2, as everywhere: there is no ledger to read
NAMES = (
    *("number", "settled", "took s", "source", "message"),
    *("rule", "call", "instance", "outcome", "attempts", "config"),
)


def ledger(  # noqa: PLR0913  one for each option
    *,
    config: ConfigFile = None,
    outbox: OutboxFile = None,
    message: Annotated[
        str | None, typer.Option(help="What became of this message: topic/partition/offset, or its id in RabbitMQ.")
    ] = None,
    instance: Annotated[str | None, typer.Option(help="Which messages are about the instance of this id.")] = None,
    rule: Annotated[str | None, typer.Option(help='Only what this rule made; "" is what none did.')] = None,
    outcome: Annotated[str | None, typer.Option(help="Only delivered, dead, dropped, or errored: instances.")] = None,
    since: Annotated[str | None, typer.Option(help=f"Only what was settled since {MOMENT}.")] = None,
    until: Annotated[str | None, typer.Option(help="Only what was settled before that; written like --since.")] = None,
    before: Annotated[int | None, typer.Option(min=1, help="Only numbers below this one: the next page.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Show at most so many.")] = 100,
    json: Annotated[bool, typer.Option("--json", help="Print each row as one line of JSON.")] = False,
) -> None:
    """Look up what became of messages, the last first; beside a running bridge, too.

    A row is one call of a message that was delivered or is a dead letter, or a message that died or was dropped before.
    How long it is known: `ledger.keep`. Exit 1: there is nothing of it; 2: there is no ledger to read.
    """
    if outcome not in {None, "delivered", "dead", "dropped", "errored"}:
        refuse(f"--outcome is delivered, dead, dropped or errored; not {outcome!r}", as_json=json)
    found = _with_ledger(bridge_of(config, outbox, as_json=json), as_json=json)
    chosen = LedgerFilter(
        message,
        instance,
        rule,
        outcome,
        moment("--since", since, as_json=json),
        moment("--until", until, as_json=json),
    )
    with refusing(as_json=json):
        rows = found.admin.ledger(before, limit + 1, chosen)
    if not rows:
        typer.echo(_nothing(found), err=True)
        raise typer.Exit(NOTHING)
    if json:
        for row in rows[:limit]:
            typer.echo(orjson.dumps(data(row)))
    else:
        show(NAMES, [_cells(row) for row in rows[:limit]], right=("number", "took s", "attempts"))
    if len(rows) > limit:
        typer.echo(f"there are more: --before {rows[limit - 1].number}", err=True)


def _with_ledger(bridge: Bridge, *, as_json: bool) -> Bridge:
    if bridge.path is None:
        refuse(
            "the outbox of this configuration is memory, which has no ledger: what became of its messages is in "
            "metrics and the log only. The sqlite outbox has one",
            as_json=as_json,
        )
    return bridge


def _nothing(bridge: Bridge) -> str:
    keeping = None if bridge.config is None else bridge.config.ledger
    if keeping is not None and keeping.keep is None:
        return "the ledger has nothing of it: `ledger.keep` is off"
    return "the ledger has nothing of it: it is not settled yet, or longer ago than `ledger.keep`, or no rule matched"


def data(row: LedgerRow) -> dict[str, Any]:
    """A row as JSON has it."""
    times = {"arrived_at": time_of(row.arrived_ms), "settled_at": time_of(row.settled_ms)}
    return {**row._asdict(), **times}


def _cells(row: LedgerRow) -> Sequence[str]:
    code = f" ({row.code})" if row.code else ""
    return (
        str(row.number),
        time_of(row.settled_ms),
        f"{max(0, row.settled_ms - row.arrived_ms) / 1000:.3f}",
        row.source,
        row.message_id,
        row.rule,
        f"{row.operation} {row.event_type}".strip(),
        f"{row.workflow}/{row.made or row.instance_id}" if row.workflow else "",
        f"{row.outcome}: {row.reason}{code}",
        str(row.attempts),
        row.config,
    )
