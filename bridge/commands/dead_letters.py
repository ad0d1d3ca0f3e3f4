"""``workflow-bridge dead-letters``: what an SQLite outbox could not deliver, and why."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bridge.commands.files import refuse
from bridge.config import Config, load_config
from bridge.dead_letters.kept import encode, indented, plain, select, time_of
from bridge.errors import ConfigError, OutboxError
from bridge.outbox.admin import SqliteOutboxAdmin
from bridge.outbox.settings import SqliteSettings
from bridge.rehearsal.words import safe

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bridge.outbox.base import StoredDeadLetter

NOT_FOUND = 1  # the exit code; 2, as everywhere: there is nothing to work on
WISH_SECONDS, WISH_LOOKS = 3.0, 30  # a running bridge looks for wishes every second
PIPE_COLUMNS = 240  # the width of a table that no terminal shows

dead_letters = typer.Typer(name="dead-letters", help="What could not be delivered, and why.", no_args_is_help=True)

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", "-c", envvar="WORKFLOW_BRIDGE_CONFIG", help="The configuration that names the outbox."),
]
OutboxFile = Annotated[
    Path | None, typer.Option("--outbox", help="The outbox file itself; no configuration is read then.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print each letter whole, as one line of JSON.")]


@dead_letters.command("list")
def list_letters(
    *,
    config: ConfigFile = None,
    outbox: OutboxFile = None,
    after: Annotated[int, typer.Option(min=0, help="Begin after this number.")] = 0,
    limit: Annotated[int, typer.Option(min=1, help="Show at most so many.")] = 100,
    reason: Annotated[str, typer.Option(help="Only those of this reason, such as undecodable or rejected.")] = "",
    json: AsJson = False,
) -> None:
    """List dead letters in order of death. Exit 2: there is no outbox to read."""
    admin = _admin(config, outbox, as_json=json)
    try:
        letters = select(admin, after, limit + 1, reason)
        if json:
            for stored in islice(letters, limit):
                typer.echo(encode(stored))
        else:
            _show_table(list(letters), limit)
    except OutboxError as error:
        refuse(str(error), as_json=json)


@dead_letters.command("show")
def show_letter(
    number: Annotated[int, typer.Argument(help="The number in the list.")],
    *,
    config: ConfigFile = None,
    outbox: OutboxFile = None,
    json: AsJson = False,
) -> None:
    """Show everything of one dead letter. Exit 1: there is none of this number; 2: there is no outbox to read."""
    try:
        stored = _admin(config, outbox, as_json=json).dead_letter(number)
    except OutboxError as error:
        refuse(str(error), as_json=json)
    if stored is None:
        typer.echo(f"there is no dead letter {number}", err=True)
        raise typer.Exit(NOT_FOUND)
    if json:
        typer.echo(encode(stored))
    else:
        for line in _page(stored):
            print(safe(line))


@dead_letters.command("release")
def release_lane(
    number: Annotated[int, typer.Argument(help="The number in the list.")],
    *,
    config: ConfigFile = None,
    outbox: OutboxFile = None,
) -> None:
    """Let the lane go on that a dead letter blocks (`on_dead: block`); the letter stays.

    Exit 1: it blocks none; 2: there is no outbox to write to.
    """
    _wish(_admin(config, outbox), number, "release", f"dead letter {number} blocks no lane")


@dead_letters.command("discard")
def discard_letter(
    number: Annotated[int, typer.Argument(help="The number in the list.")],
    *,
    config: ConfigFile = None,
    outbox: OutboxFile = None,
) -> None:
    """Delete a dead letter, its message with it; a lane that it blocks goes on.

    Exit 1: there is none of this number; 2: there is no outbox to write to.
    """
    _wish(_admin(config, outbox), number, "discard", f"there is no dead letter {number}")


def _wish(admin: SqliteOutboxAdmin, number: int, what: str, otherwise: str) -> None:
    try:
        if not (admin.release(number) if what == "release" else admin.discard(number)):
            typer.echo(otherwise, err=True)
            raise typer.Exit(NOT_FOUND)
        for _ in range(WISH_LOOKS):
            if admin.is_fulfilled():
                typer.echo(f"{what}: done")
                return
            sleep(WISH_SECONDS / WISH_LOOKS)
    except OutboxError as error:
        refuse(str(error))
    typer.echo(f"{what}: written down; the bridge does it when it runs")


def _admin(config: Path | None, outbox: Path | None, *, as_json: bool = False) -> SqliteOutboxAdmin:
    if outbox is not None:
        return SqliteOutboxAdmin(outbox)
    if config is None:
        refuse("say which outbox: --outbox FILE, or --config FILE (or WORKFLOW_BRIDGE_CONFIG)", as_json=as_json)
    return SqliteOutboxAdmin(_outbox_of(config, as_json=as_json))


def _outbox_of(config: Path, *, as_json: bool) -> Path:
    try:
        loaded = load_config(config)
    except ConfigError as error:
        refuse(*error.problems, "without a right configuration name the file: --outbox FILE", as_json=as_json)
    if not isinstance(loaded.outbox, SqliteSettings):
        refuse(f"the outbox of {config} is memory, which keeps no dead letters: {_elsewhere(loaded)}", as_json=as_json)
    return loaded.outbox.path


def _elsewhere(config: Config) -> str:
    """Where the letters of a memory outbox are. RabbitMQ's address is not said: its password is in it."""
    if config.dead_letters is None or config.dead_letters == "discard":
        return "they are discarded, as dead_letters: discard says; they are only counted and logged"
    to = config.dead_letters.to
    if to.type == "kafka":
        return f"they are in the Kafka topic {to.topic} at {','.join(to.bootstrap_servers)}"
    if to.exchange:
        return f"they go to the RabbitMQ exchange {to.exchange} with the routing key {to.routing_key!r}"
    return f"they are in the RabbitMQ queue {to.routing_key}"


