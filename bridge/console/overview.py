"""How the bridge is now: rates, backlog, budgets, pauses, and what wants a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge import __version__
from bridge.console.notices import State, notices, paused
from bridge.console.running import age_seconds
from bridge.console.sampling import drain_seconds
from bridge.console.shapes import Backlog, Budget, ConfigState, Live, LogLevel, Overview, Switched
from bridge.console.sources import sources
from bridge.dispatch.holding import names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridge.console.running import Running
    from bridge.console.sampling import History
    from bridge.dispatch.gate import Line


def overview(running: Running, history: History, *, may_act: bool) -> Overview:
    """Everything of the first page."""
    live = moving(running, history)
    generation = running.reloader.generation
    config = ConfigState(generation.number, generation.digest, list(map(str, running.reloader.problems)))
    return Overview(
        __version__,
        live.now_ms,
        running.started_ms,
        may_act,
        config,
        live.notices,
        live.rates,
        live.backlog,
        live.budgets,
        live.paused,
        live.switched,
        history.points(),
    )


def moving(running: Running, history: History) -> Live:
    """What changes from second to second."""
    now_ms = running.now_ms()
    backlog, budgets = _backlog(running, history, now_ms), _budgets(running.live.lines)
    pauses = [paused(*names(scope), held, now_ms) for scope, held in running.live.dispatcher.held.items()]
    switched = [Switched(*one) for one in running.operator.switches.paused]
    read = sources(running, history).sources
    problems, draining = list(map(str, running.reloader.problems)), running.operator.is_draining
    told = running.operator.log_level()
    level = None if told.who is None else LogLevel(*told)
    died = {(labels[0], labels[1]): int(n) for labels, n in running.metrics.values("dead_letters_total").items() if n}
    state = State(read, pauses, switched, backlog, budgets, problems, draining=draining, log=level, died=died)
    return Live(now_ms, notices(state), history.rates(), backlog, budgets, pauses, switched, history.point())


def _backlog(running: Running, history: History, now_ms: int) -> Backlog:
    depth = running.outbox.depth()
    waiting = depth.ready + depth.later
    return Backlog(
        running.config.outbox.type,
        depth.ready,
        depth.later - depth.parked,
        depth.parked,
        depth.blocked,
        age_seconds(depth.oldest_ms, now_ms),
        age_seconds(depth.oldest_parked_ms, now_ms),
        drain_seconds(waiting, history.points()),
        depth.dead,
    )


def _budgets(lines: Mapping[str, Line]) -> list[Budget]:
    return [_budget(name, line) for name, line in lines.items()]


def _budget(name: str, line: Line) -> Budget:
    allowance = line.allowance
    if allowance is None:
        return Budget(name, "open", None, None, None, None)
    known = allowance.numbers()
    if wait := allowance.blocked_seconds():
        return Budget(name, "blocked", None if known is None else known.limit, 0, None, round(wait, 1))
    if known is None:
        return Budget(name, allowance.budget.state.value, None, None, None, None)
    limit, remaining, reset_seconds, reserved = known
    return Budget(name, allowance.budget.state.value, limit, remaining, reserved, reset_seconds)
