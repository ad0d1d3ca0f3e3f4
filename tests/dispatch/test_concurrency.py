from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bridge.dispatch.concurrency import Concurrency


def test_trouble_halves_and_success_raises_slowly() -> None:
    """One troubled request halves the limit; as many good ones as it allows at once raise it by about one."""
    flow = Concurrency(16)
    flow.ended(flow.begin(), troubled=True)
    assert flow.limit == 8
    for _ in range(9):
        flow.ended(flow.begin(), troubled=False)
    assert flow.limit == 9


def test_one_trouble_halves_once() -> None:
    """Requests that were in flight together and all failed tell of one trouble, not of many."""
    flow = Concurrency(64)
    numbers = [flow.begin() for _ in range(64)]
    for number in numbers:
        flow.ended(number, troubled=True)
    assert flow.limit == 32
    flow.ended(flow.begin(), troubled=True)
    assert flow.limit == 16


@given(st.integers(1, 100), st.lists(st.booleans(), max_size=300))
def test_it_stays_within_bounds_and_recovers(most: int, troubles: list[bool]) -> None:
    """Never below one, never above what is allowed, and after any trouble enough successes bring it back."""
    flow = Concurrency(most)
    for troubled in troubles:
        flow.ended(flow.begin(), troubled=troubled)
        assert 1 <= flow.limit <= most
    for _ in range(most * (most + 1)):
        flow.ended(flow.begin(), troubled=False)
    assert flow.limit == most
