"""What a dead letter becomes when it is sent again: as its stored call, or its message by today's rules."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from bridge.admission import is_cut
from bridge.call import Policy
from bridge.errors import SchemasUnavailable
from bridge.outbox.base import DeadLetter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.call import Call
    from bridge.intake import Translation
    from bridge.message import Message
    from bridge.outbox.base import StoredDeadLetter

CUT = (
    "of its body, which is too large, only the head was kept: have it sent again by who sent it, or edit the letter: "
    "put the whole `body` there, and take `body_bytes` out of its attributes"
)
REDRIVES = 3  # so often a letter may be sent again and die again before somebody has to insist


class How(StrEnum):
    """What is sent again."""

    AUTO = "auto"  # the call where one was rendered, else the message
    CALL = "call"  # the call as it is stored
    MESSAGE = "message"  # the message, by today's rules; of a letter that a rule made, by that rule alone
    ALL_RULES = "all-rules"  # the message, by all of today's rules


class Plan(NamedTuple):
    """What becomes of one letter. refused: why nothing does; the letter stays then."""

    number: int
    calls: Sequence[tuple[Message, Call]] = ()
    dead: Sequence[DeadLetter] = ()
    refused: str = ""
    dropped: str = ""  # by which rule's word the message ends here, with neither calls nor dead letters


def as_call(stored: StoredDeadLetter) -> Plan:
    """The stored call once more, its attempts and its patience as new."""
    letter = stored.letter
    if letter.call is None:
        return Plan(stored.number, refused="it has no call: no rule rendered one; redrive its message")
    return Plan(stored.number, [(letter.message, _counted(letter.call, letter.redriven + 1))])


def is_by_call(stored: StoredDeadLetter, how: How) -> bool:
    """Whether the stored call is what is sent."""
    return how is How.CALL or (how is How.AUTO and stored.letter.call is not None)


def guard(stored: StoredDeadLetter) -> str:
    """Why this letter is not sent again without somebody insisting; "" where it may be."""
    times = stored.letter.redriven
    if times < REDRIVES:
        return ""
    return f"it was redriven {times} times and died each time; change what it dies of, or insist with force"


async def by_rules(stored: StoredDeadLetter, translation: Translation, how: How) -> Plan:
    """What today's rules make of the message."""
    letter, number = stored.letter, stored.number
    message = letter.message
    if is_cut(message):
        return Plan(number, refused=CUT)
    try:
        await translation.decoder.prepare([message])
    except SchemasUnavailable as error:
        return Plan(number, refused=f"its schema cannot be had now: {error}")
    [decoded], values, failed = translation.decoder.decode([message])
    now_ms, times = translation.now_ms(), letter.redriven + 1
    if failed:
        died = DeadLetter(message, "undecodable", failed[0], died_ms=now_ms, config=translation.config, redriven=times)
        return Plan(number, dead=[died])
    routed = translation.router.route(message.source, [decoded], values, now_ms)
    only = "" if how is How.ALL_RULES else letter.rule
    calls = [(message, _counted(call, times)) for _, call in routed.calls if not only or _rule(call) == only]
    dead = [
        DeadLetter(message, one.reason, one.detail, one.rule, one.call and _counted(one.call, times), died_ms=now_ms,
                   config=translation.config, redriven=times)
        for one in routed.dead if not only or one.rule == only
    ]  # fmt: skip
    if calls or dead:
        return Plan(number, calls, dead)
    if routed.dropped and not only:
        return Plan(number, dropped=", ".join(routed.dropped))
    return Plan(number, refused=_nothing(only))


def _nothing(only: str) -> str:
    if only:
        return f"the rule {only} makes nothing of its message now; redrive it by all rules, or discard it"
    return "no rule matches its message; change the rules or the message, or discard it"


def _rule(call: Call) -> str:
    return Policy.decode(call.policy).rule


def _counted(call: Call, times: int) -> Call:
    return call._replace(policy=Policy.decode(call.policy)._replace(redriven=times).encode())
