"""Every promise of delivery at once, through faults of all kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.dispatch.delivery_storm import SPEED, broken, storm
from tests.dispatch.fast_loop import run_fast

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
def test_everything_arrives_through_faults(tmp_path: Path) -> None:
    """Lanes in order, instances once, events at least once, repeated only where an answer was lost, each recognisable.

    5,000 messages over 500 lanes, a fifth of all requests failing; ``make storm`` has twenty times as many.
    """
    api, outbox = run_fast(storm(tmp_path, 5_000, 500, seed=7), SPEED)
    assert broken(api, outbox, 5_000, 500, seed=7) == []
    assert api.faults["none"] < 0.82 * api.requests
    assert len(api.faults) > 12
