"""From an answer to its result or an error: the one table of what the API's codes and statuses mean.

The facts are from the API reference (https://developers.cloudflare.com/api/resources/workflows/), from its SDKs and
from observed answers. Where they disagree about an HTTP status, the code decides.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

import orjson

from bridge.errors import ApiError, ApiRefused, ApiUnknown
from bridge.secrecy import redact

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridge.cloudflare.transport import Answer


class Meaning(StrEnum):
    """What an error says about the call, as far as anybody has to act on it; also a metric label."""

    EXISTS = "exists"  # the instance id is used
    INSTANCE_MISSING = "instance_missing"
    WORKFLOW_MISSING = "workflow_missing"
    CANNOT_TERMINATE = "cannot_terminate"  # the instance has already ended
    UNAUTHORIZED = "unauthorized"  # the token or the account, not the call
    RATE_LIMITED = "rate_limited"  # not carried out, and not the call's fault
    UNKNOWN = "unknown"  # it may have been carried out
    REJECTED = "rejected"  # final for this very call


CODES: Mapping[int, Meaning] = {
    10405: Meaning.EXISTS,  # workflows.api.error.instance.already_exists
    10400: Meaning.INSTANCE_MISSING,  # workflows.api.error.instance.not_found
    10201: Meaning.INSTANCE_MISSING,  # the same for events, by some clients
    10200: Meaning.WORKFLOW_MISSING,  # workflows.api.error.workflow.not_found
    10401: Meaning.CANNOT_TERMINATE,  # workflows.api.error.instance.cannot_terminate
    10000: Meaning.UNAUTHORIZED,  # Authentication error
    9109: Meaning.UNAUTHORIZED,  # Unauthorized to access requested resource
    6003: Meaning.UNAUTHORIZED,  # Invalid request headers: a malformed token
    7003: Meaning.UNAUTHORIZED,  # Could not route to …: a malformed account id
    7000: Meaning.UNAUTHORIZED,  # No route for that URI
    971: Meaning.RATE_LIMITED,  # Please wait and consider throttling your request speed
    10429: Meaning.RATE_LIMITED,  # Rate limited
    10001: Meaning.UNKNOWN,  # workflows.api.error.internal_server
}

STATUSES: Mapping[int, Meaning] = {
    401: Meaning.UNAUTHORIZED,
    403: Meaning.UNAUTHORIZED,
    407: Meaning.UNAUTHORIZED,  # a proxy wants credentials
    408: Meaning.UNKNOWN,
    413: Meaning.REJECTED,  # HTTP's own word for a body that is too large; the edge says it without an envelope
    429: Meaning.RATE_LIMITED,
}
SERVER_ERRORS = 500  # and above: UNKNOWN


def classify(status: int, code: int) -> Meaning:
    """The table, for an answer that is a failure envelope. A block by the rate limit outranks every code."""
    if status == 429:  # noqa: PLR2004  HTTP's own number
        return Meaning.RATE_LIMITED
    if code in CODES:
        return CODES[code]
    return Meaning.UNKNOWN if status >= SERVER_ERRORS else STATUSES.get(status, Meaning.REJECTED)


def meaning(error: ApiError) -> Meaning:
    """What a call's error means."""
    return classify(error.status, error.code) if isinstance(error, ApiRefused) else Meaning.UNKNOWN


def envelope(answer: Answer) -> dict[str, Any]:
    """The envelope of a successful answer, whatever its HTTP status.

    Raises ApiRefused for a failure envelope and for a status that needs none to be understood (401, 403, 407, 413,
    429); ApiUnknown, "server_error" or "no_envelope", where nobody knows whether the call was carried out.
    """
    body = _envelope(answer.body)
    if body is None:
        raise _bare(answer)
    if body["success"] is True:
        return body
    raise _failure(answer, body)


def _envelope(content: bytes) -> dict[str, Any] | None:
    try:
        body = orjson.loads(content)
    except orjson.JSONDecodeError:
        return None
    return body if isinstance(body, dict) and isinstance(body.get("success"), bool) else None


def _bare(answer: Answer) -> ApiError:
    """The error of an answer that is no envelope."""
    status = answer.status
    if status >= SERVER_ERRORS:
        return ApiUnknown(f"the API is in trouble (HTTP {status})", "server_error")
    if STATUSES.get(status, Meaning.UNKNOWN) is Meaning.UNKNOWN:
        return ApiUnknown(f"the answer is not an envelope of the API (HTTP {status})", "no_envelope")
    return ApiRefused(status, 0, "refused before the API was reached", retry_after(answer))


def _failure(answer: Answer, body: Mapping[str, Any]) -> ApiError:
    code, message = _first_error(body)
    if classify(answer.status, code) is Meaning.UNKNOWN:
        return ApiUnknown(f"{message} (code {code}, HTTP {answer.status})", "server_error")
    return ApiRefused(answer.status, code, message, retry_after(answer))


MAX_MESSAGE_CHARACTERS = 500


def _first_error(body: Mapping[str, Any]) -> tuple[int, str]:
    errors = body.get("errors")
    first = errors[0] if isinstance(errors, list) and errors else None
    if not isinstance(first, dict):
        return 0, "the API gave no reason"
    code = first.get("code")
    text = redact(str(first.get("message") or "the API gave no reason"))[:MAX_MESSAGE_CHARACTERS]
    return (code if isinstance(code, int) else 0), text


def retry_after(answer: Answer) -> float | None:
    """Whole seconds, as the API sends them; the other form of the header, a date, is not used by it."""
    value = answer.headers.get("retry-after", "").strip()
    return float(value) if value.isascii() and value.isdigit() and len(value) <= 9 else None  # noqa: PLR2004  30 years
