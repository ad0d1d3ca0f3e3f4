"""What the six endpoints give back, and how it is read from the envelope's ``result``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from bridge.errors import ApiUnknown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# queued running paused errored terminated complete waitingForPause waiting rollingBack; more may come.
Status = str


class Created(NamedTuple):
    """A new instance."""

    id: str
    status: Status
    version_id: str
    workflow_id: str


class StatusChanged(NamedTuple):
    """The status after a change, which may be a step on the way (waitingForPause)."""

    status: Status
    timestamp: str  # ISO 8601, UTC; "" where the API gave none


class Instance(NamedTuple):
    """One instance as it stands. Times are ISO 8601 in UTC, None for what has not happened yet."""

    id: str
    status: Status
    params: Any
    output: Any  # JSON as text, as the API sends it; it may be cut off there
    error: Mapping[str, Any] | None  # name, message
    queued: str | None
    start: str | None
    end: str | None
    raw: Mapping[str, Any]  # everything: steps, trigger, versionId …


class Listed(NamedTuple):
    """One row of the list."""

    id: str
    status: Status
    created_on: str | None
    started_on: str | None
    ended_on: str | None
    raw: Mapping[str, Any]


class Page(NamedTuple):
    """Some rows of the list, which lags a little behind what was created."""

    instances: Sequence[Listed]
    cursor: str | None  # for the next page; None: this was the last
    total_count: int | None


def read_created(result: object) -> Created:
    """From the answer to a create."""
    if not isinstance(result, dict) or not isinstance(result.get("id"), str):
        _malformed("create")
    return Created(
        result["id"],
        str(result.get("status", "")),
        str(result.get("version_id", "")),
        str(result.get("workflow_id", "")),
    )


def read_created_ids(result: object) -> frozenset[str]:
    """From the answer to a batch: the ids that are new."""
    if not isinstance(result, list):
        _malformed("batch")
    try:
        ids = frozenset([item["id"] for item in result])
    except (TypeError, KeyError):
        _malformed("batch")
    if not all(isinstance(name, str) for name in ids):
        _malformed("batch")
    return ids


def read_instance(instance_id: str, result: object) -> Instance:
    """From the answer to a get; the API does not repeat the id."""
    if not isinstance(result, dict) or not isinstance(result.get("status"), str):
        _malformed("get")
    error = result.get("error")
    return Instance(
        instance_id,
        result["status"],
        result.get("params"),
        result.get("output"),
        error if isinstance(error, dict) else None,
        result.get("queued"),
        result.get("start"),
        result.get("end"),
        result,
    )


def read_status_changed(result: object) -> StatusChanged:
    """From the answer to a status change."""
    if not isinstance(result, dict) or not isinstance(result.get("status"), str):
        _malformed("status change")
    return StatusChanged(result["status"], str(result.get("timestamp") or ""))


def read_page(envelope: Mapping[str, Any]) -> Page:
    """From the answer to a list."""
    result = envelope.get("result")
    if not isinstance(result, list):
        _malformed("list")
    info = envelope.get("result_info")
    info = info if isinstance(info, dict) else {}
    total = info.get("total_count")
    return Page([_listed(row) for row in result], info.get("cursor") or None, total if isinstance(total, int) else None)


def _listed(row: object) -> Listed:
    if not isinstance(row, dict) or not isinstance(row.get("id"), str):
        _malformed("list")
    status = str(row.get("status", ""))
    return Listed(row["id"], status, row.get("created_on"), row.get("started_on"), row.get("ended_on"), row)


def _malformed(operation: str) -> NoReturn:
    raise ApiUnknown(f"the answer to a {operation} does not have the API's shape", "no_envelope")
