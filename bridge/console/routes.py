"""What a route of the admin API is: its place, what it takes, what it gives; and how a request becomes an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
from pydantic import BaseModel, ValidationError
from starlette.responses import Response
from starlette.routing import Route as StarletteRoute

from bridge.admin.access import Role
from bridge.admin.refusal import Refusal
from bridge.secrecy import redact

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.requests import Request

PREFIX = "/api/v1"


class Asked(NamedTuple):
    """A request."""

    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Any  # of the route's model; None where it has none
    raw: bytes
    may_act: bool
    who: str  # for the list of what operators did


class Route(NamedTuple):
    """One operation of the API."""

    method: str
    path: str  # below PREFIX
    summary: str
    answer: Callable[[Asked], Awaitable[Any]]  # gives what ``gives`` says, or a Response; raises Refusal
    gives: type | None  # a dataclass of ``shapes``; None: a stream
    takes: type[BaseModel] | None = None
    query: Mapping[str, str] = {}  # name -> what it is for
    acts: bool = False  # only for operators


def starlette_route(route: Route) -> StarletteRoute:
    """As Starlette has it."""

    async def endpoint(request: Request) -> Response:
        answer = await route.answer(await _asked(route, request))
        return answer if isinstance(answer, Response) else json_response(answer)

    return StarletteRoute(PREFIX + route.path, endpoint, methods=[route.method])


def json_response(value: object) -> Response:
    """Every text that goes out passes the mask of known secrets."""
    text = redact(orjson.dumps(value, default=str).decode())
    return Response(text, media_type="application/json")


async def _asked(route: Route, request: Request) -> Asked:
    for name in request.query_params:
        if name not in route.query:
            known = ", ".join(route.query) or "none"
            raise Refusal(422, "bad_query", f"There is no parameter {name[:100]!r} here.", f"There are: {known}.")
    raw = b"" if route.method == "GET" else await request.body()
    body = None if route.takes is None else _read(route.takes, raw)
    may_act = request.state.role >= Role.OPERATE
    address = request.client.host if request.client else "somewhere"
    return Asked(request.path_params, request.query_params, body, raw, may_act, f"admin API, from {address}")


def _read(model: type[BaseModel], raw: bytes) -> BaseModel:
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        problem = f"{where}: {first['msg']}" if where else str(first["msg"])
        advice = "The document at /api/v1/openapi.json has the form of every request."
        raise Refusal(422, "bad_body", problem, advice) from None


def number(asked: Asked, name: str) -> int | None:
    """A parameter that is a whole number from 0; None: it is not given. Raises Refusal."""
    text = asked.query.get(name)
    if text is None or text == "":
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18:  # noqa: PLR2004  the digits of 63 bits
        raise Refusal(422, "bad_query", f"{name} is {text[:100]!r}.", "Give a whole number.")
    return int(text)
