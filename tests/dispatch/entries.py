"""Entries for tests, with only what a test cares about."""

from __future__ import annotations

from bridge.call import NORMAL, Operation, Policy
from bridge.outbox.base import Entry

POLICY = Policy("rule").encode()


def entry(
    seq: int,
    instance_id: str = "a",
    operation: Operation = Operation.CREATE,
    *,
    workflow: str = "w",
    lane: str = "",
    priority: int = NORMAL,
    body: bytes = b"{}",
    policy: str = POLICY,
    arrived_ms: int | None = None,
    attempts: int = 0,
    waited_ms: int = 0,
) -> Entry:
    """One entry; it arrived at its seq unless ``arrived_ms`` says otherwise."""
    at_ms = seq if arrived_ms is None else arrived_ms
    event_type = "paid" if operation is Operation.EVENT else ""
    return Entry(
        seq, operation, "main", workflow, instance_id, event_type, body, policy,
        lane, priority, 0, "orders", f"t/0/{seq}", at_ms, at_ms, attempts, waited_ms,
    )  # fmt: skip
