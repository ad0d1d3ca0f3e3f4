"""The endpoints: what each takes from a request, does to the account and answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from bridge.cloudflare.limits import MAX_PARAMS_BYTES, check_event_type
from bridge.emulator.account import Filter
from bridge.emulator.answers import Refusal, Refused, Reply, success, timestamp
from bridge.emulator.bodies import creation, creations, parsed
from bridge.emulator.instance import STATUSES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bridge.emulator.account import Account, Workflow
    from bridge.emulator.journal import Record
    from bridge.emulator.timeline import Timeline

CHANGES = frozenset({"pause", "resume", "terminate", "restart"})
MAX_PER_PAGE = 100
DEFAULT_PER_PAGE = 50


class Request(NamedTuple):
    """What an endpoint works on. ``parts`` is the path behind ``…/instances``, decoded."""

    account: Account
    parts: tuple[str, ...]
    query: Mapping[str, str]
    body: bytes
    record: Record

    @property
    def now_ms(self) -> int:
        """When it came."""
        return self.record.time_ms

    def workflow(self) -> Workflow:
        """The workflow, as it is now. Raises Refused."""
        return self.account.workflow(self.record.workflow, self.now_ms)

    def admit(self, count: int) -> None:
        """The creation rates. Raises Refused as a whole, and then nothing is counted."""
        self.record.limit = "creation"
        self.account.admit(self.record.workflow, count, self.now_ms)
        self.record.limit = ""


def find(method: str, parts: tuple[str, ...]) -> Endpoint:
    """The endpoint of a path. Raises Refused where there is none."""
    shape = (method, len(parts), parts[0] == "batch" if len(parts) == 1 else False, parts[1] if len(parts) > 1 else "")
    endpoint = _ENDPOINTS.get(shape)
    if endpoint is None:
        raise Refused(Refusal.ROUTE)
    return endpoint


def list_instances(request: Request) -> Reply:
    """Newest first, unless ``direction`` says otherwise."""
    query, workflow, now_ms = request.query, request.workflow(), request.now_ms
    size, after = _number(query.get("per_page", str(DEFAULT_PER_PAGE))), query.get("cursor")
    skip = size * (_number(query.get("page", "1")) - 1)
    if not 1 <= size <= MAX_PER_PAGE or skip < 0 or (after and "page" in query):
        raise Refused(Refusal.BODY)
    only = _filter(query)
    newest_first = query.get("direction", "desc") != "asc"
    rows = workflow.listed(_number(after) if after else None, now_ms, newest_first=newest_first, only=only)
    taken = [row for place, row in zip(range(skip + size + 1), rows, strict=False) if place >= skip]
    page = taken[:size]
    info: dict[str, Any] = {"count": len(page), "per_page": size, "total_count": workflow.count(now_ms, only)}
    if len(taken) > size:
        info["cursor"] = str(page[-1].number)
    ids = {"version_id": workflow.version_id, "workflow_id": workflow.workflow_id}
    return success([row.row() | ids for row in page], info)


def get_instance(request: Request) -> Reply:
    """One instance, with its steps unless ``simple``."""
    workflow = request.workflow()
    instance = workflow.get(request.parts[0], request.now_ms)
    details = instance.details() | {"versionId": workflow.version_id}
    if request.query.get("simple") != "true":
        steps = instance.steps()
        details["steps"] = steps[::-1] if request.query.get("order") == "desc" else steps
    return success(details)


def get_step(request: Request) -> Reply:
    """The whole output of one step."""
    instance = request.workflow().get(request.parts[0], request.now_ms)
    name = request.query.get("name", "")
    try:
        output = instance.step_output(name)
    except KeyError:
        raise Refused(Refusal.BODY) from None  # no source for its code
    if output is not None:
        return success({"status": "complete", "error": None, "output": orjson.Fragment(output)})
    return success({"status": instance.status, "error": instance.error})


def create(request: Request) -> Reply:
    """One new instance; a used id is refused."""
    wanted = creation(parsed(request.body))
    request.record.offered.append(wanted.instance_id)
    workflow = request.workflow()
    request.admit(1)
    instance = workflow.create(wanted, request.now_ms)
    if instance is None:
        raise Refused(Refusal.EXISTS)
    request.record.created.append(instance.id)
    return success(workflow.created(instance))


def create_batch(request: Request) -> Reply:
    """Up to 100 new instances; used and repeated ids are left out, one bad item refuses all."""
    items = parsed(request.body)
    if isinstance(items, list):
        request.record.offered.extend(item.get("instance_id") for item in items if isinstance(item, dict))
    wanted = creations(items, len(request.body), request.account.settings.batch_bytes)
    workflow = request.workflow()
    request.admit(len(wanted))
    made = [workflow.create(one, request.now_ms) for one in wanted]
    new = [instance for instance in made if instance is not None]
    request.record.created.extend(instance.id for instance in new)
    return success([workflow.created(instance) for instance in new])


def send_event(request: Request) -> Reply:
    """One event for one instance."""
    instance_id, _, event_type = request.parts
    record, now_ms = request.record, request.now_ms
    record.offered.append(instance_id)
    record.event_type = event_type
    record.payload = parsed(request.body)
    if check_event_type(event_type) or len(request.body) > MAX_PARAMS_BYTES:
        raise Refused(Refusal.BODY)
    workflow = request.workflow()
    instance = workflow.get(instance_id, now_ms)
    if not instance.ended:
        workflow.timeline.receive(instance, event_type, request.body, now_ms)
    elif (refusal := request.account.settings.ended_event) is not None:
        raise Refused(refusal.problem)
    return success({"instanceId": instance_id, "timestamp": timestamp(now_ms)})


def change_status(request: Request) -> Reply:
    """Pause, resume, terminate or restart. Pausing or resuming what has ended changes nothing: as the open engine."""
    body = parsed(request.body)
    to = body.get("status") if isinstance(body, dict) else None
    if not isinstance(body, dict) or to not in CHANGES or ("rollback" in body and to != "terminate"):
        raise Refused(Refusal.BODY)
    request.record.offered.append(request.parts[0])
    request.record.change = to
    workflow, now_ms = request.workflow(), request.now_ms
    instance = workflow.get(request.parts[0], now_ms)
    timeline: Timeline = workflow.timeline
    if to == "restart":
        stage = _stage(body["from"], instance.steps()) if "from" in body else 0
        request.admit(1)
        timeline.restart(instance, now_ms, stage)
    elif "from" in body:
        raise Refused(Refusal.BODY)
    elif to == "terminate":
        timeline.terminate(instance, now_ms, rollback=body.get("rollback") is True)
    else:
        (timeline.pause if to == "pause" else timeline.resume)(instance, now_ms)
    return success({"status": instance.status, "timestamp": timestamp(now_ms)})


def delete(request: Request) -> Reply:
    """Forget an instance, whatever it does; its id is free at once. No source for the form of the result."""
    workflow = request.workflow()
    request.record.offered.append(request.parts[0])
    workflow.delete(workflow.get(request.parts[0], request.now_ms))
    return success({"id": request.parts[0]})


if TYPE_CHECKING:
    Endpoint = Callable[[Request], Reply]

# method, parts behind …/instances, whether the only part is "batch", the second part
_ENDPOINTS: Mapping[tuple[str, int, bool, str], Endpoint] = {
    ("GET", 0, False, ""): list_instances,
    ("POST", 0, False, ""): create,
    ("POST", 1, True, ""): create_batch,
    ("GET", 1, False, ""): get_instance,
    ("DELETE", 1, False, ""): delete,
    ("GET", 2, False, "step"): get_step,
    ("PATCH", 2, False, "status"): change_status,
    ("POST", 3, False, "events"): send_event,
}
OPERATIONS: Mapping[Endpoint, str] = {
    list_instances: "list",
    create: "create",
    create_batch: "batch",
    get_instance: "get",
    delete: "delete",
    get_step: "step",
    change_status: "status",
    send_event: "event",
}


def _stage(step: object, steps: list[dict[str, Any]]) -> int:
    """The wait that a restart begins from. One that the instance does not have is an error; no source for its code.

    Events that were consumed before it stay consumed. Of what is no wait there is only one, at the beginning.
    """
    if not isinstance(step, dict) or not isinstance(step.get("name"), str):
        raise Refused(Refusal.BODY)
    names = [one.get("name") for one in steps]
    name = f"{step['name']}-{step.get('count', 1)}"
    if name not in names:
        raise Refused(Refusal.BODY)
    return names.index(name)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise Refused(Refusal.BODY)
    return int(text)


def _filter(query: Mapping[str, str]) -> Filter:
    status = query.get("status")
    if status is not None and status not in STATUSES:
        raise Refused(Refusal.BODY)
    return Filter(status, query.get("date_start"), query.get("date_end"))
