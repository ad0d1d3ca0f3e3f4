"""What the API allows one target at this moment: the budget and the creation rates on the clock, kept in the outbox.

Nothing here waits except ``turn``, for a request that was not chosen with ``request_seconds`` in view.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import structlog

from bridge.dispatch.budget import HTTP_TOO_MANY, Budget, State
from bridge.dispatch.creations import Creations, Rates
from bridge.dispatch.quota import Shares

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bridge.cloudflare.ratelimit import Reading
    from bridge.cloudflare.settings import BudgetSettings
    from bridge.dispatch.budget import EvenLine
    from bridge.dispatch.creations import Creation

log = structlog.get_logger(__name__)

LONGEST_WAIT_SECONDS = 60.0
NOTE_SECONDS = 1.0  # between two notes, unless much has happened


class Notes(NamedTuple):
    """Where an allowance is kept beyond the process."""

    read: Callable[[], str]  # "": nothing was noted; called once, when the first request is thought of
    write: Callable[[str], None]
    now_ms: Callable[[], int]  # Unix epoch: the clock that the next process has, too


class Numbers(NamedTuple):
    """What people look at: the policy that leaves least, as of the last answer."""

    limit: int
    remaining: int
    reset_seconds: float
    reserved: int  # requests that are never made here


class Allowance:
    """See the module's text. ``now`` gives seconds of a steady clock."""

    def __init__(self, settings: BudgetSettings, now: Callable[[], float], notes: Notes) -> None:
        self._settings = settings
        self._now = now
        self._notes = notes
        self._rates_are_asked_for = bool(
            {"creations_per_second", "creations_per_second_per_workflow"} & settings.model_fields_set
        )
        self._creations = Creations(Rates(settings.creations_per_second_per_workflow, settings.creations_per_second))
        self._answered = asyncio.Event()
        self._news: Callable[[], None] | None = None
        self._noted_at = -math.inf
        self._unnoted = 0  # answers since

    @cached_property
    def budget(self) -> Budget:
        """What is known of the token, also from an earlier process."""
        budget = Budget(Shares(self._settings.reserve, self._settings.share))
        text = self._notes.read()
        if text:
            budget.restore(text, self._now(), self._notes.now_ms() / 1000)
        return budget

    # --- requests ----------------------------------------------------------------------------------------------------

    def request_seconds(self, more: int = 0) -> float:
        """How long until a request may go, after ``more`` others; 0: now; inf: not before an answer has come."""
        return self.budget.wait_seconds(self._now(), more)

    def even_line(self) -> EvenLine | None:
        """What this process may use, spread evenly; None: no limit."""
        return self.budget.even_line()

    @property
    def counts(self) -> bool:
        """Whether answers tell of a quota."""
        return self.budget.state is State.COUNTED

    @property
    def is_blocked(self) -> bool:
        """Whether the API has said that it answers nothing for a while."""
        return self._now() < self.budget.blocked_until

    def blocked_seconds(self) -> float:
        """For how long that will be so; 0: it is not."""
        return max(0.0, self.budget.blocked_until - self._now())

    def numbers(self) -> Numbers | None:
        """None where no quota is known."""
        now = self._now()
        quota = self.budget.tightest(now)
        if quota is None:
            return None
        reset_seconds = max(0.0, math.ceil(quota.reset_at - now))
        return Numbers(quota.requests, quota.remaining, reset_seconds, quota.reserved)

    async def turn(self) -> None:
        """Return when a request may go."""
        while (seconds := self.request_seconds()) > 0:
            self._answered.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(seconds, LONGEST_WAIT_SECONDS)):
                    await self._answered.wait()

    def sent(self) -> float:
        """A request goes out, at the time that is given back."""
        now = self._now()
        self.budget.sent(now)
        return now

    def answered(
        self, status: int, readings: Sequence[Reading], retry_after_seconds: float | None, sent_at: float
    ) -> None:
        """It was answered so. A 429 with requests left is not about the quota."""
        now = self._now()
        before = self.budget.state
        self.budget.answered(status, readings, sent_at, now)
        if status == HTTP_TOO_MANY and not (readings and all(reading.remaining for reading in readings)):
            self.budget.blocked(retry_after_seconds, now)
        if self.budget.state is State.COUNTED and before is not State.COUNTED:
            log.info("quota_known", limits=[reading.requests for reading in readings])
        elif self.budget.state is not before:
            log.info("no_quota")
        self._unnoted += 1
        if self.budget.state is State.COUNTED or self.is_blocked:
            self._note(now, at_once=self.is_blocked or self.budget.state is not before)
        self._tell()

    def _tell(self) -> None:
        self._answered.set()
        news, self._news = self._news, None
        if news is not None:
            news()

    def listen(self, news: Callable[[], None]) -> None:
        """Have this told of the next answer, or that there will be none, whoever has asked; once."""
        self._news = news

    def _note(self, now: float, *, at_once: bool) -> None:
        """A note that lacks a few requests makes no burst: the reserve covers them until the first answer."""
        if at_once or self._unnoted >= self.budget.few or now - self._noted_at >= NOTE_SECONDS:
            self._noted_at, self._unnoted = now, 0
            self._notes.write(self.budget.encode(now, self._notes.now_ms() / 1000))

    def unanswered(self, *, sent: bool) -> None:
        """There will be no answer. sent: it may have reached the API all the same."""
        self.budget.lost(counted=sent)
        self._tell()

    # --- creations ---------------------------------------------------------------------------------------------------

    @property
    def _limits_creations(self) -> bool:
        return self._rates_are_asked_for or self.budget.state is not State.OPEN

    def creation_seconds(self, workflow: str, count: int) -> float:
        """How long until so many instances may be created, or restarted; 0: now."""
        return self._creations.wait_seconds(workflow, count, self._now()) if self._limits_creations else 0.0

    def largest(self, workflow: str) -> int:
        """The most that one request may create."""
        return self._creations.largest(workflow, self._now()) if self._limits_creations else 1 << 30

    def creating(self, workflow: str, count: int) -> Creation | None:
        """A request that creates, or restarts, so many goes out; None where nobody counts them."""
        return self._creations.sent(workflow, count, self._now()) if count and self._limits_creations else None

    def created(self, creation: Creation) -> None:
        """It has ended."""
        self._creations.ended(creation, self._now())

    def too_many_creations(self, workflow: str, retry_after_seconds: float | None) -> None:
        """The API refused one for that."""
        self._creations.refused(workflow, retry_after_seconds, self._now())
