"""Which dead letters a command is about: the options that choose, in one place."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from bridge.app import now_ms
from bridge.commands.files import refuse
from bridge.outbox.overview import DeadLetterFilter
from bridge.recorded import epoch_ms
from bridge.routing.words import parse_duration

MOMENT = "a time such as 2026-03-01T12:00:00Z, or how long ago: 15m, 2h, 7d"
Rule = Annotated[str | None, typer.Option(help='Only those of this rule; "" are those without one.')]
Reason = Annotated[str | None, typer.Option(help="Only those of this reason, such as undecodable or rejected.")]
Source = Annotated[str | None, typer.Option(help="Only those whose message came from this source.")]
Since = Annotated[str | None, typer.Option(help=f"Only those that died since {MOMENT}.")]
Until = Annotated[str | None, typer.Option(help="Only those that died before that; written like --since.")]
Text = Annotated[
    str | None,
    typer.Option(help="Only those with this in their detail, ids, body, key or headers; in bodies to the letter."),
]


def chosen_by(  # noqa: PLR0913  one for each option
    *,
    rule: str | None,
    reason: str | None,
    source: str | None,
    since: str | None,
    until: str | None,
    text: str | None,
    as_json: bool,
) -> DeadLetterFilter:
    """The filter that options ask for."""
    return DeadLetterFilter(
        rule=rule,
        reason=reason or None,
        source=source or None,
        since_ms=moment("--since", since, as_json=as_json),
        until_ms=moment("--until", until, as_json=as_json),
        text=text or None,
    )


def moment(option: str, text: str | None, *, as_json: bool) -> int | None:
    """Unix epoch in milliseconds of a time, or of so long ago."""
    if text is None:
        return None
    at_ms = epoch_ms(text)
    if at_ms is not None:
        return at_ms
    try:
        return now_ms() - parse_duration(text) // timedelta(milliseconds=1)
    except (ValueError, OverflowError):
        refuse(f"{option} is {MOMENT}; not {text!r}", as_json=as_json)
