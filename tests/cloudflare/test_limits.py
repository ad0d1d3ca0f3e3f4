"""What may be sent at all."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridge.cloudflare.limits import (
    MAX_PARAMS_BYTES,
    bad_ids,
    check_body,
    check_event_type,
    check_instance_id,
    check_workflow_name,
)

GOOD = st.from_regex(r"[a-zA-Z0-9_][a-zA-Z0-9_-]{0,99}", fullmatch=True)
SPECIAL = st.sampled_from(
    ["", "batch", "terminate", "terminateAll", "cf_" + "0" * 64, "a\n", "\na", "a\nb", "-a", "a" * 101]
)


@pytest.mark.parametrize("name", ["a", "_", "0", "order-17", "a" * 100, "batches", "cf_1", "Terminate"])
def test_good_ids(name: str) -> None:
    """Letters, digits, underscores and dashes, up to 100 of them."""
    assert check_instance_id(name) is None


@pytest.mark.parametrize(
    "name", ["", "-a", "a b", "a/b", "é", "a\n", "a" * 101, "batch", "terminate", "terminateAll", "cf_" + "0" * 64]
)
def test_bad_ids(name: str) -> None:
    """Everything else, and what the API keeps for itself."""
    assert check_instance_id(name)


def test_each_name_has_its_own_length() -> None:
    """A workflow's name has at most 64 characters, an event type 100; neither knows reserved words."""
    assert [check_workflow_name("a" * 64), check_event_type("a" * 100), check_event_type("batch")] == [None] * 3
    assert check_workflow_name("a" * 65)
    assert check_event_type("a" * 101)


def test_bodies_have_a_size() -> None:
    """1 MiB is the most."""
    assert check_body(b"x" * MAX_PARAMS_BYTES) is None
    assert check_body(b"x" * (MAX_PARAMS_BYTES + 1))


@given(st.lists(st.one_of(GOOD, SPECIAL, st.text(max_size=5)), max_size=20))
@example(["a\nb", "c"])
@example(["a", "batch"])
def test_many_ids_at_once(ids: list[str]) -> None:
    """The check of many finds exactly what the check of one finds."""
    assert list(bad_ids(ids)) == [place for place, name in enumerate(ids) if check_instance_id(name)]
