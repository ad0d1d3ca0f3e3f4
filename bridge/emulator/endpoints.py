"""The six endpoints: what each takes from a request, does to the account and answers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from bridge.cloudflare.limits import MAX_BATCH, MAX_PARAMS_BYTES, check_event_type, check_instance_id
from bridge.emulator.account import Filter
from bridge.emulator.answers import Refusal, Refused, Reply, success, timestamp
from bridge.emulator.instance import STATUSES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bridge.emulator.account import Account
    from bridge.emulator.journal import Record

CHANGES = frozenset({"pause", "resume", "terminate", "restart"})
MAX_PER_PAGE = 100
DEFAULT_PER_PAGE = 50
_RETENTION = re.compile(r"\d+\s+(second|minute|hour|day|week|month|year)s?")


class Request(NamedTuple):
    """What an endpoint works on. ``parts`` is the path behind ``…/instances``, decoded."""

    account: Account
    workflow: str
    parts: tuple[str, ...]
    query: Mapping[str, str]
    body: bytes
    record: Record


def find(method: str, parts: tuple[str, ...]) -> Callable[[Request], Reply]:
    """The endpoint of a path. Raises Refused where there is none."""
    shape = (method, len(parts), parts[0] == "batch" if len(parts) == 1 else False, parts[1] if len(parts) > 1 else "")
    endpoint = _ENDPOINTS.get(shape)
    if endpoint is None:
        raise Refused(Refusal.ROUTE)
    return endpoint


def list_instances(request: Request) -> Reply:
    """Newest first, unless ``direction`` says otherwise."""
    query, workflow = request.query, request.account.workflow(request.workflow)
    size, after = _number(query.get("per_page", str(DEFAULT_PER_PAGE))), query.get("cursor")
    skip = size * (_number(query.get("page", "1")) - 1)
    if not 1 <= size <= MAX_PER_PAGE or skip < 0 or (after and "page" in query):
        raise Refused(Refusal.BODY)
    only = _filter(query)
    newest_first = query.get("direction", "desc") != "asc"
    rows = iter(workflow.listed(_number(after) if after else None, newest_first=newest_first, only=only))
    taken = [row for place, row in zip(range(skip + size + 1), rows, strict=False) if place >= skip]
    page = taken[:size]
    info: dict[str, Any] = {"count": len(page), "per_page": size, "total_count": workflow.count(only)}
    if len(taken) > size:
        info["cursor"] = str(page[-1].number)
    ids = {"version_id": workflow.version_id, "workflow_id": workflow.workflow_id}
    return success([row.row() | ids for row in page], info)


def get_instance(request: Request) -> Reply:
    """One instance, with its steps unless ``simple``."""
    workflow = request.account.workflow(request.workflow)
    instance = workflow.get(request.parts[0])
    details = instance.details() | {"versionId": workflow.version_id}
    if request.query.get("simple") != "true":
        steps = instance.steps()
        details["steps"] = steps[::-1] if request.query.get("order") == "desc" else steps
    return success(details)


def create(request: Request) -> Reply:
    """One new instance; a used id is refused."""
    instance_id, params = _creation(_json(request.body))
    request.record.offered.append(instance_id)
    workflow = request.account.workflow(request.workflow)
    _admit(request, 1)
    instance = workflow.create(instance_id, params, request.account.now_ms())
    if instance is None:
        raise Refused(Refusal.EXISTS)
    request.record.created.append(instance.id)
    return success(workflow.created(instance))


def create_batch(request: Request) -> Reply:
    """Up to 100 new instances; used and repeated ids are left out, one bad item refuses all."""
    items = _json(request.body)
    if not isinstance(items, list) or not 1 <= len(items) <= MAX_BATCH:
        raise Refused(Refusal.BODY)
    request.record.offered.extend(item.get("instance_id") for item in items if isinstance(item, dict))
    creations = [_creation(item) for item in items]
    workflow = request.account.workflow(request.workflow)
    _admit(request, len(creations))
    now_ms = request.account.now_ms()
    made = [workflow.create(instance_id, params, now_ms) for instance_id, params in creations]
    new = [instance for instance in made if instance is not None]
    request.record.created.extend(instance.id for instance in new)
    return success([workflow.created(instance) for instance in new])


def send_event(request: Request) -> Reply:
    """One event for one instance."""
    instance_id, _, event_type = request.parts
    record = request.record
    record.offered.append(instance_id)
    record.event_type = event_type
    record.payload = payload = _json(request.body)
    if check_event_type(event_type) or len(request.body) > MAX_PARAMS_BYTES:
        raise Refused(Refusal.BODY)
    account = request.account
    now_ms = account.now_ms()
    account.workflow(request.workflow).get(instance_id).receive(event_type, payload, now_ms)
    return success({"instanceId": instance_id, "timestamp": timestamp(now_ms)})


def change_status(request: Request) -> Reply:
    """Pause, resume, terminate or restart."""
    body = _json(request.body)
    to = body.get("status") if isinstance(body, dict) else None
    if not isinstance(body, dict) or to not in CHANGES or ("rollback" in body and to != "terminate"):
        raise Refused(Refusal.BODY)
    request.record.offered.append(request.parts[0])
    request.record.change = to
    instance = request.account.workflow(request.workflow).get(request.parts[0])
    if "from" in body:
        _check_step(body, [step["name"].rpartition("-")[0] for step in instance.steps()])
    if to == "restart":
        _admit(request, 1)
    now_ms = request.account.now_ms()
    instance.change(to, now_ms)
    return success({"status": instance.status, "timestamp": timestamp(now_ms)})


# method, parts behind …/instances, whether the only part is "batch", the second part
_ENDPOINTS: Mapping[tuple[str, int, bool, str], Callable[[Request], Reply]] = {
    ("GET", 0, False, ""): list_instances,
    ("POST", 0, False, ""): create,
    ("POST", 1, True, ""): create_batch,
    ("GET", 1, False, ""): get_instance,
    ("PATCH", 2, False, "status"): change_status,
    ("POST", 3, False, "events"): send_event,
}
OPERATIONS: Mapping[Callable[[Request], Reply], str] = {
    list_instances: "list",
    create: "create",
    create_batch: "batch",
    get_instance: "get",
    change_status: "status",
    send_event: "event",
}


def _admit(request: Request, count: int) -> None:
    """The creation rates; refused as a whole, and then nothing is counted."""
    request.record.limit = "creation"
    request.account.admit(request.workflow, count)
    request.record.limit = ""


def _json(body: bytes) -> Any:  # noqa: ANN401  it is whatever the caller sent
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Refused(Refusal.BODY) from None


def _creation(item: object) -> tuple[str | None, Any]:
    """Id and params of one create."""
    if not isinstance(item, dict):
        raise Refused(Refusal.BODY)
    instance_id = item.get("instance_id")
    if instance_id is not None and (not isinstance(instance_id, str) or check_instance_id(instance_id)):
        raise Refused(Refusal.BODY)
    params = item.get("params", {})
    if len(orjson.dumps(params)) > MAX_PARAMS_BYTES or not _retention_ok(item.get("instance_retention")):
        raise Refused(Refusal.BODY)
    return instance_id, params


def _retention_ok(retention: object) -> bool:
    if retention is None:
        return True
    if not isinstance(retention, dict):
        return False
    return all(type(value) is int or _RETENTION.fullmatch(str(value)) for value in retention.values())


def _check_step(body: Mapping[str, Any], names: list[str]) -> None:
    """A restart from a step that the instance does not have is an error; no source for its code."""
    step = body["from"]
    if body["status"] != "restart" or not isinstance(step, dict) or step.get("name") not in names:
        raise Refused(Refusal.BODY)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise Refused(Refusal.BODY)
    return int(text)


def _filter(query: Mapping[str, str]) -> Filter:
    status = query.get("status")
    if status is not None and status not in STATUSES:
        raise Refused(Refusal.BODY)
    return Filter(status, query.get("date_start"), query.get("date_end"))
