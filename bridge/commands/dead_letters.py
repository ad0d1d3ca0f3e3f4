"""``workflow-bridge dead-letters``: what an SQLite outbox could not deliver, why, and what to do about it."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from bridge.commands import letters_moved, letters_worked
from bridge.commands.letters_chosen import Reason, Rule, Since, Source, Text, Until, chosen_by
from bridge.commands.letters_shown import page, show_table
from bridge.commands.reaching import ConfigFile, OutboxFile, bridge_with_file, refusing
from bridge.dead_letters.exchange import parsed
from bridge.dead_letters.kept import encode, select
from bridge.outbox.overview import EVERY
from bridge.rehearsal.words import safe

if TYPE_CHECKING:
    from bridge.outbox.base import StoredDeadLetter
    from bridge.redaction import Redaction

NOT_FOUND = 1  # the exit code; 2, as everywhere: there is nothing to work on

dead_letters = typer.Typer(
    name="dead-letters", help="What could not be delivered, why, and what to do about it.", no_args_is_help=True
)
AsJson = Annotated[bool, typer.Option("--json", help="Print each letter whole, as one line of JSON.")]


@dead_letters.command("list")
def list_letters(  # noqa: PLR0913  one for each option
    *,
    config: ConfigFile = None,
    outbox: OutboxFile = None,
    after: Annotated[int, typer.Option(min=0, help="Begin after this number; with --newest before it.")] = 0,
    limit: Annotated[int, typer.Option(min=1, help="Show at most so many.")] = 100,
    newest: Annotated[bool, typer.Option("--newest", help="The last ones first.")] = False,
    rule: Rule = None,
    reason: Reason = None,
    source: Source = None,
    since: Since = None,
    until: Until = None,
    text: Text = None,
    json: AsJson = False,
) -> None:
    """List dead letters in order of death. Exit 2: there is no outbox to read."""
    chosen = chosen_by(rule=rule, reason=reason, source=source, since=since, until=until, text=text, as_json=json)
    with refusing(as_json=json):
        bridge = bridge_with_file(config, outbox, as_json=json)
        admin, redaction = bridge.admin, bridge.redaction
        letters = select(admin, after, limit + 1, chosen, newest_first=newest)
        if json:
            for stored in islice(letters, limit):
                typer.echo(_encoded(stored, redaction))
        else:
            show_table(list(letters), limit, among_all=chosen == EVERY and not after)


@dead_letters.command("show")
def show_letter(
    number: Annotated[int, typer.Argument(help="The number in the list.")],
    *,
    config: ConfigFile = None,
    outbox: OutboxFile = None,
    json: AsJson = False,
) -> None:
    """Show everything of one dead letter. Exit 1: there is none of this number; 2: there is no outbox to read."""
    with refusing(as_json=json):
        bridge = bridge_with_file(config, outbox, as_json=json)
        stored = bridge.admin.dead_letter(number)
    if stored is None:
        typer.echo(f"there is no dead letter {number}", err=True)
        raise typer.Exit(NOT_FOUND)
    if json:
        typer.echo(_encoded(stored, bridge.redaction))
    else:
        shown: dict[str, Any] = orjson.loads(_encoded(stored, bridge.redaction))
        for line in page(stored, shown):
            print(safe(line))


def _encoded(stored: StoredDeadLetter, redaction: Redaction) -> bytes:
    """The letter as JSON, without what the configuration has redacted."""
    return orjson.dumps(redaction.letter(parsed(encode(stored)))[0]) if redaction else encode(stored)


dead_letters.command("redrive")(letters_worked.redrive)
dead_letters.command("discard")(letters_worked.discard)
dead_letters.command("release")(letters_worked.release)
dead_letters.command("edit")(letters_moved.edit)
dead_letters.command("export")(letters_moved.export_letters)
dead_letters.command("import")(letters_moved.import_letters)
