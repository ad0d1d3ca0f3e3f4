"""The decisions about offsets, without a broker."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.message import Position, Stored
from bridge.sources.kafka_offsets import Acks, Begin, Log, Part, Why, begin

OFFSETS = st.integers(min_value=0, max_value=50)


def stored(last: int | None, committed: int | None, timestamp_ms: int = 7) -> Stored:
    return Stored(None if last is None else Position(last, timestamp_ms), committed)


@pytest.mark.parametrize(
    ("known", "committed", "expected"),
    [
        (stored(None, None), 5, Begin(5, Why.COMMITTED)),
        (stored(9, 10), 10, Begin(10, Why.COMMITTED)),
        (stored(9, 3), 3, Begin(10, Why.CRASH_TAIL)),
        (stored(9, 3), 7, Begin(10, Why.CRASH_TAIL)),
        (stored(9, None), 0, Begin(10, Why.CRASH_TAIL)),
        (stored(9, 10), 25, Begin(25, Why.WENT_ON)),
        (stored(9, 10), 9, Begin(9, Why.REWOUND)),
        (stored(9, 10), 0, Begin(0, Why.REWOUND)),
        (stored(None, 10), 4, Begin(4, Why.REWOUND)),
    ],
)
def test_where_to_begin_by_the_committed_offset(known: Stored, committed: int, expected: Begin) -> None:
    """The table of DESIGN's second promise, line by line."""
    assert begin(known, committed, None, 0) == expected


@pytest.mark.parametrize(
    ("known", "log", "expected"),
    [
        (stored(None, None), Log(2, 8, None), Begin(2, Why.FIRST)),
        (stored(None, 6), Log(2, 8, None), Begin(2, Why.FIRST)),
        (stored(5, 6), Log(2, 8, 7), Begin(6, Why.EXPIRED)),
        (stored(7, 8), Log(2, 8, 7), Begin(8, Why.EXPIRED)),
        (stored(1, 2), Log(4, 8, None), Begin(4, Why.EXPIRED)),
        (stored(5, 6), Log(2, 8, 6), Begin(2, Why.ANEW)),
        (stored(5, 6), Log(2, 8, None), Begin(2, Why.ANEW)),
        (stored(8, 9), Log(2, 8, None), Begin(2, Why.ANEW)),
    ],
)
def test_where_to_begin_without_a_committed_offset(known: Stored, log: Log, expected: Begin) -> None:
    """The record at the last stored offset tells whether this is still the log that we know."""
    assert begin(known, None, log, log.start) == expected


def test_an_unread_partition_begins_at_the_end_only_if_nobody_was_told_otherwise() -> None:
    """With `start_from: latest`, a next offset that we were told of before the broker forgot it is not passed over."""
    assert begin(stored(None, None), None, Log(0, 8, None), 8) == Begin(8, Why.FIRST)
    assert begin(stored(None, 6), None, Log(0, 8, None), 8) == Begin(6, Why.FIRST)


@given(last=st.none() | OFFSETS, known=st.none() | OFFSETS, committed=OFFSETS)
def test_nothing_that_is_neither_stored_nor_committed_is_passed_over(
    last: int | None, known: int | None, committed: int
) -> None:
    """Reading never begins after an offset that nobody vouches for; it goes back only where somebody rewound."""
    found = begin(stored(last, known), committed, None, 0)
    assert found.offset <= max(committed, -1 if last is None else last + 1)
    assert found.offset >= committed
    assert found.resets == (known is not None and committed < known)
    if found.resets:
        assert found.offset == committed


@given(
    last=OFFSETS,
    known=st.none() | OFFSETS,
    edges=st.tuples(OFFSETS, OFFSETS),
    same=st.booleans(),
    latest=st.booleans(),
)
def test_without_a_commit_the_log_decides(
    last: int, known: int | None, edges: tuple[int, int], *, same: bool, latest: bool
) -> None:
    """A log that is still ours goes on after what is stored; any other begins by `start_from`, and is reset."""
    start, end = sorted(edges)
    timestamp = (7 if same else 8) if start <= last < end else None
    first = end if latest else start
    found = begin(stored(last, known), None, Log(start, end, timestamp), first)
    if last < start:
        assert found == Begin(start, Why.EXPIRED)
    elif last < end and same:
        assert found == Begin(last + 1, Why.EXPIRED)
    else:
        assert found == Begin(first, Why.ANEW)
        assert found.resets


@given(st.lists(st.integers(min_value=1, max_value=5), max_size=12), st.randoms(use_true_random=False))
def test_only_the_unbroken_prefix_is_committed(sizes: list[int], order: object) -> None:
    """In whatever order batches are acknowledged, the commit is the end of the longest acknowledged prefix."""
    acks, end = Acks(10, 10), 10
    parts: list[Part] = []
    for size in sizes:
        end += size
        parts.append(acks.give(end))
    shuffled = list(parts)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    for part in shuffled:
        part.done = True
        done = 0
        while done < len(parts) and parts[done].done:
            done += 1
        safe = parts[done - 1].end if done else None
        assert acks.due() == safe
    assert acks.next == end
    assert acks.outstanding == 0


def test_where_reading_goes_on_after_a_rebalance_everything_before_is_safe() -> None:
    """A durable outbox has stored what was on its way: it is committed at once, and a late ack changes nothing."""
    acks = Acks(0, 0)
    part = acks.give(10)
    acks.moved(10, 0)
    assert acks.due() == 10
    acks.committed = 10
    part.done = True
    assert acks.due() is None
    assert acks.outstanding == 0


def test_a_batch_that_was_withdrawn_does_not_stop_the_commits() -> None:
    """The partition goes away with a batch that nobody will acknowledge, another member goes on, it comes back."""
    acks = Acks(0, 0)
    acks.give(10)
    acks.moved(100, 100)
    assert acks.due() is None
    for end in (110, 120):
        acks.give(end).done = True
        assert acks.due() == end
    assert acks.outstanding == 0


def test_a_batch_that_will_be_given_out_again_no_longer_counts() -> None:
    """After reading went back, the acknowledgement of the first delivery commits nothing."""
    acks = Acks(0, 0)
    part = acks.give(10)
    acks.moved(0, 0)
    part.done = True
    assert acks.due() is None
    assert acks.next == 0


def test_the_commit_never_goes_back_behind_another_member() -> None:
    """Where another member went on, an old acknowledgement does not pull the group back."""
    acks = Acks(0, 0)
    part = acks.give(10)
    acks.moved(30, 30)
    part.done = True
    assert acks.due() is None


def test_transaction_markers_are_passed_with_the_batch_before_them() -> None:
    """Offsets that hold no message are committed once everything before them is acknowledged."""
    acks = Acks(0, None)
    part = acks.give(10)
    acks.passed(11)
    assert acks.due() == 0
    part.done = True
    assert acks.due() == 11
    acks.committed = 11
    acks.passed(13)
    assert acks.due() == 13
