"""What goes wrong on demand: which requests it hits, and what becomes of those. The same seed, the same faults."""

from __future__ import annotations

from enum import Enum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import orjson
from pydantic import BaseModel, ConfigDict, Field

from bridge.emulator.answers import Problem, Refusal, Reply, failure, success
from bridge.emulator.quota import TEXTS

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from bridge.emulator.journal import Record

Operation = Literal["list", "get", "create", "batch", "event", "status", "delete", "step"]
UNAVAILABLE = "<html><head><title>502 Bad Gateway</title></head><body>error code: 502</body></html>"
INTERNAL = Problem(500, 10001, "workflows.api.error.internal_server")


class Delivery(Enum):
    """What becomes of an answer."""

    SEND = "send"
    HOLD = "hold"  # never sent; the connection stays open until the client has had enough
    LOSE = "lose"  # never sent; the connection is reset


class Outcome(NamedTuple):
    """An answer and its fate."""

    reply: Reply
    worked: bool = True  # whether the request was carried out
    delivery: Delivery = Delivery.SEND
    delay_seconds: float = 0.0  # of the emulator's clock


class Struck(NamedTuple):
    """A request that a fault has hit."""

    record: Record
    body: bytes
    work: Callable[[bytes], Reply]  # carries the request out, with this body
    rng: Random


