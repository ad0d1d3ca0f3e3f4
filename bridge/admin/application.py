"""Routes as one application whose every refusal is JSON that says what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException

from bridge.admin.refusal import Refusal, refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route


def application(routes: Sequence[Route]) -> Starlette:
    """For the guard to stand before."""
    known = {Refusal: _refused, HTTPException: _not_routed, Exception: _failed}
    return Starlette(routes=routes, exception_handlers=known)


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)  # noqa: S101  Starlette has looked
    return refused(error)


async def _not_routed(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  Starlette has looked
    advice = "The document at /api/v1/openapi.json lists what there is; the page is at /."
    if error.status_code == 405:  # noqa: PLR2004  HTTP's own number
        return refused(Refusal(405, "wrong_method", "This method is not for this path.", advice, error.headers))
    return refused(Refusal(404, "not_found", "There is nothing at this path.", advice))


async def _failed(_: Request, __: Exception) -> Response:
    """The guard, which the exception goes on to, logs it."""
    advice = "This is a defect of the bridge; the log has its traceback. Messages flow on."
    return refused(Refusal(500, "defect", "The bridge failed to answer.", advice))
