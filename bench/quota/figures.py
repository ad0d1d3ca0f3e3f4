"""What the emulator's journal says of a run: the only source of the figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import orjson

if TYPE_CHECKING:
    from pathlib import Path

WINDOW_SECONDS, BUDGET = 300, 1080  # 1,200 requests without the reserve of a tenth


class Figures(NamedTuple):
    """Of one scenario, from the first request on."""

    scenario: str
    minutes: float
    http_429: int
    blocks: int
    budget_used_share: float  # requests of the bridges, of what others left of the quota without its reserve
    instances_per_create_request: float
    creations_per_second: float
    foreign_requests: int


def figures(scenario: str, journal: Path, minutes: float) -> Figures:
    """Read the journal. ``list`` is what the foreign client asks for, everything else is the bridges'."""
    records = [record for line in journal.open("rb") if (record := orjson.loads(line))["token"] == "main"]
    began_ms = min(record["time_ms"] for record in records)
    records = [record for record in records if record["time_ms"] < began_ms + 60_000 * minutes]
    own = [record for record in records if record["operation"] != "list"]
    foreign = len(records) - len(own)
    creates = [record for record in own if record["operation"] in {"create", "batch"}]
    created = sum(len(record["created"]) for record in creates)
    left = BUDGET * minutes * 60 / WINDOW_SECONDS - foreign
    return Figures(
        scenario,
        minutes,
        sum(record["status"] == 429 for record in records),  # noqa: PLR2004  HTTP's own number
        sum(record["limit"] == "quota" for record in records),
        round(len(own) / left, 4),
        round(created / max(1, len(creates)), 2),
        round(created / (60 * minutes), 1),
        foreign,
    )
