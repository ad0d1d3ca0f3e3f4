"""The closed loop of ``watch``: whether the instances that a rule has made ended in an error.

Asked by lists of the errored ones, a page at a time, and only with what deliveries leave: nothing is asked while calls
wait for the quota, and never more than a fiftieth of it. A list lags behind, and an instance may end at any time: so
each look begins anew at the newest, and goes through all that were created lately. What was counted is in the ledger,
hence known after a restart, and bounded as the ledger is; which instances need no further look-up is remembered here.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, defaultdict
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol

import structlog

from bridge.cloudflare.responses import Meaning
from bridge.dispatch.ration import Ration
from bridge.dispatch.sending import failure_of
from bridge.errors import ApiError, OutboxError
from bridge.outbox.base import Queue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from bridge.cloudflare.client import ListQuery
    from bridge.cloudflare.results import Listed
    from bridge.dispatch.allowance import Allowance
    from bridge.dispatch.gate import Line
    from bridge.dispatch.timeline import Clock
    from bridge.metrics import Metrics
    from bridge.outbox.overview import LedgerRow
    from bridge.routing.settings import RuleSettings

log = structlog.get_logger(__name__)

ERRORED = "errored"  # the API's status, and the outcome in the ledger
SHARE = 0.02  # of what this process may use of the quota
SLACK = 5  # requests that could go at once, besides: a delivery that comes now does not wait for this
PAGE = 100  # instances of one request, the API's most
KNOWN = 10_000  # instances that are remembered, of all workflows together
PAUSE_SECONDS = 5.0  # between two pages
ANSWER_SECONDS = 30.0
SETTLED = timedelta(hours=1)  # by then a create that has made something is in the ledger, or somebody looks after it
CLOCKS_APART = timedelta(hours=1)  # of the API and of this machine, at most
_MADE = ("create", "delivered")


class Plan(NamedTuple):
    """How one workflow is watched."""

    every: timedelta  # between two looks
    span: timedelta  # instances that were created longer ago are not looked at
    rules: frozenset[str]  # whose instances count


class Records(Protocol):
    """The ledger. Raises OutboxError."""

    async def creations(self, instances: Sequence[Listed]) -> Sequence[Sequence[LedgerRow]]:
        """The rows about the making of each of these, and about their ends, the last first."""

    async def errored(self, rows: Sequence[LedgerRow]) -> None:
        """Write that the instances ended in an error which these rows' calls have made."""


def plans(rules: Iterable[RuleSettings], only_target: str) -> Mapping[Queue, Plan]:
    """What the rules want to know. only_target: of rules that name none. Pure."""
    found: dict[Queue, Plan] = {}
    for rule in rules:
        if rule.watch is not None and rule.create is not None:
            place = Queue(rule.create.target or only_target, rule.create.workflow)
            every, span, names = found.get(place, Plan(rule.watch.every, rule.watch.span, frozenset()))
            found[place] = Plan(min(every, rule.watch.every), max(span, rule.watch.span), names | {rule.name})
    return found


def maker(rows: Sequence[LedgerRow], place: Queue) -> LedgerRow | None:
    """The row of the call that has made an instance; None: there is none, or not yet. Pure.

    rows: of one instance id, the last first. An id may be used again after its retention, so the last creation counts.
    """
    made = [row for row in rows if (row.target, row.workflow, row.operation, row.outcome) == (*place, *_MADE)]
    # A create whose answer was lost finds its own instance; a later one of the same id has made nothing.
    return next((row for row in made if row.reason != "exists"), made[-1] if made else None)


def is_counted(rows: Sequence[LedgerRow], made: LedgerRow) -> bool:
    """Whether it is known already that what this row's call has made ended in an error. Pure.

    By the order in which rows were written: their times are those of a clock that somebody may have set.
    """
    place = (made.target, made.workflow, ERRORED)
    return any((r.target, r.workflow, r.outcome) == place and r.number > made.number for r in rows)


def _text(now_ms: int, before: timedelta) -> str:
    """ISO 8601, so long ago."""
    return (datetime.fromtimestamp(now_ms / 1000, UTC) - before).strftime("%Y-%m-%dT%H:%M:%SZ")


