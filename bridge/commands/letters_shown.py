"""Dead letters on a terminal: the table of many, the page of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from bridge.commands.tables import show
from bridge.dead_letters.kept import indented, time_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bridge.outbox.base import StoredDeadLetter
    from bridge.outbox.overview import Kind

NAMES = ("number", "time", "reason", "rule", "source", "message", "instance", "detail")


def show_table(letters: Sequence[StoredDeadLetter], limit: int, *, among_all: bool = True) -> None:
    """At most ``limit`` of them, and a word where there are more. among_all: none were left out."""
    if not letters:
        typer.echo("no dead letters" if among_all else "no dead letters are of this kind", err=True)
        return
    show(NAMES, [_cells(stored) for stored in letters[:limit]], right=("number",))
    if len(letters) > limit:
        typer.echo(f"there are more: --after {letters[limit - 1].number}", err=True)


def show_kinds(kinds: Sequence[Kind]) -> None:
    """How many there are of which kind."""
    rows = [(str(kind.letters), *kind[:3]) for kind in kinds]
    show(("letters", "rule", "reason", "source"), rows, right=("letters",))


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


def page(stored: StoredDeadLetter, letter: dict[str, Any]) -> Iterator[str]:
    """The lines that show one letter; ``letter`` is what of it may be shown."""
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
    shown = dict(_in_words(facts))
    width = max(map(len, shown), default=0)
    for name, value in shown.items():
        if value not in ("", None):
            yield f"  {name:<{width}}  {value}"


def _in_words(facts: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Times, truth and mappings as people write them."""
    for name, value in facts.items():
        if name.endswith("_ms"):
            at = f"{name.removesuffix('_ms')}_at"
            if value and at not in facts:
                yield at, time_of(value)
        elif isinstance(value, bool):
            yield name, "yes" if value else "no"
        elif isinstance(value, dict):
            yield name, ", ".join(f"{key} {of}" for key, of in value.items())
        else:
            yield name, value


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
