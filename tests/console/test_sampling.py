from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.console.notices import State, notices, paused, span
from bridge.console.sampling import KEPT, RATE_SAMPLES, History, Sample, drain_seconds
from bridge.console.shapes import Backlog, Budget, Paused, Point, Rates, Switched
from bridge.console.sources import full
from bridge.dispatch.pauses import Held
from bridge.outbox.base import Depth
from bridge.outbox.settings import MemorySettings, SqliteSettings

IDLE = Backlog("sqlite", 0, 0, 0, 0, None, None, 0.0, 0)


def sample(second: int, received: int = 0, matched: int = 0, waiting: int = 0) -> Sample:
    return Sample(second * 1000, {"orders": received}, {"rule": matched}, received, 0, 0, waiting, 0.0)


def history(*samples: Sample) -> History:
    made = History()
    for each in samples:
        made.add(each)
    return made


def test_before_the_second_sample_there_is_no_rate() -> None:
    """And no point of a line."""
    young = history(sample(0, received=7))
    assert (young.rates(), young.points(), young.point()) == (Rates(0, 0, 0, 0), [], None)


def test_a_rate_is_that_of_the_last_samples() -> None:
    """What was longer ago does not count: here ten a second, then fifty."""
    slow = [sample(n, received=10 * n) for n in range(20)]
    fast = [sample(19 + n, received=190 + 50 * n) for n in range(1, RATE_SAMPLES + 1)]
    known = history(*slow, *fast)
    assert known.rates().received == 50
    assert known.of_sources() == {"orders": 50}
    assert [point.received for point in known.points()] == [10] * 19 + [50] * RATE_SAMPLES


def test_history_is_bounded() -> None:
    """By the number of points that are drawn."""
    assert len(history(*(sample(n) for n in range(KEPT + 50))).points()) == KEPT


def test_the_last_match_is_when_the_count_rose_last() -> None:
    """None where it never did."""
    known = history(sample(1), sample(2, matched=3), sample(3, matched=3))
    assert (known.last_match_ms("rule"), known.last_match_ms("other")) == (2000, None)


@pytest.mark.parametrize(
    ("waiting", "line", "expected"),
    [(0, [5, 5], 0.0), (60, [100, 80, 60], 6.0), (60, [50, 60], None), (60, [60, 60], None), (60, [60], None)],
)
def test_the_time_to_drain_is_by_how_fast_it_shrinks(waiting: int, line: list[int], expected: float | None) -> None:
    """Unknown where it does not: a promise without end would be worse than none."""
    points = [Point(n * 2000, 0, 0, 0, many, 0) for n, many in enumerate(line)]
    assert (
        drain_seconds(waiting, [*points]) == pytest.approx(expected)
        if expected
        else expected == drain_seconds(waiting, points)
    )


def test_nothing_is_said_while_all_is_well() -> None:
    """The page is calm then."""
    budget = Budget("main", "counted", 1200, 1000, 120, 100.0)
    assert notices(State([], [], [], IDLE, [budget], [])) == []


def test_the_most_urgent_notice_comes_first_and_each_says_what_to_do() -> None:
    """A used up quota, dead letters, a refused configuration, and a refused token."""
    budget = Budget("main", "counted", 1200, 121, 120, 100.0)
    dead = IDLE.__class__("sqlite", 0, 0, 0, 2, None, None, 0.0, 7)
    pause = Paused("main", "", "unauthorized", "The token is refused.", "Renew it.")
    switched = Switched("rule", "order-created", "under repair", "ann", 5)
    found = notices(State([], [pause], [switched], dead, [budget], ["bridge.yaml:3: wrong"], draining=True))
    assert [notice.severity for notice in found] == ["critical"] * 2 + ["warning"] * 4 + ["info"]
    assert found[0].title == "Calls to main are paused"
    assert all(notice.advice and notice.detail for notice in found)


def test_a_pause_says_since_when_and_what_the_api_said() -> None:
    """To the minute: what is said stays the same from second to second, so nobody's place on the page is lost."""
    held = Held("rejected", "body is wrong (code 10002, HTTP 400)", 59.9)
    at_ms = 1_800_000_000_000  # 08:00 UTC
    pause = paused("main", "strict", "", held, at_ms)
    assert pause == paused("main", "strict", "", held._replace(seconds=50.0), at_ms)
    (notice,) = notices(State([], [pause], [], IDLE, [], []))
    assert notice.detail.endswith("(rejected, since 07:59 UTC) It said: body is wrong (code 10002, HTTP 400).")
    assert notice.page == "dead-letters"


def test_dead_letters_are_told_by_their_most_frequent_kinds() -> None:
    """Three of them; the rest is a number."""
    backlog = replace(IDLE, dead_letters=1234)
    died = {("a", "rejected"): 1200, ("", "undecodable"): 30, ("b", "expired"): 3, ("c", "expired"): 1}
    (notice,) = notices(State([], [], [], backlog, [], [], died=died))
    assert notice.detail == (
        "1,234 kept, with their messages. Since the start: 1,200 rejected of rule a, 30 undecodable,"
        " 3 expired of rule b, and 1 more of these."
    )


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.4, "0 seconds"), (119, "119 seconds"), (300, "5 minutes"), (90_000, "25 hours"), (1e6, "12 days")],
)
def test_a_span_is_said_in_the_largest_unit_that_fits_twice(seconds: float, said: str) -> None:
    """So that it has two digits at most, or nearly so."""
    assert span(seconds) == said


@pytest.mark.parametrize(
    ("depth", "settings", "says"),
    [
        (Depth(300, 100, 0, 1), SqliteSettings(max_entries=400), "400 of 400 calls wait (outbox.max_entries)."),
        (Depth(1, 0, 9, 1, dead_bytes=100), SqliteSettings(), "Dead letters have used up dead_letters.max_bytes, 100"),
        (Depth(5, 0, 9, 1, dead_bytes=99), SqliteSettings(), "its file is as large as outbox.max_bytes allows"),
        (Depth(9, 0, 0, 1), MemorySettings(type="memory", max_entries=9), "9 of 9 calls wait"),
        (Depth(8, 0, 0, 1), MemorySettings(max_entries=9, max_bytes=77_000), "outbox.max_bytes (77,000 bytes)"),
    ],
)
def test_a_full_outbox_says_which_bound_is_reached(
    depth: Depth, settings: SqliteSettings | MemorySettings, says: str
) -> None:
    """The one that a person would raise, or what would have to go."""
    assert says in full(depth, settings, 100)
