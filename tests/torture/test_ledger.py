"""The comparison can fail: each thing that must not be is found in a journal that shows it."""

from __future__ import annotations

import pytest

from bridge.emulator.journal import Record
from tests.torture.ledger import Allowed, Ledger, Sent
from tests.torture.running import grown

NOTHING = Allowed(0, 0)
ORDER, FIRST, SECOND = Sent("order", "o1"), Sent("step", "o1", 1), Sent("step", "o1", 2)


def created(name: str, *, new: bool = True) -> Record:
    status = 200 if new else 400
    made = [name] if new else []
    return Record(1, 0, "POST", "", "create", "fulfil", [name], made, status=status, worked=True)


def event(name: str, seq: int, cause: str = "m") -> Record:
    payload = {"id": name, "seq": seq, "_bridge": {"id": f"{cause}{seq}"}}
    return Record(1, 0, "POST", "", "event", "fulfil", payload=payload, status=200, worked=True)


def ledger(*records: Record, strict: bool = True, sent: tuple[Sent, ...] = (ORDER, FIRST, SECOND)) -> Ledger:
    made = Ledger(strict=strict)
    made.sent += sent
    for record in records:
        made.heard(record)
    return made


GOOD = (created("o1"), event("o1", 1), event("o1", 2))


def test_what_has_become_everything_is_no_problem() -> None:
    """Nor is what was refused, or never came to the account."""
    refused = event("o1", 2)
    refused.status = 404
    lost = event("o1", 1)
    lost.worked = False
    assert ledger(created("o1"), refused, lost, *GOOD[1:]).compare({}, {}, NOTHING).problems == []


@pytest.mark.parametrize("missing", range(3))
def test_what_is_missing_is_lost(missing: int) -> None:
    """A create as well as an event."""
    found = ledger(*[record for place, record in enumerate(GOOD) if place != missing]).compare({}, {}, NOTHING)
    assert len(found.lost) == 1
    assert found.problems[0].startswith("1 lost: ")


def test_a_step_whose_order_was_never_published_is_not_owed() -> None:
    """It waits in vain, and rightly; where it has waited long enough, it is a dead letter."""
    assert ledger(sent=(FIRST,)).compare({}, {}, NOTHING).problems == []
    assert ledger(sent=(FIRST,)).compare({}, {FIRST.key: 1}, NOTHING).problems == []


def test_an_audit_is_one_instance() -> None:
    """None is lost, two are one too many."""
    audited = ledger(created("o2"), sent=(Sent("order", "o2", audited=True),))
    assert [audited.compare({"o2": count}, {}, NOTHING).problems for count in (0, 1, 2)] == [
        ["1 lost: audit o2"],
        [],
        ["1 instances made twice: o2"],
    ]


def test_repeated_events_are_counted_against_what_is_allowed() -> None:
    """One too many is a problem, unless a broker may have had the message twice by our own doing."""
    repeated = ledger(GOOD[0], GOOD[1], GOOD[1], GOOD[2])
    assert repeated.compare({}, {}, Allowed(1, 0)).problems == []
    assert repeated.compare({}, {}, NOTHING).problems == ["1 events repeated, 0 allowed"]
    repeated.twice.add(("o1", 1))
    assert repeated.compare({}, {}, NOTHING).problems == []


def test_a_repeated_event_is_known_by_its_id() -> None:
    """One with another ``_bridge.id`` is none that a workflow could drop."""
    found = ledger(GOOD[0], GOOD[1], event("o1", 1, "x"), GOOD[2]).compare({}, {}, Allowed(1, 0))
    assert found.problems == ["1 repeated events with another _bridge.id: o1/1"]


def test_repeated_creates_are_counted_against_what_is_allowed() -> None:
    """By their ids: one that is in doubt may ride along more than once."""
    repeated = ledger(*GOOD, created("o1", new=False), created("o1", new=False))
    assert repeated.compare({}, {}, Allowed(0, 1)).problems == []
    assert repeated.compare({}, {}, NOTHING).problems == ["1 creates repeated, 0 allowed"]


def test_order_is_that_of_the_messages() -> None:
    """With a durable outbox nothing goes back; with the memory outbox what a broker gives again may."""
    swapped = (GOOD[0], GOOD[2], GOOD[1])
    assert ledger(*swapped, strict=False).compare({}, {}, NOTHING).problems == ["1 out of order: o1: 1 after 2"]
    again = (*GOOD, event("o1", 1))
    assert ledger(*again, strict=False).compare({}, {}, Allowed(1, 0)).problems == []
    assert ledger(*again).compare({}, {}, Allowed(1, 0)).problems == ["1 out of order: o1: 1 again after 2"]


def test_only_bad_messages_die() -> None:
    """Those have to; any other dead letter is one too many."""
    bad = ledger(*GOOD, sent=(ORDER, FIRST, SECOND, Sent("bad", "b1")))
    assert bad.compare({}, {("b1", 0): 1}, NOTHING).problems == []
    assert bad.compare({}, {}, NOTHING).problems == ["1 lost: bad b1/0"]
    assert bad.compare({}, {("b1", 0): 1, FIRST.key: 1}, NOTHING).problems == ["1 dead without a reason: o1/1"]


def test_growth_is_that_of_long_lives() -> None:
    """The last quarter against the first one, by their medians; short lives and single ones do not count."""
    steady = [(10.0, 90, 40)] * 12
    assert grown(steady) == []
    assert grown([*steady[:9], *[(10.0, 190, 40)] * 3]) == ["from 90 to 190 MiB"]
    assert grown([*steady[:9], *[(10.0, 90, 80)] * 3]) == ["from 40 to 80 descriptors"]
    assert grown([*steady[:9], *[(1.0, 190, 80)] * 3]) == []
