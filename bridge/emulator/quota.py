"""How many requests a token may make and how many instances an account may create: counting, on times given."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from bridge.emulator.answers import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Headers = Sequence[tuple[bytes, bytes]]

TEXTS = {
    971: "Please wait and consider throttling your request speed",
    10429: "Rate limited. Please wait and consider throttling your request speed",
}
_QUOTA = re.compile(r"(\d+)/(\d+)s")


class QuotaSettings(BaseModel):
    """Requests per token: https://developers.cloudflare.com/fundamentals/api/reference/limits/."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    requests: int = Field(default=1200, ge=1, description="Requests in a window; the next one begins a block")
    window_seconds: int = Field(default=300, ge=1, description="A window begins with the first request after the last")
    block_seconds: int = Field(default=300, ge=0, description="How long every request is refused after one too many")
    code: int = Field(default=10429, description="Of the refusal; 971 has been seen too")

    @classmethod
    def parse(cls, text: str) -> QuotaSettings | None:
        """``1200/300s``, blocked for as long as the window; None for ``off``. Raises ValueError."""
        if text == "off":
            return None
        match = _QUOTA.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is not off or like 1200/300s")
        return cls(requests=int(match[1]), window_seconds=int(match[2]), block_seconds=int(match[2]))

    @property
    def problem(self) -> Problem:
        """The refusal on the wire."""
        return Problem(429, self.code, TEXTS.get(self.code, TEXTS[10429]))


class CreationSettings(BaseModel):
    """Instances per second: https://developers.cloudflare.com/workflows/reference/limits/, notes 6 and 8.

    Each is a bucket that holds ``burst_seconds`` of its rate. How the API counts a second is not known; with a burst of
    one second this is the strictest way: no stretch of a second has more than twice the rate, no long one more than it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    per_workflow: int = Field(default=100, ge=1)
    per_account: int = Field(default=300, ge=1)
    burst_seconds: float = Field(default=1.0, gt=0)
    code: int = Field(default=10429, description="Of the refusal; no source tells which it is")
    retry_after_seconds: int | None = Field(default=1, ge=0, description="The refusal's header; null sends none")

    @classmethod
    def parse(cls, text: str) -> CreationSettings | None:
        """``100/300``: per workflow and per account, each second; None for ``off``. Raises ValueError."""
        if text == "off":
            return None
        workflow, _, account = text.partition("/")
        if not (workflow.isdecimal() and account.isdecimal()):
            raise ValueError(f"{text!r} is not off or like 100/300")
        return cls(per_workflow=int(workflow), per_account=int(account))

    @property
    def problem(self) -> Problem:
        """The refusal on the wire."""
        return Problem(429, self.code, TEXTS.get(self.code, TEXTS[10429]))


class Quota:
    """What one token has left. All times are Unix milliseconds of the emulator's clock."""

    def __init__(self, settings: QuotaSettings) -> None:
        self._settings = settings
        self._policy = f'"default";q={settings.requests};w={settings.window_seconds}'.encode()
        self._left = settings.requests
        self._resets_ms = 0  # the end of the window, or of the block
        self._blocked = False
        self.blocks = 0  # so far

    def take(self, now_ms: int) -> bool:
        """Count a request. False: it is refused. The first refusal begins a block; later ones do not extend it."""
        if now_ms >= self._resets_ms:
            self._begin(now_ms, blocked=False)
        if self._left:
            self._left -= 1
            return True
        if not self._blocked:
            self._begin(now_ms, blocked=True)
            self.blocks += 1
        return False

    def _begin(self, now_ms: int, *, blocked: bool) -> None:
        settings = self._settings
        self._blocked = blocked
        self._left = 0 if blocked else settings.requests
        self._resets_ms = now_ms + 1000 * (settings.block_seconds if blocked else settings.window_seconds)

    @property
    def blocked(self) -> bool:
        """Whether the last request was refused."""
        return self._blocked

    def reset_seconds(self, now_ms: int) -> int:
        """Until the window or the block ends, rounded up."""
        return max(0, -((now_ms - self._resets_ms) // 1000))

    def headers(self, now_ms: int) -> Headers:
        """What every answer says: https://developers.cloudflare.com/changelog/2025-09-03-rate-limiting-improvement."""
        left = f'"default";r={self._left};t={self.reset_seconds(now_ms)}'.encode()
        return [(b"ratelimit", left), (b"ratelimit-policy", self._policy)]

    def state(self, now_ms: int) -> Mapping[str, int | bool]:
        """For people and tests."""
        left = self._settings.requests if now_ms >= self._resets_ms else self._left
        blocked = self._blocked and now_ms < self._resets_ms
        return {"remaining": left, "reset_seconds": self.reset_seconds(now_ms), "blocked": blocked}


class _Bucket:
    """Fills with the clock up to its capacity."""

    __slots__ = ("_capacity", "_full_ms", "_per_ms")

    def __init__(self, per_second: int, burst_seconds: float) -> None:
        self._per_ms = per_second / 1000
        self._capacity = per_second * burst_seconds
        self._full_ms = 0.0  # when it will be full again

    def has(self, count: int, now_ms: int) -> bool:
        """Whether it holds this many; one that asks for more than it ever holds gets what a full one has."""
        holds = self._capacity - max(0.0, self._full_ms - now_ms) * self._per_ms
        return holds + 1e-3 >= min(count, self._capacity)

    def take(self, count: int, now_ms: int) -> None:
        self._full_ms = max(self._full_ms, now_ms) + count / self._per_ms


class CreationRates:
    """Instances that an account may create now. Restarts count; so does every element of a batch."""

    def __init__(self, settings: CreationSettings) -> None:
        self._settings = settings
        self._account = _Bucket(settings.per_account, settings.burst_seconds)
        self._workflows: dict[str, _Bucket] = {}

    def take(self, workflow: str, count: int, now_ms: int) -> bool:
        """Take all or nothing."""
        bucket = self._workflows.get(workflow)
        if bucket is None:
            bucket = self._workflows[workflow] = _Bucket(self._settings.per_workflow, self._settings.burst_seconds)
        if not (bucket.has(count, now_ms) and self._account.has(count, now_ms)):
            return False
        bucket.take(count, now_ms)
        self._account.take(count, now_ms)
        return True
