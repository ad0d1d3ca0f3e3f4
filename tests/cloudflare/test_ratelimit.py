"""The headers that tell of a token's quota."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.cloudflare.ratelimit import Reading, readings


def test_one_policy() -> None:
    """The documented form."""
    headers = {"ratelimit": '"default";r=50;t=30', "ratelimit-policy": '"default";q=1200;w=300'}
    assert readings(headers) == (Reading("default", 1200, 300.0, 50, 30.0),)


def test_several_policies() -> None:
    """A list in one header, or several headers, which arrive joined; each state finds its policy by name."""
    headers = {
        "ratelimit": '"default";r=1000;t=200, "burst";r=9;t=1',
        "ratelimit-policy": '"burst";q=10;w=60,"default";q=1200;w=300;qu="requests"',
    }
    assert readings(headers) == (Reading("default", 1200, 300.0, 1000, 200.0), Reading("burst", 10, 60.0, 9, 1.0))


def test_a_state_without_its_policy_is_of_the_documented_one() -> None:
    """1,200 requests in 300 seconds; more where more remain."""
    assert readings({"ratelimit": '"x";r=7;t=3'}) == (Reading("x", 1200, 300.0, 7, 3.0),)
    assert readings({"ratelimit": "x;r=5000;t=3"}) == (Reading("x", 5000, 300.0, 5000, 3.0),)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "50",
        '"default"',
        '"default";r=50',
        '"default";r=;t=30',
        '"default";r=-1;t=30',
        '"default";r=1e3;t=30',
        '"default";r=50;t=thirty',
        '"default;r=50;t=30',
        '"default";r=99999999999999999999;t=30',
        '"default";r=50;t=30, ;;',
        "default r=50 t=30",
        "x" * 100_000,
    ],
)
def test_what_is_malformed_is_ignored(header: str) -> None:
    """Nothing is guessed from a header that is not understood as a whole."""
    assert readings({"ratelimit": header, "ratelimit-policy": '"default";q=1200;w=300'}) == ()


@given(st.text(max_size=200), st.text(max_size=200))
def test_any_text_is_safe(state: str, policy: str) -> None:
    """No header raises, and what is read makes sense."""
    for reading in readings({"ratelimit": state, "ratelimit-policy": policy}):
        assert 0 <= reading.remaining <= reading.requests
        assert reading.window_seconds > 0