class Where(BaseModel):
    """Which requests a fault hits, of those that the quota lets through; what is left out means any.

    workflow, instance and token are patterns with ``*`` and ``?``; a batch is hit when one of its ids fits.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(default="", max_length=100, description="Shown in the journal; made up if left out")
    operation: Operation | list[Operation] = Field(default=[])
    workflow: str = "*"
    instance: str = "*"
    token: str = "*"  # noqa: S105  a pattern of names
    probability: float = Field(default=1, ge=0, le=1)
    skip: int = Field(default=0, ge=0, description="Requests that fit and are let pass first")
    count: int | None = Field(default=None, ge=0, description="Requests that are hit, then it is over")
    begins_seconds: float = Field(default=0, ge=0, description="From when it was set, on the emulator's clock")
    ends_seconds: float | None = Field(default=None, ge=0, description="Likewise; null: when it is taken away")

    def fits(self, record: Record, ids: Callable[[], list[str]]) -> bool:
        """Whether it could hit this request. ids: those that the request names."""
        wanted = [self.operation] if isinstance(self.operation, str) else self.operation
        return (
            (not wanted or record.operation in wanted)
            and (self.workflow == "*" or fnmatchcase(record.workflow, self.workflow))
            and (self.token == "*" or fnmatchcase(record.token, self.token))  # noqa: S105  a pattern of names
            and (self.instance == "*" or any(fnmatchcase(name, self.instance) for name in ids()))
        )


class Delay(Where):
    """The answer comes late; the request was carried out when it came. Other faults may hit the same request."""

    do: Literal["delay"]
    seconds: float | tuple[float, float] = Field(description="On the emulator's clock; two: anything between")

    def choose(self, rng: Random) -> float:
        """How late this time; seconds."""
        low, high = self.seconds if isinstance(self.seconds, tuple) else (self.seconds, self.seconds)
        return low + (high - low) * rng.random()


class Error(Where):
    """An error of the API: with its envelope, or with a page of HTML as a gateway gives it."""

    do: Literal["error"]
    status: int = Field(default=500, ge=400, le=599)
    code: int = 10001
    message: str = INTERNAL.message
    envelope: bool = True
    work: bool = Field(default=False, description="Whether the request is carried out all the same")
    result: bool = Field(default=False, description="The result stands beside the error, as has been seen; needs work")

    def strike(self, struck: Struck) -> Outcome:
        """The error, after the work or instead of it."""
        reply = struck.work(struck.body) if self.work else None
        if not self.envelope:
            return Outcome(Reply(self.status, UNAVAILABLE.encode(), self.code), self.work)
        answer = failure(Problem(self.status, self.code, self.message))
        if reply is not None and self.result and reply.status == 200:  # noqa: PLR2004  HTTP's own number
            filled = orjson.loads(answer.body) | {"result": orjson.loads(reply.body)["result"]}
            answer = answer._replace(body=orjson.dumps(filled))
        return Outcome(answer, self.work)


class NoAnswer(Where):
    """The answer never comes, and the connection stays open."""

    do: Literal["no-answer"]
    work: bool = True

    def strike(self, struck: Struck) -> Outcome:
        """Silence, after the work or instead of it."""
        return _silence(struck, Delivery.HOLD, work=self.work)


class Lost(Where):
    """The connection is reset instead of an answer."""

    do: Literal["lost"]
    work: bool = True

    def strike(self, struck: Struck) -> Outcome:
        """A reset, after the work or instead of it."""
        return _silence(struck, Delivery.LOSE, work=self.work)


class Omit(Where):
    """The answer to a batch leaves ids out, whether their instances were created or not."""

    do: Literal["omit"]
    operation: Operation | list[Operation] = ["batch"]
    share: float = Field(default=1, gt=0, le=1, description="How likely each id is left out")
    work: bool = Field(default=True, description="Whether the instances that are left out are created")

    def strike(self, struck: Struck) -> Outcome:
        """A good answer that is too short. One that is no answer to a good batch stays as it is."""
        items = _items(struck.body)
        left_out = [struck.rng.random() < self.share for _ in items]
        if not any(left_out):
            return Outcome(struck.work(struck.body))
        if not self.work:
            return self._less(struck, [item for item, out in zip(items, left_out, strict=True) if not out])
        names = {
            item["instance_id"] for item, out in zip(items, left_out, strict=True) if out and "instance_id" in item
        }
        reply = struck.work(struck.body)
        if reply.status != 200:  # noqa: PLR2004  HTTP's own number
            return Outcome(reply)
        return Outcome(success([row for row in orjson.loads(reply.body)["result"] if row["id"] not in names]))

    def _less(self, struck: Struck, rest: list[Any]) -> Outcome:
        offered = [item.get("instance_id") for item in _items(struck.body)]
        reply = struck.work(orjson.dumps(rest)) if rest else success([])
        struck.record.offered[:] = offered
        return Outcome(reply, bool(rest))


class RateLimit(Where):
    """429, though nobody asked too much."""

    do: Literal["rate-limit"]
    code: int = 10429
    retry_after: int | None = Field(default=None, ge=0, description="Seconds, in the header; null: no header")

    def strike(self, _: Struck) -> Outcome:
        """The refusal."""
        header = () if self.retry_after is None else [(b"retry-after", str(self.retry_after).encode())]
        return Outcome(failure(Problem(429, self.code, TEXTS.get(self.code, TEXTS[10429])), header), worked=False)


class Garbage(Where):
    """An answer that is no envelope."""

    do: Literal["garbage"]
    status: int = Field(default=200, ge=200, le=599)
    body: str = UNAVAILABLE
    work: bool = False

    def strike(self, struck: Struck) -> Outcome:
        """The garbage, after the work or instead of it."""
        if self.work:
            struck.work(struck.body)
        return Outcome(Reply(self.status, self.body.encode()), self.work)


class Unauthorized(Where):
    """The token is not taken."""

    do: Literal["unauthorized"]
    status: Literal[401, 403] = 403
    code: int = 10000

    def strike(self, _: Struck) -> Outcome:
        """The refusal."""
        problem = Problem(self.status, self.code, Refusal.TOKEN.value.message)
        return Outcome(failure(problem), worked=False)


class NoWorkflow(Where):
    """The workflow is not there for a while."""

    do: Literal["no-workflow"]

    def strike(self, _: Struck) -> Outcome:
        """The refusal."""
        return Outcome(failure(Refusal.WORKFLOW.value), worked=False)


Fault = Annotated[
    Delay | Error | NoAnswer | Lost | Omit | RateLimit | Garbage | Unauthorized | NoWorkflow, Field(discriminator="do")
]


def _silence(struck: Struck, delivery: Delivery, *, work: bool) -> Outcome:
    reply = struck.work(struck.body) if work else Reply(0, b"")
    return Outcome(reply, work, delivery)


def _items(body: bytes) -> list[dict[str, Any]]:
    """The elements of a batch; none where it is not one."""
    try:
        items = orjson.loads(body)
    except orjson.JSONDecodeError:
        return []
    whole = isinstance(items, list) and all(isinstance(item, dict) for item in items)
    return items if whole else []
