"""The words that the table of API cases is written in: a request, its answer, and short ways to write them."""

from __future__ import annotations

from typing import Any, NamedTuple


class Sent(NamedTuple):
    """One request. body: bytes as they are, else JSON; token: None sends none, "" the right one."""

    method: str
    path: str  # behind …/workflows/
    body: Any = None
    token: str | None = ""
    account: str = ""  # "" is the right one


class Answered(NamedTuple):
    """HTTP status and code of the error; 0 is success."""

    status: int
    code: int


OK = Answered(200, 0)
TOKEN_FORM = Answered(400, 6003)
TOKEN_WRONG = Answered(403, 10000)
ROUTE = Answered(404, 7003)
BODY = Answered(400, 10002)
NO_WORKFLOW = Answered(404, 10200)
NO_INSTANCE = Answered(404, 10400)
ENDED = Answered(409, 10401)
EXISTS = Answered(400, 10405)
NOT_RUNNING = Answered(400, 10402)


class Case(NamedTuple):
    """A request and its answer."""

    name: str
    source: str
    sent: Sent
    answered: Answered = OK
    result: Any = None  # shape; None for a refusal
    info: Any = None  # shape of result_info
    given: tuple[Sent, ...] = ()  # done before; each must succeed
    settles: bool = False  # the engine needs a moment: asked again until it is so


def make(workflow: str, name: str, params: Any = None) -> Sent:
    body = {"instance_id": name} | ({} if params is None else {"params": params})
    return Sent("POST", f"{workflow}/instances", body)


def batch(workflow: str, *names: str) -> Sent:
    return Sent("POST", f"{workflow}/instances/batch", [{"instance_id": name} for name in names])


def get(workflow: str, name: str, query: str = "") -> Sent:
    return Sent("GET", f"{workflow}/instances/{name}{query}")


def event(name: str, kind: str = "go", body: Any = None) -> Sent:
    return Sent("POST", f"wait/instances/{name}/events/{kind}", {"n": 1} if body is None else body)


def change(workflow: str, name: str, body: Any) -> Sent:
    return Sent("PATCH", f"{workflow}/instances/{name}/status", body if isinstance(body, dict) else {"status": body})
