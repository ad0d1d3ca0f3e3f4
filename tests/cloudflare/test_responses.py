"""The table of answers, row by row."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.cloudflare.responses import CODES, Meaning, classify, envelope, meaning
from bridge.cloudflare.transport import Answer
from bridge.errors import ApiError, ApiRefused, ApiUnknown


def failed(status: int, code: int, message: str = "no", headers: dict[str, str] | None = None) -> ApiError:
    body = {"success": False, "errors": [{"code": code, "message": message}], "messages": [], "result": None}
    return error_of(Answer(status, headers or {}, orjson.dumps(body)))


def error_of(answer: Answer) -> ApiError:
    with pytest.raises(ApiError) as caught:
        envelope(answer)
    return caught.value


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (400, 10405, Meaning.EXISTS),
        (409, 10405, Meaning.EXISTS),
        (404, 10400, Meaning.INSTANCE_MISSING),
        (404, 10201, Meaning.INSTANCE_MISSING),
        (404, 10200, Meaning.WORKFLOW_MISSING),
        (409, 10401, Meaning.CANNOT_TERMINATE),
        (403, 10000, Meaning.UNAUTHORIZED),
        (403, 9109, Meaning.UNAUTHORIZED),
        (400, 6003, Meaning.UNAUTHORIZED),
        (404, 7003, Meaning.UNAUTHORIZED),
        (400, 7000, Meaning.UNAUTHORIZED),
        (401, 0, Meaning.UNAUTHORIZED),
        (403, 77, Meaning.UNAUTHORIZED),
        (429, 971, Meaning.RATE_LIMITED),
        (500, 971, Meaning.RATE_LIMITED),
        (429, 10429, Meaning.RATE_LIMITED),
        (429, 0, Meaning.RATE_LIMITED),
        (429, 10405, Meaning.RATE_LIMITED),
        (500, 10001, Meaning.UNKNOWN),
        (200, 10001, Meaning.UNKNOWN),
        (502, 0, Meaning.UNKNOWN),
        (408, 0, Meaning.UNKNOWN),
        (500, 10405, Meaning.EXISTS),
        (400, 10002, Meaning.REJECTED),
        (404, 12345, Meaning.REJECTED),
        (200, 0, Meaning.REJECTED),
    ],
)
def test_failure_envelopes(status: int, code: int, expected: Meaning) -> None:
    """The code decides, then the status; a rate limit's status outranks every code."""
    assert meaning(failed(status, code)) is expected


@pytest.mark.parametrize(
    ("status", "expected", "kind"),
    [
        (200, Meaning.UNKNOWN, ApiUnknown),
        (302, Meaning.UNKNOWN, ApiUnknown),
        (404, Meaning.UNKNOWN, ApiUnknown),
        (408, Meaning.UNKNOWN, ApiUnknown),
        (502, Meaning.UNKNOWN, ApiUnknown),
        (401, Meaning.UNAUTHORIZED, ApiRefused),
        (403, Meaning.UNAUTHORIZED, ApiRefused),
        (407, Meaning.UNAUTHORIZED, ApiRefused),
        (413, Meaning.REJECTED, ApiRefused),
        (429, Meaning.RATE_LIMITED, ApiRefused),
    ],
)
@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"ok":true}', b'{"success":"yes"}', b"\xff"])
def test_answers_that_are_no_envelope(status: int, expected: Meaning, kind: type[ApiError], body: bytes) -> None:
    """Without an envelope nothing is known, except where HTTP's own status leaves no doubt."""
    error = error_of(Answer(status, {}, body))
    assert (meaning(error), type(error)) == (expected, kind)


@pytest.mark.parametrize("status", [200, 201, 400, 404, 500])
def test_success_is_what_the_envelope_says(status: int) -> None:
    """`success: true` is success under any HTTP status."""
    assert envelope(Answer(status, {}, b'{"success":true,"result":7}'))["result"] == 7


def test_a_failure_beside_a_result_is_a_failure() -> None:
    """10001 beside a filled result, which the API has been seen to send, is not taken for success."""
    body = b'{"success":false,"errors":[{"code":10001,"message":"x"}],"result":{"id":"i","status":"complete"}}'
    assert meaning(error_of(Answer(200, {}, body))) is Meaning.UNKNOWN


def test_what_an_error_carries() -> None:
    """Status, code, text and the time to wait are on the error."""
    error = failed(429, 971, "slow down", {"retry-after": "300"})
    assert isinstance(error, ApiRefused)
    assert (error.status, error.code, error.message, error.retry_after_seconds) == (429, 971, "slow down", 300.0)


@pytest.mark.parametrize(
    ("value", "expected"),
    [("0", 0.0), (" 12 ", 12.0), ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("-1", None), ("9e9", None)],
)
def test_retry_after(value: str, expected: float | None) -> None:
    """Whole seconds are understood; anything else is as if it was absent."""
    error = failed(429, 971, headers={"retry-after": value})
    assert isinstance(error, ApiRefused)
    assert error.retry_after_seconds == expected


@pytest.mark.parametrize("errors", [None, [], "x", [1], [{"code": "a"}], [{}], [{"message": None}]])
def test_envelopes_without_a_proper_error(errors: object) -> None:
    """A failure whose errors cannot be read is still the refusal that its status says."""
    error = error_of(Answer(400, {}, orjson.dumps({"success": False, "errors": errors})))
    assert meaning(error) is Meaning.REJECTED


@given(st.binary(max_size=200), st.integers(100, 599))
def test_no_answer_breaks_the_reader(body: bytes, status: int) -> None:
    """Bytes that are no envelope are an ApiError with a meaning, whatever they are."""
    assert meaning(error_of(Answer(status, {}, body))) in Meaning


@given(st.integers(200, 599), st.sampled_from(sorted(CODES)))
def test_a_known_code_decides(status: int, code: int) -> None:
    """A known code has its meaning under every status but 429."""
    assert classify(status, code) is (Meaning.RATE_LIMITED if status == 429 else CODES[code])
