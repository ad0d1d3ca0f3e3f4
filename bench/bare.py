"""``python -m bench.bare run …``: the bridge with nothing that observes it: metrics are not counted.

Its ledger is switched off by the configuration. For the scene ``observed``, which compares the two.
"""

from __future__ import annotations

from bridge import cli
from bridge.dispatch import dispatcher
from bridge.metrics import Metrics

# What is told while messages pass; none of it is asked for an answer.
TOLD = (
    "received", "routed", "dead_lettered", "translated", "held_up", "unacknowledged", "delivered", "retried", "done",
    "called", "batch", "throttled", "end_to_end", "loop_lagged",
)  # fmt: skip


def _nothing(*_: object, **__: object) -> None:
    pass


def main() -> None:
    """Run the command line."""
    for name in TOLD:
        assert callable(getattr(Metrics, name))  # noqa: S101  a name that is gone would measure nothing
        setattr(Metrics, name, _nothing)
    dispatcher.reporting.settled = _nothing  # the counting that only metrics need
    cli.main()


main()
