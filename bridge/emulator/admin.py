"""What the emulator answers beside the API's own paths: journal, summary, tokens, faults, clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from bridge.emulator.answers import Problem, Refusal, Refused, Reply
from bridge.emulator.faults import Fault
from bridge.emulator.tokens import TokenChange

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bridge.emulator.account import Account
    from bridge.emulator.asked import Asked
    from bridge.emulator.journal import Journal
    from bridge.emulator.striking import Faults
    from bridge.emulator.tokens import Tokens

    Query = Mapping[str, str]

OWN_PATH = "/emulator/"
MAX_PAGE = 10_000  # records of the journal in one answer
_Read = TypeVar("_Read")


class Advance(BaseModel):
    """How far the clock is to jump."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seconds: float = Field(ge=0, le=10 * 366 * 86_400)


class Admin:
    """The paths below ``/emulator/``, for whoever has a token, revoked or not. They cost no quota."""

    def __init__(
        self, account: Account, journal: Journal, tokens: Tokens, faults: Faults, advance: Callable[[int], None]
    ) -> None:
        """advance: makes the clock jump by some milliseconds."""
        self._account = account
        self._journal = journal
        self._tokens = tokens
        self._faults = faults
        self._advance = advance
        self._paths: Mapping[tuple[str, str], Callable[[Asked, Query], object]] = {
            ("GET", "journal"): self._page,
            ("GET", "summary"): lambda asked, _: self.summary(asked.time_ms),
            ("GET", "tokens"): lambda asked, _: self._tokens.state(asked.time_ms),
            ("POST", "tokens"): self._change_token,
            ("GET", "faults"): lambda *_: {"faults": self._faults.state()},
            ("POST", "faults"): self._add_faults,
            ("DELETE", "faults"): self._remove_faults,
            ("POST", "clock"): self._jump,
        }

    def reply(self, asked: Asked, query: Query) -> Reply:
        """The answer. Raises Refused."""
        name, _, rest = asked.path.removeprefix(OWN_PATH).partition("/")
        answer = self._paths.get((asked.method, name))
        if answer is None or (rest and name != "faults"):
            raise Refused(Refusal.ROUTE)
        return Reply(200, orjson.dumps(answer(asked, query)))

    def summary(self, now_ms: int) -> dict[str, Any]:
        """The journal's counts, how many instances there are by status, and what the tokens have left."""
        summary = self._journal.summary()
        for name, workflow in self._account.workflows.items():
            workflow.move(now_ms)
            counts = summary["workflows"].setdefault(name, {})
            counts["instances"] = len(workflow.instances)
            counts["statuses"] = workflow.statuses(now_ms)
        return summary | {"tokens": self._tokens.state(now_ms), "time_ms": now_ms}

    def _page(self, _: Asked, query: Query) -> object:
        after, limit = query.get("after", "0"), query.get("limit", "1000")
        if not after.isdigit() or not limit.isdigit():
            raise Refused(Refusal.BODY)
        records = self._journal.page(int(after), min(int(limit), MAX_PAGE))
        return {"records": records, "after": records[-1]["number"] if records else int(after)}

    def _change_token(self, asked: Asked, _: Query) -> object:
        self._tokens.change(_read(TokenChange.model_validate_json, asked.body))
        return self._tokens.state(asked.time_ms)

    def _add_faults(self, asked: Asked, _: Query) -> object:
        """One, or a list of them: all or none."""
        several = asked.body.lstrip().startswith(b"[")
        body = asked.body if several else b"[%b]" % asked.body
        faults = _read(TypeAdapter(list[Fault]).validate_json, body)
        return {"names": [self._faults.add(fault, asked.time_ms) for fault in faults]}

    def _remove_faults(self, asked: Asked, _: Query) -> object:
        """The one in the path, or all."""
        name = asked.path.removeprefix(OWN_PATH).partition("/")[2]
        try:
            self._faults.remove(name or None)
        except KeyError:
            raise Refused(Problem(404, 0, f"there is no fault {name}")) from None
        return {"faults": self._faults.state()}

    def _jump(self, asked: Asked, _: Query) -> object:
        milliseconds = int(_read(Advance.model_validate_json, asked.body).seconds * 1000)
        self._advance(milliseconds)
        return {"time_ms": asked.time_ms + milliseconds}


def _read(validate: Callable[[bytes], _Read], body: bytes) -> _Read:
    """A body of these paths. Raises Refused with what is wrong, and where; a token is not shown."""
    try:
        return validate(body)
    except ValidationError as error:
        problems = ((".".join(map(str, one["loc"])), one["msg"]) for one in error.errors(include_input=False))
        text = "; ".join(f"{place}: {message}" for place, message in problems)
        raise Refused(Problem(400, Refusal.BODY.value.code, text)) from None
