"""PromQL over the metrics of the bridge: which series a panel means, for whatever is chosen at the top."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.metrics import PREFIX, TABLE

if TYPE_CHECKING:
    from bridge.metrics import Metric

METRICS = {row.name: row for row in TABLE}
SCOPE = ("namespace", "job", "instance")  # which bridges; every query has these
CHOSEN = ("source", "rule", "target", "workflow")  # labels of the bridge's own that can be chosen
# A call has come to an end with these outcomes; the others are attempts that are repeated.
ENDED = 'outcome=~"delivered|exists|restarted|signalled|renewed|dropped|dead"'
DEAD = 'outcome="dead"'
MINUTE = 'le="60.0"'
ALERTS = 'ALERTS{alertname=~"WorkflowBridge.+", alertstate="firing", job=~"$job"}'


def of(name: str, *matchers: str) -> str:
    """The chosen series of a metric, named without the prefix; ``_bucket`` and such belong to histograms."""
    labels = _metric(PREFIX + name).labels
    mine = [label for label in CHOSEN if label in labels]
    return f"{PREFIX}{name}{{{_matchers(*SCOPE, *mine, more=matchers)}}}"


def chosen(name: str) -> str:
    """A metric that every Prometheus client has, of the jobs and instances that are chosen."""
    return f"{name}{{{_matchers(*SCOPE)}}}"


def process(name: str, form: str = "{}") -> str:
    """The same in an expression, of bridges only: in a job without a name of its own there are other processes."""
    return f"{form.replace('{}', chosen(name))} and on (namespace, job, instance) {of('build_info')}"


def rate(name: str, *matchers: str, by: str = "") -> str:
    """How fast counters grow in sum, each second, by these labels."""
    return total(f"rate({of(name, *matchers)}[$__rate_interval])", by)


def grown(name: str, *matchers: str, by: str = "") -> str:
    """By how much counters have grown in sum over what the dashboard shows."""
    return total(f"increase({of(name, *matchers)}[$__range])", by)


def gained(name: str, by: str, during: str = "$__rate_interval") -> str:
    """By how much counters have grown in each interval, the first count included of those that begin with it.

    Such a series is new where the bridge was scraped before and the series was not there.
    """
    series = of(name)
    there = f"on ({', '.join(SCOPE)}) {of('build_info')} offset {during}"
    first = f"({series} unless {series} offset {during} and {there})"
    return total(f"{first} or increase({series}[{during}])", by)


def total(expr: str, by: str = "") -> str:
    """The sum, by these labels."""
    return f"sum by ({by}) ({expr})" if by else f"sum({expr})"


def most(expr: str, by: str = "") -> str:
    """The largest, by these labels."""
    return f"max by ({by}) ({expr})" if by else f"max({expr})"


def quantile(share: float, name: str, by: str = "") -> str:
    """Of a histogram, by these labels."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, {rate(f'{name}_bucket', by=labels)})"


def mean(name: str, by: str = "") -> str:
    """Of a histogram, by these labels."""
    return f"{rate(f'{name}_sum', by=by)} / {rate(f'{name}_count', by=by)}"


def _metric(name: str) -> Metric:
    histogram = next((name.removesuffix(end) for end in ("_bucket", "_sum", "_count") if name.endswith(end)), name)
    return METRICS[name] if name in METRICS else METRICS[histogram]


def _matchers(*labels: str, more: tuple[str, ...] = ()) -> str:
    return ", ".join([*(f'{label}=~"${label}"' for label in labels), *more])
