"""``dead-letters edit``, ``export`` and ``import``: letters as text, to the byte."""

from __future__ import annotations

import os
import shlex
import subprocess  # nosec B404  the editor that the user has chosen
import sys
import tempfile
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import orjson
import typer

from bridge.commands.files import refuse
from bridge.commands.letters_chosen import Reason, Rule, Since, Source, Text, Until, chosen_by
from bridge.commands.reaching import ConfigFile, OutboxFile, bridge_with_file, reached, refusing, who
from bridge.control.letters import AT_ONCE
from bridge.dead_letters.exchange import decode, edited_parts, encode
from bridge.dead_letters.kept import indented, select
from bridge.errors import NotAMessage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

NOT_DONE = 1  # the exit code; 2, as everywhere: there is nothing to work on
PORTION_BYTES = 8 << 20  # of lines that are brought in at once
EVERYTHING = 1 << 62  # letters

Json = Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")]


def edit(
    number: Annotated[int, typer.Argument(help="The number in the list.")],
    *,
    config: ConfigFile = None,
    outbox: OutboxFile = None,
    given: Annotated[
        Path | None,
        typer.Option("--from", help="A file with the changed JSON, - for the input; left out: your $EDITOR opens."),
    ] = None,
    json: Json = False,
) -> None:
    """Change the message or the call of a dead letter; `redrive` then sends what was changed.

    The text is JSON with `message`, `call` or both, as `export` writes them; of either, what is left out stays as it
    is. A changed call is redriven with `--as call`, a changed message with `--as message`. Exit 1: nothing was changed;
    2: the text is wrong, or there is no outbox to work on.
    """
    bridge = bridge_with_file(config, outbox, as_json=json)
    with refusing(as_json=json):
        stored = bridge.admin.dead_letter(number)
        if stored is None:
            typer.echo(f"there is no dead letter {number}", err=True)
            raise typer.Exit(NOT_DONE)
        text = _edited(edited_parts(stored.letter)) if given is None else _read(given)
        with reached(bridge) as asked:
            [done] = asked.ask({"do": "edit", "number": number, "edited": text, "who": who()})["done"]
    if json:
        print(orjson.dumps(done).decode())
    else:
        typer.echo(f"dead letter {number}: {done['detail']}{' changed' * (done['outcome'] == 'edited')}")
    if done["outcome"] != "edited":
        raise typer.Exit(NOT_DONE)


def _edited(before: bytes) -> str:
    """What an editor made of it; a file of this user alone, which is gone afterwards."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if editor is None and not (sys.stdin.isatty() and sys.stdout.isatty()):
        refuse("there is no terminal for an editor; give the changed JSON by --from FILE, or set EDITOR")
    editor = editor or "vi"
    with tempfile.TemporaryDirectory(prefix="workflow-bridge-") as folder:
        file = Path(folder) / "dead-letter.json"
        file.write_text(indented(before.decode()) + "\n", encoding="utf-8")
        try:
            subprocess.run([*shlex.split(editor), str(file)], check=True)  # noqa: S603  # nosec B603
        except OSError as error:
            refuse(f"the editor {editor!r} cannot be run: {error.strerror}; set EDITOR, or use --from FILE")
        except subprocess.CalledProcessError as error:
            refuse(f"the editor {editor!r} ended with {error.returncode}, and nothing was changed")
        return file.read_text(encoding="utf-8")


def _read(given: Path) -> str:
    try:
        return sys.stdin.read() if str(given) == "-" else given.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        refuse(f"{given} cannot be read: {getattr(error, 'strerror', None) or error}")


def export_letters(  # noqa: PLR0913  one for each option
    *,
    config: ConfigFile = None,
    outbox: OutboxFile = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The file; left out: the output.")] = None,
    rule: Rule = None,
    reason: Reason = None,
    source: Source = None,
    since: Since = None,
    until: Until = None,
    text: Text = None,
) -> None:
    """Write dead letters as lines of JSON that `import` takes again, to the byte; they stay where they are.

    Each line is a recorded message, too, for `explain`, `backtest` and rule tests. Exit 2: there is no outbox to read.
    """
    chosen = chosen_by(rule=rule, reason=reason, source=source, since=since, until=until, text=text, as_json=False)
    admin = bridge_with_file(config, outbox).admin
    count = 0
    with refusing(), _opened(output) as sink:
        for stored in select(admin, 0, EVERYTHING, chosen):
            sink.write(encode(stored.letter, stored.number) + b"\n")
            count += 1
    typer.echo(f"{count} dead letters are written", err=True)


def _opened(output: Path | None) -> AbstractContextManager[BinaryIO]:
    if output is None or str(output) == "-":
        return nullcontext(sys.stdout.buffer)
    try:
        return os.fdopen(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
    except OSError as error:
        refuse(f"{output} cannot be written: {error.strerror}")


def import_letters(
    file: Annotated[Path, typer.Argument(help="What `export` wrote; - for the input.")],
    *,
    config: ConfigFile = None,
    outbox: OutboxFile = None,
    json: Json = False,
) -> None:
    """Keep dead letters that were exported, here or elsewhere; they get numbers of their own.

    The whole file is looked at first: with a wrong line nothing is kept. Importing twice keeps them twice. Exit 2: a
    line is no dead letter, or there is no outbox to work on.
    """
    bridge = bridge_with_file(config, outbox, as_json=json)
    with refusing(as_json=json), _lines(file) as lines:
        count = 0
        _check(lines, as_json=json)
        lines.seek(0)
        with reached(bridge) as asked:
            for portion in _portions(lines):
                count += asked.ask({"do": "import", "lines": portion, "who": who()})["imported"]
    typer.echo(orjson.dumps({"imported": count}).decode() if json else f"{count} dead letters are kept")


@contextmanager
def _lines(file: Path) -> Iterator[BinaryIO]:
    """Something that can be read twice."""
    if str(file) == "-":
        with tempfile.TemporaryFile() as copy:
            while part := sys.stdin.buffer.read(1 << 20):
                copy.write(part)
            copy.seek(0)
            yield copy
        return
    try:
        opened = file.open("rb")
    except OSError as error:
        refuse(f"{file} cannot be read: {error.strerror}")
    with opened:
        yield opened


def _check(lines: BinaryIO, *, as_json: bool) -> None:
    for number, line in enumerate(lines, 1):
        try:
            if line.strip():
                decode(line)
        except NotAMessage as error:
            refuse(f"line {number}: {error.placed}; nothing was imported", as_json=as_json)


def _portions(lines: BinaryIO) -> Iterator[list[str]]:
    portion: list[str] = []
    size = 0
    for line in lines:
        if portion and (size + len(line) > PORTION_BYTES or len(portion) == AT_ONCE):
            yield portion
            portion, size = [], 0
        if line.strip():
            portion.append(line.decode())
            size += len(line)
    if portion:
        yield portion