def settled_since_ms(instance: Listed) -> int | None:
    """When the call that has made it may have been settled at the earliest, Unix epoch; None: at any time. Pure."""
    try:
        created = datetime.fromisoformat(instance.created_on or "")
    except ValueError:
        return None
    if created.tzinfo is None:
        created = created.replace(tzinfo=UTC)
    return int((created - CLOCKS_APART).timestamp() * 1000)


class _Look(NamedTuple):
    due_ms: int = 0
    cursor: str | None = None  # where it goes on; None: at the newest


class Watching:
    """``look`` asks for a page of each workflow that is due; ``run`` does so for ever.

    stopped: whether an operator has paused a workflow.
    """

    def __init__(
        self,
        wanted: Callable[[], Mapping[Queue, Plan]],
        lines: Callable[[], Mapping[str, Line]],
        records: Records,
        metrics: Metrics,
        clock: Clock,
        stopped: Callable[[Queue], bool],
    ) -> None:
        self._wanted = wanted
        self._lines = lines
        self._records = records
        self._metrics = metrics
        self._clock = clock
        self._stopped = stopped
        self._looks: dict[Queue, _Look] = {}
        self._known: OrderedDict[tuple[Queue, str, str | None], None] = OrderedDict()
        self._rations: defaultdict[str, Ration] = defaultdict(partial(Ration, SHARE))

    async def run(self) -> None:
        """Never returns; cancel it. A defect of it must not end what delivers."""
        while True:
            try:
                await self.look()
            except Exception:
                log.exception("watch_defect")
            await asyncio.sleep(PAUSE_SECONDS)

    async def look(self) -> None:
        """One page of each workflow whose time has come and for which there is a request to spare."""
        wanted = self._wanted()
        self._looks = {place: self._looks.get(place, _Look()) for place in wanted}
        for place, plan in wanted.items():
            line = self._lines().get(place.target)
            due = self._looks[place].due_ms <= self._clock.steady_ms()
            if line is not None and due and not self._stopped(place) and self._spares(place.target, line.allowance):
                self._looks[place] = await self._page(place, plan, line)

    def _spares(self, target: str, allowance: Allowance | None) -> bool:
        if allowance is None:
            return True
        if allowance.request_seconds(SLACK if allowance.counts else 0) > 0:
            return False
        ration, line, now = self._rations[target], allowance.even_line(), self._clock.seconds()
        if not ration.allows(line, now):
            return False
        ration.take(line, now)
        return True

    async def _page(self, place: Queue, plan: Plan, line: Line) -> _Look:
        """Gives when to ask again, and for what."""
        again = _Look(self._clock.steady_ms() + plan.every // timedelta(milliseconds=1))
        since = _text(self._clock.now_ms(), plan.span)
        cursor = self._looks[place].cursor
        query: ListQuery = {"status": ERRORED, "date_start": since, "cursor": cursor, "per_page": PAGE}
        client = line.sender.client
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                page = await client.list_instances(place.workflow, **query)
            await self._count(place, plan, page.instances)
        except (ApiError, OutboxError, TimeoutError) as error:
            failure = failure_of(error) if isinstance(error, ApiError) else None
            if failure is not None and failure.meaning is Meaning.UNAUTHORIZED:
                client.reread_token()
            log.warning("watch_failed", target=place.target, workflow=place.workflow,
                        reason=failure.reason if failure else type(error).__name__)  # fmt: skip
            return again
        return self._looks[place]._replace(cursor=page.cursor) if page.cursor and page.instances else again

    async def _count(self, place: Queue, plan: Plan, listed: Sequence[Listed]) -> None:
        new = [one for one in listed if one.status == ERRORED and (place, one.id, one.created_on) not in self._known]
        if not new:
            return
        about = await self._records.creations(new)
        makers = [maker(rows, place) for rows in about]
        found = [
            made
            for rows, made in zip(about, makers, strict=True)
            if made is not None and made.rule in plan.rules and not is_counted(rows, made)
        ]
        if found:
            await self._records.errored(found)
            self._metrics.errored(Counter(row.rule for row in found))
        # Whose call is not settled yet may still be of a rule; an old one is somebody else's.
        long_ago = _text(self._clock.now_ms(), SETTLED)
        for one, made in zip(new, makers, strict=True):
            if made is not None or (one.created_on or "") < long_ago:
                self._known[place, one.id, one.created_on] = None
        while len(self._known) > KNOWN:
            self._known.popitem(last=False)
