"""The envelope, and every refusal that the emulator knows: the API's codes, statuses and texts as data."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

import orjson

if TYPE_CHECKING:
    from collections.abc import Sequence


class Problem(NamedTuple):
    """How one kind of refusal looks on the wire."""

    status: int
    code: int
    message: str


class Refusal(Enum):
    """What the API says no to. Where no source tells, the comment says so."""

    HEADER = Problem(400, 6003, "Invalid request headers")
    TOKEN = Problem(403, 10000, "Authentication error")
    ROUTE = Problem(404, 7003, "Could not route to the given path, perhaps your object identifier is invalid?")
    BODY = Problem(400, 10002, "workflows.api.error.body")  # also bad ids, queries and sizes: no source for their code
    WORKFLOW = Problem(404, 10200, "workflows.api.error.workflow.not_found")
    INSTANCE = Problem(404, 10400, "workflows.api.error.instance.not_found")
    ENDED = Problem(409, 10401, "workflows.api.error.instance.cannot_terminate")
    EXISTS = Problem(400, 10405, "workflows.api.error.instance.already_exists")


class Refused(Exception):  # noqa: N818  it says what happened
    """A request is answered with a refusal; caught in one place, the app."""

    def __init__(self, refusal: Refusal | Problem, retry_after_seconds: int | None = None) -> None:
        """retry_after_seconds: what the header of that name says; None: there is none."""
        self.problem = refusal.value if isinstance(refusal, Refusal) else refusal
        self.retry_after_seconds = retry_after_seconds
        super().__init__(self.problem.message)


class Reply(NamedTuple):
    """An answer that is ready to be sent."""

    status: int
    body: bytes
    code: int = 0  # of the error; 0: success
    headers: Sequence[tuple[bytes, bytes]] = ()  # besides type and length


def success(result: object, info: object = None) -> Reply:
    """The envelope of a result; ``info`` is ``result_info``, which only lists have."""
    envelope = {"success": True, "errors": [], "messages": [], "result": result}
    if info is not None:
        envelope["result_info"] = info
    return Reply(200, orjson.dumps(envelope))


def failure(problem: Problem, headers: Sequence[tuple[bytes, bytes]] = ()) -> Reply:
    """The envelope of a refusal."""
    errors = [{"code": problem.code, "message": problem.message}]
    envelope = {"success": False, "errors": errors, "messages": [], "result": None}
    return Reply(problem.status, orjson.dumps(envelope), problem.code, headers)


def refusal(refused: Refused) -> Reply:
    """The answer that a refusal is."""
    seconds = refused.retry_after_seconds
    return failure(refused.problem, () if seconds is None else [(b"retry-after", str(seconds).encode())])


def timestamp(ms: int | None) -> str | None:
    """Unix milliseconds as the API writes a time: ISO 8601 in UTC with milliseconds."""
    if ms is None:
        return None
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
