"""What operators do with the dead letters of a durable outbox: send again, change, let go, bring in."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import orjson

from bridge.call import first_body
from bridge.cloudflare.limits import check_body, check_event_type, check_instance_id, check_workflow_name
from bridge.control import again
from bridge.control.again import How, Plan
from bridge.control.diary import Act, numbered
from bridge.errors import OperationRefused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from bridge.call import Call
    from bridge.control.diary import Diary
    from bridge.intake import Translation
    from bridge.message import Message
    from bridge.outbox.base import DeadLetter, StoredDeadLetter
    from bridge.outbox.store import Store

AT_ONCE = 500  # letters of one transaction, at most


class Done(NamedTuple):
    """What became of one letter."""

    number: int
    # "redriven" (its calls are in the outbox), "dead" (it is a new dead letter), "dropped" (by a rule's word),
    # "discarded", "released"; or nothing was done: "refused", "gone" (there is none of this number).
    outcome: str
    detail: str = ""  # why, for people
    calls: int = 0  # that it became


class Letters:
    """One at a time: what is decided about a letter is decided about the letter as it is."""

    def __init__(self, diary: Diary, translation: Callable[[str], Awaitable[Translation]]) -> None:
        """translation: of a source by today's configuration. Raises OperationRefused where there is none."""
        self._diary = diary
        self._translation = translation
        self._turn = asyncio.Lock()

    async def redrive(
        self, numbers: Sequence[int], who: str, how: How = How.AUTO, *, force: bool = False
    ) -> Sequence[Done]:
        """Send these again, at most AT_ONCE. force: also those that were redriven REDRIVES times.

        A letter that becomes calls, a new dead letter, or nothing by a rule's word is gone; one that is refused stays.
        """
        _check(numbers)
        async with self._turn:
            found = await self._diary.look(lambda store: [store.letters.read(number) for number in numbers])
            plans = [
                Plan(number) if stored is None else await self._plan(stored, how, force=force)
                for number, stored in zip(numbers, found, strict=True)
            ]

            def act(store: Store) -> tuple[list[Done], Act | None]:
                done = [_carry_out(store, plan) for plan in plans]
                return done, _told(who, "redrive", done, f"as {how}" + ", forced" * force)

            return await self._diary.do(act)

    async def _plan(self, stored: StoredDeadLetter, how: How, *, force: bool) -> Plan:
        refused = "" if force else again.guard(stored)
        if refused:
            return Plan(stored.number, refused=refused)
        if again.is_by_call(stored, how):
            return again.as_call(stored)
        try:
            translation = await self._translation(stored.letter.message.source)
        except OperationRefused as error:
            return Plan(stored.number, refused=str(error))
        return await again.by_rules(stored, translation, how)

    async def discard(self, numbers: Sequence[int], who: str) -> Sequence[Done]:
        """Delete these, at most AT_ONCE, and their messages with them; a lane that one blocks goes on."""

        def act(store: Store) -> tuple[list[Done], Act | None]:
            gone = [store.letters.discard(number) for number in numbers]
            done = [Done(n, "discarded" if there else "gone") for n, there in zip(numbers, gone, strict=True)]
            return done, _told(who, "discard", done)

        _check(numbers)
        async with self._turn:
            return await self._diary.do(act)

    async def release(self, number: int, who: str) -> Done:
        """The lane that this letter blocks goes on; the letter stays."""

        def act(store: Store) -> tuple[Done, Act | None]:
            if not store.letters.is_kept(number):
                return Done(number, "gone"), None
            if not store.letters.release(number):
                return Done(number, "refused", "it blocks no lane"), None
            done = Done(number, "released")
            return done, _told(who, "release", [done])

        async with self._turn:
            return await self._diary.do(act)

    async def edit(self, number: int, who: str, message: Message | None = None, call: Call | None = None) -> Done:
        """Put another message or call in the place of its own; None: it stays. Raises OperationRefused.

        A call that is changed is not made of its message again, nor the other way round.
        """
        if call is not None and (wrong := problems(call)):
            raise OperationRefused("; ".join(wrong))

        def act(store: Store) -> tuple[Done, Act | None]:
            stored = store.letters.read(number)
            if stored is None:
                return Done(number, "gone"), None
            letter = stored.letter
            changed = letter._replace(message=message or letter.message, call=call or letter.call)
            if changed == letter:
                return Done(number, "refused", "nothing is different"), None
            store.letters.replace(number, changed)
            what = [name for name in ("message", "call") if getattr(changed, name) != getattr(letter, name)]
            done = Done(number, "edited", " and ".join(what))
            return done, Act(who, "edit", numbered([number]), done.detail)

        async with self._turn:
            return await self._diary.do(act)

    async def bring_in(self, letters: Sequence[DeadLetter], who: str) -> int:
        """Keep these, which were exported, at most AT_ONCE, under numbers of their own; gives how many."""

        def act(store: Store) -> tuple[int, Act]:
            store.bring_in(letters)
            return len(letters), Act(who, "import", f"{len(letters)} dead letters")

        _check(letters)
        async with self._turn:
            return await self._diary.do(act)


def _check(items: Sequence[object]) -> None:
    if len(items) > AT_ONCE:
        raise OperationRefused(f"at most {AT_ONCE} letters at once")


def _carry_out(store: Store, plan: Plan) -> Done:
    number, calls, dead, refused, dropped = plan
    if refused:
        return Done(number, "refused", refused)
    if not store.redrive(number, calls, dead):
        return Done(number, "gone")
    if calls:
        return Done(number, "redriven", calls=len(calls))
    if dead:
        return Done(number, "dead", f"{dead[0].reason}: {dead[0].detail}")
    return Done(number, "dropped", dropped)


def _told(who: str, what: str, done: Sequence[Done], more: str = "") -> Act | None:
    """The act, of those to which something was done."""
    counts = Counter(one.outcome for one in done if one.outcome not in {"refused", "gone"})
    if not counts:
        return None
    touched = [one.number for one in done if one.outcome in counts]
    detail = ", ".join([f"{count} {outcome}" for outcome, count in counts.items()] + [more] * bool(more))
    return Act(who, what, numbered(touched), detail)


def problems(call: Call) -> list[str]:
    """What the API would refuse of a call, each with its field; empty: nothing that is known."""
    checks = {
        "workflow": check_workflow_name(call.workflow),
        "instance_id": check_instance_id(call.instance_id),
        "event_type": check_event_type(call.event_type) if call.operation == "event" else None,
        "body": check_body(call.body) or _unlike(call),
        "target": None if call.target else "is empty",
    }
    return [f"call.{name} {why}" for name, why in checks.items() if why]


def _unlike(call: Call) -> str | None:
    """What is wrong with the body of a create: it names its instance, too."""
    try:
        body = orjson.loads(first_body(call.body))
    except orjson.JSONDecodeError as error:
        return f"is not JSON: {error}"
    if call.operation != "create":
        return None
    if not isinstance(body, dict):
        return "of a create is an object with instance_id and params"
    if body.get("instance_id") != call.instance_id:
        return f"has the instance_id {body.get('instance_id')!r}, and the call {call.instance_id!r}: make them the same"
    return None
