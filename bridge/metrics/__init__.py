"""Every metric of the bridge: the table of what there is, and the object that the parts report to."""

from bridge.metrics.metrics import Metrics
from bridge.metrics.table import OUTCOMES, PREFIX, RELOADS, SOURCE_COUNTERS, TABLE, Metric
from bridge.metrics.watch import Behind, FileReading, Reading

__all__ = [
    "OUTCOMES",
    "PREFIX",
    "RELOADS",
    "SOURCE_COUNTERS",
    "TABLE",
    "Behind",
    "FileReading",
    "Metric",
    "Metrics",
    "Reading",
]
