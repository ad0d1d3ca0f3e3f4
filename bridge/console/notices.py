"""What wants a person, and what to do about it: pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from bridge.console.shapes import Backlog, Budget, LogLevel, Notice, Paused, Source, Switched
from bridge.secrecy import redact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bridge.dispatch.pauses import Held

# By the reason of a pause: what it means, and what to do.
PAUSES = {
    "unauthorized": (
        "The API refuses the token, or the account id.",
        "Put a valid token into the target's api_token_file; it is read again with the next try, a minute at most.",
    ),
    "workflow_missing": (
        "The API does not know this workflow.",
        "Deploy it, or correct its name in the rule; calls wait meanwhile and one is tried every minute.",
    ),
    "rejected": (
        "Twenty calls in a row were refused for good with the same code, so the rest is held back.",
        "Look at the newest dead letters for the code, then correct the rule or the workflow.",
    ),
    "rate_limited": (
        "The API has blocked the token for going over its quota.",
        "It ends by itself. Something else on the same token used it up: see the budget, and raise budget.reserve.",
    ),
}
UNKNOWN_PAUSE = ("The target does not answer as it should.", "It is tried again by itself; the log has its words.")
LONG_WAIT_SECONDS = 300.0
KINDS = 3  # of dead letters that are named
LITTLE_LEFT = 0.02  # of the quota, above the reserve


def paused(target: str, workflow: str, operation: str, held: Held, now_ms: int) -> Paused:
    """A pause with its meaning."""
    meaning, advice = PAUSES.get(held.reason, UNKNOWN_PAUSE)
    since_ms = int(now_ms - held.seconds * 1000)
    since_ms -= since_ms % 60_000  # what is said of it stays the same from second to second
    return Paused(target, workflow, held.reason, meaning, advice, operation, redact(held.detail), since_ms)


def span(seconds: float) -> str:
    """As a person says it."""
    for size, unit in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"


class State(NamedTuple):
    """What notices are made of."""

    sources: Sequence[Source]
    pauses: Sequence[Paused]  # by what the API has answered
    switched: Sequence[Switched]  # by operators
    backlog: Backlog
    budgets: Sequence[Budget]
    problems: Sequence[str]  # why the configuration's files are not in use
    draining: bool = False  # somebody has asked for it
    log: LogLevel | None = None  # None: as configured
    died: Mapping[tuple[str, str], int] = {}  # dead letters since the start, by rule and reason


def notices(state: State) -> list[Notice]:
    """The most urgent first."""
    found = [
        *map(_of_pause, state.pauses),
        *_of_sources(state.sources),
        *map(_of_switch, state.switched),
        *_of_drain(draining=state.draining),
        *_of_log(state.log),
        *_of_config(state.problems),
        *_of_budgets(state.budgets),
        *_of_backlog(state),
    ]
    return sorted(found, key=lambda notice: ("critical", "warning", "info").index(notice.severity))


def _of_switch(switched: Switched) -> Notice:
    what = f"{switched.kind} {switched.name}".strip()
    advice = "Resume it when its reason is gone; nothing is lost meanwhile."
    return Notice(
        "warning", f"Paused by an operator: {what}", f"{switched.reason} ({switched.who})", advice, "overview"
    )


def _of_pause(pause: Paused) -> Notice:
    what = f"{pause.target} / {pause.workflow}" if pause.workflow else pause.target
    if pause.operation:
        what += f" ({pause.operation})"
    severity = "warning" if pause.reason == "rate_limited" else "critical"
    said = f" It said: {pause.said}." if pause.said else ""
    since = datetime.fromtimestamp(pause.since_ms / 1000, UTC)
    detail = f"{pause.meaning} ({pause.reason}, since {since:%H:%M} UTC){said}"
    page = "dead-letters" if pause.reason == "rejected" else "overview"
    return Notice(severity, f"Calls to {what} are paused", detail, pause.advice, page)


def _of_sources(sources: Sequence[Source]) -> Iterator[Notice]:
    for source in sources:
        if source.state == "disconnected":
            advice = "Mend what it names: broker, address, credentials, topic or queue; it is opened again by itself."
            yield Notice("critical", f"Source {source.name} has no broker", source.explanation, advice, "sources")
        elif source.state == "waiting":
            advice = "Bring the schema registry back; no message is lost, the broker keeps them."
            yield Notice("critical", f"Source {source.name} waits", source.explanation, advice, "sources")
        elif source.state == "held_up":
            advice = "See what holds the calls back; intake goes on by itself when there is room."
            yield Notice("warning", f"Source {source.name} is held up", source.explanation, advice, "overview")


def _of_drain(*, draining: bool) -> Iterator[Notice]:
    if draining:
        detail = "It reads no more, sends what it can, and stops then."
        advice = "This cannot be taken back. Whoever runs it, Kubernetes or systemd, may start it again."
        yield Notice("warning", "The bridge drains", detail, advice, "overview")


def _of_log(said: LogLevel | None) -> Iterator[Notice]:
    if said is not None:
        detail = f"{said.who} has said so; the configuration says {said.configured}."
        advice = "It ends by itself." if said.until_ms else "Take it back when you have seen what you looked for."
        yield Notice("info", f"The log is written at level {said.level}", detail, advice, "overview")


def _of_config(problems: Sequence[str]) -> Iterator[Notice]:
    if problems:
        advice = "Correct the files (workflow-bridge check tells the lines); until then the old configuration works on."
        detail = "; ".join(problems[:3]) + (f"; and {len(problems) - 3} more" if len(problems) > 3 else "")  # noqa: PLR2004  three are shown
        yield Notice("warning", "The changed configuration is refused", detail, advice, "overview")


def _of_budgets(budgets: Sequence[Budget]) -> Iterator[Notice]:
    for budget in budgets:
        if budget.remaining is not None and budget.reserved is not None and budget.limit:
            left = budget.remaining - budget.reserved
            if left < budget.limit * LITTLE_LEFT and budget.state != "blocked":
                detail = f"{max(left, 0)} of {budget.limit} requests are left above the reserve."
                advice = (
                    f"More comes in {budget.reset_seconds or 0:.0f} s; creates travel by the hundred, events alone."
                )
                yield Notice("info", f"The quota of {budget.target} is nearly used up", detail, advice, "overview")


def _lately(died: Mapping[tuple[str, str], int]) -> str:
    """The most frequent kinds of them, by rule and reason."""
    if not died:
        return ""
    ranked = sorted(died.items(), key=lambda one: (-one[1], one[0]))
    kinds = [f"{count:,} {reason}" + (f" of rule {rule}" if rule else "") for (rule, reason), count in ranked[:KINDS]]
    more = f", and {len(ranked) - KINDS} more of these" if len(ranked) > KINDS else ""
    return f" Since the start: {', '.join(kinds)}{more}."


def _of_backlog(state: State) -> Iterator[Notice]:
    backlog = state.backlog
    if backlog.blocked_lanes:
        detail = f"{backlog.blocked_lanes} held back by a dead letter (on_dead: block)."
        yield Notice("critical", "Lanes are blocked", detail, "Release or discard those dead letters.", "dead-letters")
    if backlog.dead_letters:
        detail = f"{backlog.dead_letters:,} kept, with their messages.{_lately(state.died)}"
        advice = "Look at the reasons, correct the cause, then redrive or discard them."
        yield Notice("warning", "There are dead letters", detail, advice, "dead-letters")
    if backlog.oldest_seconds is not None and backlog.oldest_seconds > LONG_WAIT_SECONDS and not backlog.parked:
        detail = f"For {span(backlog.oldest_seconds)}."
        advice = "See the budget and the pauses; without either the API answers slowly or with errors: see the log."
        yield Notice("warning", "The oldest call waits long", detail, advice, "overview")