def _show_table(letters: Sequence[StoredDeadLetter], limit: int) -> None:
    if not letters:
        typer.echo("no dead letters", err=True)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("number", justify="right", no_wrap=True)
    for name in ("time", "reason", "rule", "source"):
        table.add_column(name, no_wrap=name == "time", overflow="fold")
    for name in ("message", "instance", "detail"):
        table.add_column(name, overflow="fold", ratio=2 if name == "detail" else 1)
    for stored in letters[:limit]:
        table.add_row(*(Text(safe(cell).replace("\n", " ")) for cell in _cells(stored)))
    console = Console()
    if not console.is_terminal:
        console = Console(width=PIPE_COLUMNS)
    console.print(table)
    if len(letters) > limit:
        typer.echo(f"there are more: --after {letters[limit - 1].number}", err=True)


def _cells(stored: StoredDeadLetter) -> Sequence[str]:
    letter = stored.letter
    call = letter.call
    return (
        str(stored.number),
        time_of(letter.died_ms),
        letter.reason,
        letter.rule,
        letter.message.source,
        letter.message.id,
        f"{call.workflow}/{call.instance_id}" if call is not None else "",
        letter.detail,
    )


def _page(stored: StoredDeadLetter) -> Iterator[str]:
    """The lines that show one letter."""
    letter = plain(stored)
    message, call, history = letter.pop("message"), letter.pop("call"), letter.pop("history")
    body, headers = message.pop("body"), message.pop("headers")
    original = stored.letter.message.body
    message |= {"key": _short(message["key"]), **message.pop("attributes")}
    yield f"dead letter {letter.pop('number')}"
    yield from _facts(letter)
    if history:
        yield "attempts, the first and the last of them" if letter["attempts"] > len(history) else "attempts"
    for attempt in history:
        code = f" (code {attempt['code']})" if attempt["code"] else ""
        yield f"  {attempt['at']}  {attempt['reason']}{code}: {attempt['detail']}"
    yield "message"
    yield from _facts(message)
    if headers:
        yield "headers"
    for header in headers:
        yield f"  {header['name']} ({header['type']}): {_short(header)}"
    yield "body: none, a tombstone" if original is None else f"body ({len(original)} bytes)"
    yield from _laid_out(body)
    if call is not None:
        bodies = {"body": call.pop("body"), "then, where the rule says so": call.pop("then", None)}
        yield "call that was not delivered"
        yield from _facts(call)
        for name, rendered in bodies.items():
            if rendered is not None:
                yield f"  {name}"
                yield from _laid_out(rendered)


def _facts(facts: Mapping[str, Any]) -> Iterator[str]:
    width = max(map(len, facts))
    for name, value in facts.items():
        if value not in ("", None):
            yield f"  {name:<{width}}  {value}"


def _laid_out(body: Mapping[str, Any] | None) -> Iterator[str]:
    if body is None:
        return
    text = indented(body["text"]) if "json" in body else _short(body)
    for line in text.split("\n"):
        yield f"    {line}"


def _short(value: Mapping[str, Any] | None) -> str:
    """The text of bytes, or their base64 with a word that says so."""
    if value is None:
        return ""
    if "base64" in value:
        return f"{value['base64']} (base64)"
    return str(value.get("text", value.get("value")))
