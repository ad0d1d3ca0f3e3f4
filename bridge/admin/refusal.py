"""What a request to the admin listener is refused for; the one form in which that is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
from starlette.responses import Response

from bridge.errors import BridgeError
from bridge.secrecy import redact

if TYPE_CHECKING:
    from collections.abc import Mapping


class Refusal(BridgeError):  # noqa: N818  it says what happened
    """A request is not done; caught where answers are made.

    status: HTTP's. code: a constant word for programs. problem: what is wrong. advice: what to do about it.
    """

    def __init__(
        self, status: int, code: str, problem: str, advice: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(problem)
        self.status = status
        self.code = code
        self.problem = problem
        self.advice = advice
        self.headers = dict(headers or {})


def refused(refusal: Refusal) -> Response:
    """The answer."""
    told = {"code": refusal.code, "problem": redact(refusal.problem), "advice": redact(refusal.advice)}
    return Response(orjson.dumps({"error": told}), refusal.status, refusal.headers, "application/json")
