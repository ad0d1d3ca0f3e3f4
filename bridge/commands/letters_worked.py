"""``dead-letters redrive``, ``discard`` and ``release``: by number, or many at once."""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import contextmanager
from time import perf_counter, sleep
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bridge.commands.files import refuse
from bridge.commands.letters_chosen import Reason, Rule, Since, Source, Text, Until, chosen_by
from bridge.commands.letters_shown import show_kinds
from bridge.commands.reaching import ConfigFile, OutboxFile, bridge_with_file, reached, refusing, who
from bridge.control.again import How
from bridge.control.asking import Running
from bridge.control.bulk import portions
from bridge.outbox.overview import EVERY, Kind
from bridge.rehearsal.words import safe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from bridge.commands.reaching import Bridge
    from bridge.control.asking import Asked
    from bridge.outbox.admin import SqliteOutboxAdmin
    from bridge.outbox.overview import DeadLetterFilter

INCOMPLETE, INTERRUPTED = 1, 130  # exit codes; 2, as everywhere: there is nothing to work on
PAGE = 10_000  # numbers read at once
SHOWN = 20  # letters whose refusal is told one by one
DONE_WITH = {"redriven", "discarded", "dropped", "released", "edited"}

Numbers = Annotated[list[int] | None, typer.Argument(help="Numbers of the list.", show_default=False)]
All = Annotated[bool, typer.Option("--all", help="All there are.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask first.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say how many of which kind it would be.")]
Json = Annotated[bool, typer.Option("--json", help="Print what became of each letter, as one line of JSON.")]
Limit = Annotated[int, typer.Option(min=0, help="At most so many, in order of death; 0: no bound.")]


class Work(NamedTuple):
    """What is to be done with which letters."""

    verb: str
    chosen: DeadLetterFilter | None  # None: those of ``numbers``
    numbers: Sequence[int]
    limit: int
    yes: bool
    dry_run: bool
    json: bool


