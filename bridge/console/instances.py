"""The six endpoints for people: through the bridge's own client, so that its budget counts them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from bridge.admin.refusal import Refusal
from bridge.cloudflare.limits import MAX_BATCH, check_event_type, check_instance_id, check_workflow_name
from bridge.cloudflare.responses import Meaning, meaning
from bridge.console.instance_shapes import Changed, Instance, Instances, WholeInstance
from bridge.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence

    from bridge.cloudflare.client import Client
    from bridge.console.running import Running
    from bridge.dispatch.gate import Line

T = TypeVar("T")
REQUEST_SECONDS = 20.0  # for room in the budget and the answer; who would wait longer is told so instead
STATUSES = ("pause", "resume", "terminate", "restart")

# What an error of the API means to who asked by hand: HTTP status, and what to do.
TOLD = {
    Meaning.EXISTS: (409, "Take another id, or look at the instance that has this one."),
    Meaning.INSTANCE_MISSING: (404, "Check the id and the workflow; an instance is forgotten after its retention."),
    Meaning.WORKFLOW_MISSING: (404, "Check the name; the workflow may not be deployed to this account."),
    Meaning.CANNOT_TERMINATE: (409, "It has ended already; look at its status."),
    Meaning.UNAUTHORIZED: (502, "The target's token is refused: put a valid one into its api_token_file."),
    Meaning.RATE_LIMITED: (429, "The API takes no more requests on this token for now; wait for the reset."),
    Meaning.UNKNOWN: (502, "It may have been done all the same: look at the instance before you try again."),
    Meaning.REJECTED: (422, "The API does not take this; its words say why."),
}


class InstancesOf:
    """The instances of one target's workflow. In the main event loop."""

    def __init__(self, running: Running, target: str, workflow: str) -> None:
        """Raises Refusal for a target that the configuration does not have, and a name that no workflow has."""
        line = running.live.lines.get(target)
        if line is None or target not in running.config.targets:
            known = ", ".join(running.config.targets) or "none"
            raise Refusal(404, "unknown_target", f"There is no target {target!r}.", f"There are: {known}.")
        _check("workflow", check_workflow_name(workflow))
        self._line: Line = line
        self._workflow = workflow

    async def page(self, query: Mapping[str, str]) -> Instances:
        """A page of the list: ``status``, ``cursor``, ``per_page``, ``date_start``, ``date_end``."""
        narrowed: dict[str, Any] = {name: query.get(name) or None for name in ("status", "cursor", "date_start")}
        narrowed |= {"date_end": query.get("date_end") or None, "per_page": _count(query.get("per_page", "25"))}
        page = await self._asked(lambda: self._client.list_instances(self._workflow, **narrowed))
        rows = [Instance(i.id, i.status, i.created_on, i.started_on, i.ended_on) for i in page.instances]
        return Instances(rows, page.cursor, page.total_count)

    async def one(self, instance_id: str) -> WholeInstance:
        """One, with its steps."""
        _check("instance id", check_instance_id(instance_id))
        found = await self._asked(lambda: self._client.get_instance(self._workflow, instance_id))
        return WholeInstance(found.id, found.status, dict(found.raw))

    async def create(self, instances: Sequence[Mapping[str, Any]]) -> Changed:
        """One by the single endpoint, more by the batch one."""
        for each in instances:
            _check("instance id", check_instance_id(str(each.get("instance_id", ""))))
        bodies = [orjson.dumps(each) for each in instances]
        if len(bodies) == 1:
            made = await self._asked(lambda: self._client.create(self._workflow, bodies[0]))
            return Changed(made.status, [made.id])
        ids = await self._asked(lambda: self._client.create_batch(self._workflow, bodies))
        return Changed("queued", sorted(ids))

    async def change(self, instance_id: str, status: str) -> Changed:
        """Pause, resume, terminate or restart."""
        _check("instance id", check_instance_id(instance_id))
        body = orjson.dumps({"status": status})
        changed = await self._asked(lambda: self._client.change_status(self._workflow, instance_id, body))
        return Changed(changed.status, [instance_id])

    async def send(self, instance_id: str, event_type: str, payload: object) -> Changed:
        """An event."""
        _check("instance id", check_instance_id(instance_id))
        _check("event type", check_event_type(event_type))
        await self._asked(
            lambda: self._client.send_event(self._workflow, instance_id, event_type, orjson.dumps(payload))
        )
        return Changed("sent", [instance_id])

    @property
    def _client(self) -> Client:
        return self._line.sender.client

    async def _asked(self, request: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The answer. Raises Refusal, also where the budget has no room: nobody waits for minutes at a page."""
        allowance = self._line.allowance
        if allowance is not None and allowance.is_blocked:
            raise _used_up(allowance.request_seconds(), "blocked")
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                return await request()
        except TimeoutError:
            raise _used_up(0.0 if allowance is None else allowance.request_seconds()) from None
        except ApiError as error:
            raise self._told(error) from None

    def _told(self, error: ApiError) -> Refusal:
        kind = meaning(error)
        if kind is Meaning.UNAUTHORIZED:
            self._client.reread_token()  # it may have been rotated: the next try has the new one
        status, advice = TOLD[kind]
        return Refusal(status, f"api_{kind.value}", f"The API says: {error}", advice)


def _used_up(seconds: float, code: str = "no_answer") -> Refusal:
    """code: "blocked" where nothing was sent; else nobody knows."""
    wait = f" The next request may go in {seconds:.0f} s." if 0 < seconds < 3600 else ""  # noqa: PLR2004  an hour
    problem = f"The token's quota has no room, or the API does not answer.{wait}"
    return Refusal(503, code, problem, "Look at the budget on the overview, and try again after its reset.")


def _check(what: str, why: str | None) -> None:
    if why is not None:
        raise Refusal(422, "bad_name", f"The {what} {why}.", "Correct it; nothing was sent.")


def _count(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= MAX_BATCH:
        raise Refusal(422, "bad_query", f"per_page is {text!r}.", f"Give a number from 1 to {MAX_BATCH}.")
    return int(text)
