"""Dead letters worked by an operator: sent again, changed, let go, brought in; and what is noted of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bridge.call import Policy
from bridge.control.again import REDRIVES, How
from bridge.control.bulk import portions
from bridge.control.letters import AT_ONCE
from bridge.errors import OperationRefused
from bridge.outbox.base import DeadLetter, Settlement, Verdict
from bridge.outbox.overview import DeadLetterFilter, Kind
from tests.outbox.subjects import START_MS, call, message

if TYPE_CHECKING:
    from tests.control.desk import Desk

CREATED = b'{"t":"c","id":7}'


def letter(number: int, reason: str = "rejected", **changes: Any) -> DeadLetter:
    body = changes.pop("body", CREATED)
    whole = DeadLetter(message(number, body), reason, "no", "order-created", call("o-7"), 3, START_MS + number)
    return whole._replace(**changes)


async def test_a_letter_goes_again_as_the_call_it_was(desk: Desk) -> None:
    """The same body and lane; attempts as new, and how often it was redriven goes with it. The letter is gone."""
    await desk.bury(letter(1))
    (done,) = await desk.operator.letters.redrive([1], "ann")
    assert (done.outcome, done.calls) == ("redriven", 1)
    (entry,) = await desk.entries()
    assert (entry.instance_id, entry.body, entry.attempts) == ("o-7", call("o-7").body, 0)
    assert Policy.decode(entry.policy).redriven == 1
    assert (desk.numbers(), desk.outbox.depth().dead, desk.outbox.depth().dead_bytes) == ([], 0, 0)


async def test_what_dies_again_knows_how_often(desk: Desk) -> None:
    """Three times it may; then it is refused, unless somebody insists."""
    await desk.bury(letter(1))
    settled: set[int] = set()
    for number in range(1, REDRIVES + 1):
        (done,) = await desk.operator.letters.redrive([number], "ann")
        assert done.outcome == "redriven"
        (entry,) = [entry for entry in await desk.entries() if entry.seq not in settled]
        settled.add(entry.seq)
        await desk.outbox.settle([Settlement(entry, Verdict.DEAD, "rejected", "no", settled_ms=START_MS)])
        assert desk.admin.dead_letters()[0].letter.redriven == number
    last = REDRIVES + 1
    (done,) = await desk.operator.letters.redrive([last], "ann")
    assert (done.outcome, desk.numbers()) == ("refused", [last])
    assert "redriven 3 times" in done.detail
    (done,) = await desk.operator.letters.redrive([last], "ann", force=True)
    assert (done.outcome, desk.numbers()) == ("redriven", [])


async def test_a_message_goes_again_by_the_rule_that_its_letter_is_of(desk: Desk) -> None:
    """Not by the others, which have acted on it already; by all of them where that is asked for."""
    await desk.bury(letter(1), letter(2))
    assert [d.outcome for d in await desk.operator.letters.redrive([1], "ann", How.MESSAGE)] == ["redriven"]
    assert [entry.workflow for entry in await desk.entries()] == ["fulfil-order"]
    (done,) = await desk.operator.letters.redrive([2], "ann", How.ALL_RULES)
    assert (done.outcome, done.calls) == ("redriven", 2)
    entries = await desk.entries()
    assert sorted(entry.instance_id for entry in entries) == ["a-7", "o-7", "o-7"]
    assert {Policy.decode(entry.policy).config for entry in entries} == {"today"}


async def test_a_message_that_no_rule_made_a_call_of_goes_by_all_rules(desk: Desk) -> None:
    """It was undecodable; its body was changed, and now it is an order."""
    await desk.bury(letter(1, "undecodable", body=b"{", call=None, rule=""))
    (done,) = await desk.operator.letters.redrive([1], "ann")
    assert (done.outcome, done.detail[:12]) == ("dead", "undecodable:")
    (again,) = desk.admin.dead_letters()
    assert (again.number, again.letter.redriven, again.letter.config) == (2, 1, "today")
    await desk.operator.letters.edit(2, "ann", message(1, CREATED))
    (done,) = await desk.operator.letters.redrive([2], "ann")
    assert (done.outcome, done.calls, desk.numbers()) == ("redriven", 2, [])


async def test_a_message_of_which_only_the_head_was_kept_does_not_go_again(desk: Desk) -> None:
    """Half a message is not what was sent; the whole one, put in its place, goes."""
    cut = message(1, CREATED[:-3])._replace(attributes={"body_bytes": len(CREATED)})
    await desk.bury(letter(1, "too_large", call=None, rule="")._replace(message=cut))
    (done,) = await desk.operator.letters.redrive([1], "ann")
    assert (done.outcome, desk.numbers()) == ("refused", [1])
    assert "only the head was kept" in done.detail
    await desk.operator.letters.edit(1, "ann", message(1, CREATED))
    (done,) = await desk.operator.letters.redrive([1], "ann")
    assert (done.outcome, done.calls, desk.numbers()) == ("redriven", 2, [])


@pytest.mark.parametrize(
    ("body", "how", "outcome", "detail"),
    [
        (b'{"t":"test"}', How.ALL_RULES, "dropped", "test message"),
        (b'{"t":"test"}', How.MESSAGE, "refused", "the rule order-created makes nothing"),
        (b'{"t":"?"}', How.ALL_RULES, "refused", "no rule matches"),
        (b'{"t":"c"}', How.MESSAGE, "dead", "render_error"),
    ],
)
async def test_a_message_of_which_nothing_comes(desk: Desk, body: bytes, how: How, outcome: str, detail: str) -> None:
    """It is gone only where a rule says so, or as a new dead letter; else it stays."""
    await desk.bury(letter(1, body=body))
    (done,) = await desk.operator.letters.redrive([1], "ann", how)
    assert (done.outcome, done.detail[: len(detail)]) == (outcome, detail)
    assert desk.numbers() == {"dropped": [], "refused": [1], "dead": [2]}[outcome]
    assert not await desk.entries()


async def test_what_cannot_be_redriven_stays(desk: Desk) -> None:
    """No call, a source that is not read any more, no such number: each says so, the others go."""
    await desk.bury(letter(1, call=None), letter(2)._replace(message=message(2, source="old"), call=None), letter(3))
    done = await desk.operator.letters.redrive([1, 3, 9], "ann", How.CALL)
    assert [(one.number, one.outcome) for one in done] == [(1, "refused"), (3, "redriven"), (9, "gone")]
    (done_2,) = await desk.operator.letters.redrive([2], "ann")
    assert (done_2.outcome, done_2.detail) == ("refused", "its source old is not read")
    assert desk.numbers() == [1, 2]


async def test_an_edited_call_is_checked(desk: Desk) -> None:
    """What the API would refuse for certain is refused here; what is right is what goes."""
    await desk.bury(letter(1))
    right = call("o-8", body=b'{"instance_id":"o-8","params":{"n":1}}')
    for wrong, what in {
        right._replace(instance_id="o 8"): "call.instance_id must be letters",
        right._replace(workflow=""): "call.workflow is empty",
        right._replace(body=b"{"): "call.body is not JSON",
        right._replace(body=b'{"instance_id":"o-7"}'): "call.body has the instance_id 'o-7', and the call 'o-8'",
        right._replace(body=b'{"id":"%s"}' % (b"x" * (1 << 20))): "call.body is 10485.. bytes long",
    }.items():
        with pytest.raises(OperationRefused, match=what):
            await desk.operator.letters.edit(1, "ann", call=wrong)
    assert (await desk.operator.letters.edit(1, "ann", call=right)).detail == "call"
    assert (await desk.operator.letters.edit(1, "ann", call=right)).outcome == "refused"
    assert (await desk.operator.letters.edit(5, "ann", call=right)).outcome == "gone"
    await desk.operator.letters.redrive([1], "ann")
    (entry,) = await desk.entries()
    assert (entry.instance_id, entry.body) == ("o-8", right.body)


async def test_bytes_of_dead_letters_are_counted(desk: Desk) -> None:
    """As they come, change and go, and the same after a restart."""
    await desk.bury(letter(1), letter(2, body=b"x" * 1000))
    before = desk.outbox.depth().dead_bytes
    assert before > 1000
    await desk.operator.letters.edit(1, "ann", message(1, CREATED + b" " * 500))
    grown = desk.outbox.depth().dead_bytes
    assert grown == before + 500
    await desk.operator.letters.discard([2, 7], "ann")
    left = desk.outbox.depth().dead_bytes
    await desk.outbox.close()
    await desk.outbox.open()
    assert (desk.outbox.depth().dead_bytes, desk.outbox.depth().dead) == (left, 1)
    await desk.operator.letters.discard([1], "ann")
    assert (desk.outbox.depth().dead_bytes, desk.outbox.depth().dead) == (0, 0)


async def test_imported_letters_are_kept_as_they_are(desk: Desk) -> None:
    """Under numbers of their own."""
    letters = [letter(1), letter(2, redriven=2)]
    assert await desk.operator.letters.bring_in(letters, "ann") == 2
    assert [stored.letter for stored in desk.admin.dead_letters()] == letters
    with pytest.raises(OperationRefused, match="at most 500"):
        await desk.operator.letters.bring_in([letter(1)] * (AT_ONCE + 1), "ann")


async def test_every_deed_is_noted(desk: Desk) -> None:
    """Who, what, to which letters, when; what came to nothing is not. The last one first, page by page."""
    await desk.bury(letter(1), letter(2), letter(3, call=None))
    desk.clock.now_ms += 5
    await desk.operator.letters.redrive([1, 2, 9], "ann@host")
    await desk.operator.letters.discard([9], "ann@host")
    await desk.operator.letters.discard([3], "ben@host")
    deeds = desk.admin.audit()
    assert [deed[1:] for deed in deeds] == [
        (START_MS + 5, "ben@host", "discard", "dead letter 3", "1 discarded"),
        (START_MS + 5, "ann@host", "redrive", "dead letters 1, 2", "2 redriven, as auto"),
    ]
    assert desk.admin.audit(before=deeds[0].number, limit=1) == deeds[1:]


async def test_letters_are_found(desk: Desk) -> None:
    """By rule, reason, source, time, and by what is in them; the last ones first, too."""
    await desk.bury(
        letter(1, "undecodable", rule="", call=None, body=b"\xff\x00 Needle"),
        letter(2, detail="The NEEDLE in words"),
        letter(3)._replace(message=message(3, headers=[("trace", "needle")], source="payments")),
        letter(4, "expired", call=call("needle-1")),
    )
    assert found(desk, rule="") == [1]
    assert found(desk, reason="expired") == [4]
    assert found(desk, source="payments") == [3]
    assert found(desk, since_ms=START_MS + 2, until_ms=START_MS + 4) == [2, 3]
    assert found(desk, text="Needle") == [1, 2, 4]
    assert found(desk, text="needle") == [2, 3, 4]
    assert found(desk, text="needle", rule="order-created", source="orders") == [2, 4]
    assert [stored.number for stored in desk.admin.newest_dead_letters(limit=2)] == [4, 3]
    assert [stored.number for stored in desk.admin.newest_dead_letters(before=3)] == [2, 1]
    assert desk.admin.dead_letter_kinds(DeadLetterFilter(source="orders")) == [
        Kind("", "undecodable", "orders", 1),
        Kind("order-created", "expired", "orders", 1),
        Kind("order-created", "rejected", "orders", 1),
    ]


def found(desk: Desk, **chosen: Any) -> list[int]:
    numbers = desk.admin.dead_letter_numbers(chosen=DeadLetterFilter(**chosen))
    assert [stored.number for stored in desk.admin.dead_letters(chosen=DeadLetterFilter(**chosen))] == numbers
    return numbers


@pytest.mark.parametrize(
    ("per_second", "sizes", "last_seconds"), [(0, [500, 500, 200], 0), (50, [10] * 120, 23.8), (0.5, [1] * 1200, 2398)]
)
def test_many_letters_go_in_portions(per_second: float, sizes: list[int], last_seconds: float) -> None:
    """Each is at most a fifth of a second's share, and never sooner than its share of time."""
    made = list(portions(range(1200), per_second))
    assert [len(portion.numbers) for portion in made] == sizes
    assert [number for portion in made for number in portion.numbers] == list(range(1200))
    assert made[-1].after_seconds == pytest.approx(last_seconds)