def redrive(  # noqa: PLR0913  one for each option
    numbers: Numbers = None,
    *,
    config: ConfigFile = None,
    outbox: OutboxFile = None,
    every: All = False,
    rule: Rule = None,
    reason: Reason = None,
    source: Source = None,
    since: Since = None,
    until: Until = None,
    text: Text = None,
    limit: Limit = 0,
    how: Annotated[
        How,
        typer.Option(
            "--as",
            metavar="HOW",
            help="auto: the stored call, else the message; call: the stored call; message: by today's rules, but only "
            "the one that the letter is of; all-rules: by all of them.",
        ),
    ] = How.AUTO,
    force: Annotated[bool, typer.Option("--force", help="Also letters that were redriven 3 times already.")] = False,
    rate: Annotated[float, typer.Option(min=0, help="Letters a second at most; 0: no bound.")] = 50.0,
    dry_run: DryRun = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Send dead letters again: as the calls they were, or their messages by today's rules.

    With a running bridge, or on the file of a stopped one. A letter is gone when its calls are in the outbox; one that
    dies again is a new letter, which knows how often it was redriven. One that blocks its lane takes its old place in
    it. Exit 0: all were; 1: some were not, and why is said; 2: there is nothing to work on; 130: interrupted.
    """
    chosen = chosen_by(rule=rule, reason=reason, source=source, since=since, until=until, text=text, as_json=json)
    work = _work("redrive", (numbers, every, chosen), limit, yes=yes, dry_run=dry_run, json=json)
    bridge = bridge_with_file(config, outbox, as_json=json)
    _carry_out(bridge, work, {"do": "redrive", "how": how, "force": force}, rate)


def discard(  # noqa: PLR0913  one for each option
    numbers: Numbers = None,
    *,
    config: ConfigFile = None,
    outbox: OutboxFile = None,
    every: All = False,
    rule: Rule = None,
    reason: Reason = None,
    source: Source = None,
    since: Since = None,
    until: Until = None,
    text: Text = None,
    limit: Limit = 0,
    dry_run: DryRun = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Delete dead letters, their messages with them; lanes that they block go on. `export` keeps a copy.

    Exit 0: all are gone; 1: there are none, or none of some number; 2: there is nothing to work on; 130: interrupted.
    """
    chosen = chosen_by(rule=rule, reason=reason, source=source, since=since, until=until, text=text, as_json=json)
    work = _work("discard", (numbers, every, chosen), limit, yes=yes, dry_run=dry_run, json=json)
    bridge = bridge_with_file(config, outbox, as_json=json)
    _carry_out(bridge, work, {"do": "discard"})


def release(
    number: Annotated[int, typer.Argument(help="The number in the list.")],
    *,
    config: ConfigFile = None,
    outbox: OutboxFile = None,
    json: Json = False,
) -> None:
    """Let the lane go on that a dead letter blocks (`on_dead: block`); the letter stays.

    Exit 1: it blocks none; 2: there is no outbox to work on.
    """
    bridge = bridge_with_file(config, outbox, as_json=json)
    with refusing(as_json=json), reached(bridge) as asked:
        done = asked.ask({"do": "release", "number": number, "who": who()})["done"]
    _finish(done, Work("release", None, [number], 0, yes=True, dry_run=False, json=json))


def _work(
    verb: str,
    which: tuple[list[int] | None, bool, DeadLetterFilter],
    limit: int,
    *,
    yes: bool,
    dry_run: bool,
    json: bool,
) -> Work:
    numbers, every, chosen = which
    if bool(numbers) + every + (chosen != EVERY) != 1:
        refuse("say which: numbers, or some of --rule, --reason, --source, --since, --until, --text, or --all",
               as_json=json)  # fmt: skip
    return Work(verb, None if numbers else chosen, numbers or (), limit, yes, dry_run, json)


def _carry_out(bridge: Bridge, work: Work, request: dict[str, Any], rate: float = 0.0) -> None:
    """Choose, agree, do and tell. rate: letters a second at most; 0: no bound."""
    with refusing(as_json=work.json):
        found = _numbers(bridge.admin, work)
        with reached(bridge) as asked:
            per_second = rate if isinstance(asked, Running) else 0.0  # nothing is sent by a bridge that does not run
            _finish(_do(asked, work, found, per_second, request), work)


def _numbers(admin: SqliteOutboxAdmin, work: Work) -> Sequence[int]:
    """The letters that it is about, once somebody has agreed; the command ends here where there is nothing to do."""
    if work.chosen is None:
        found, kinds = list(dict.fromkeys(work.numbers)), _kinds_of(admin, work.numbers)
    else:
        found, kinds = _chosen(admin, work.chosen, work.limit), admin.dead_letter_kinds(work.chosen)
    if work.dry_run:
        _rehearse(work, len(found), kinds)
    if not found:
        typer.echo("no dead letters are of this kind", err=True)
        raise typer.Exit(INCOMPLETE)
    if work.chosen is not None and not work.yes:
        _agree(work, len(found), kinds)
    return found


def _kinds_of(admin: SqliteOutboxAdmin, numbers: Sequence[int]) -> list[Kind]:
    letters = [stored.letter for number in numbers if (stored := admin.dead_letter(number)) is not None]
    counts = Counter((letter.rule, letter.reason, letter.message.source) for letter in letters)
    return [Kind(*kind, count) for kind, count in counts.most_common()]


def _chosen(admin: SqliteOutboxAdmin, chosen: DeadLetterFilter, limit: int) -> list[int]:
    found: list[int] = []
    while page := admin.dead_letter_numbers(found[-1] if found else 0, PAGE, chosen):
        found += page
        if len(page) < PAGE or (limit and len(found) >= limit):
            break
    return found[:limit] if limit else found


def _rehearse(work: Work, count: int, kinds: Sequence[Kind]) -> None:
    if work.json:
        told = {"dry_run": True, "verb": work.verb, "letters": count, "kinds": [kind._asdict() for kind in kinds]}
        print(orjson.dumps(told).decode())
    else:
        show_kinds(kinds)
        typer.echo(f"{work.verb}: {_letters(count)}; nothing was done", err=True)
    raise typer.Exit


def _agree(work: Work, count: int, kinds: Sequence[Kind]) -> None:
    if not sys.stdin.isatty():
        refuse(f"{work.verb} {_letters(count)}: add --yes, or look first with --dry-run", as_json=work.json)
    show_kinds(kinds)
    if not typer.confirm(f"{work.verb} {_letters(count)}?"):
        raise typer.Exit(INCOMPLETE)


def _do(
    asked: Asked, work: Work, numbers: Sequence[int], per_second: float, request: dict[str, Any]
) -> list[dict[str, Any]]:
    """What became of each; less than all where somebody has interrupted it."""
    done: list[dict[str, Any]] = []
    began = perf_counter()
    try:
        with _bar(work, len(numbers)) as advance:
            for portion in portions(numbers, per_second):
                sleep(max(0.0, began + portion.after_seconds - perf_counter()))
                answer = asked.ask({**request, "numbers": list(portion.numbers), "who": who()})
                done += answer["done"]
                advance(len(portion.numbers))
    except KeyboardInterrupt:
        typer.echo(f"interrupted: {len(done)} of {_letters(len(numbers))} were looked at", err=True)
        _finish(done, work)
        raise typer.Exit(INTERRUPTED) from None
    return done


@contextmanager
def _bar(work: Work, total: int) -> Iterator[Callable[[int], None]]:
    console = Console(stderr=True)
    columns = (TextColumn(work.verb), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task(work.verb, total=total)
        yield lambda count: bars.update(task, advance=count)


def _finish(done: Sequence[dict[str, Any]], work: Work) -> None:
    if work.json:
        for one in done:
            print(orjson.dumps(one).decode())
    else:
        _tell(done, work)
    if any(one["outcome"] not in DONE_WITH for one in done):
        raise typer.Exit(INCOMPLETE)


def _tell(done: Sequence[dict[str, Any]], work: Work) -> None:
    counts = Counter(one["outcome"] for one in done)
    bad = [one for one in done if one["outcome"] not in DONE_WITH]
    for one in bad[:SHOWN]:
        why = "there is none of this number" if one["outcome"] == "gone" else one["detail"]
        typer.echo(safe(f"dead letter {one['number']}: {'dead again: ' * (one['outcome'] == 'dead')}{why}"), err=True)
    if len(bad) > SHOWN:
        typer.echo(f"and {len(bad) - SHOWN} more; --json tells of each", err=True)
    typer.echo(f"{work.verb}: " + ", ".join(f"{count} {outcome}" for outcome, count in counts.items()))


def _letters(count: int) -> str:
    return f"{count} dead letter{'s' * (count != 1)}"
