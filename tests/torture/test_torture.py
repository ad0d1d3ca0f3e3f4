"""A short run of the harness: nothing is lost or made twice; and with a planted bug it says so."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.torture import report as reporting
from tests.torture.block import blocked
from tests.torture.running import Plan, Run
from tests.torture.storm import storm

if TYPE_CHECKING:
    from tests.services.kafka_cluster import KafkaCluster

pytestmark = [pytest.mark.kafka, pytest.mark.rabbitmq, pytest.mark.slow]
LONG = pytest.mark.skipif("TORTURE" not in os.environ, reason="TORTURE=all: most of a minute")
# Those that take a few seconds each; `make torture` has all.
QUICK = frozenset(
    {"sigterm_twice", "answers_lost", "resets", "token_revoked", "leader_change", "kafka_cut", "new_partitions",
     "rebalance", "rabbitmq_cut", "queue_delete", "full_disk", "clock_jump"}
)  # fmt: skip


async def test_a_short_run(kafka_cluster: KafkaCluster) -> None:
    """Kills at every step and the quick faults, each seen to have an effect: no problem of any kind."""
    report = await Run(Plan(seed=3, minutes=5.5, names=QUICK, once=True, kills_per_fault=2), kafka_cluster)()
    print(reporting.json_line(report))  # noqa: T201  shown with -s
    assert report.problems == []
    assert set(report.strikes) >= QUICK


@pytest.mark.parametrize(
    ("sabotage", "names", "found"),
    [
        pytest.param("ack-first", (), " lost: ", marks=LONG),
        ("no-positions", (), "committed past"),
        pytest.param("unknown-fails", ("resets",), "dead without a reason", marks=LONG),
    ],
)
async def test_a_planted_bug_is_found(
    kafka_cluster: KafkaCluster, sabotage: str, names: tuple[str, ...], found: str
) -> None:
    """Within two minutes: some kills, or requests without an answer, are enough."""
    plan = Plan(seed=4, minutes=0.35, sabotage=sabotage, kinds=("sqlite",), names=frozenset(names))
    report = await Run(plan._replace(drain_seconds=5), kafka_cluster)()
    assert any(found in problem for problem in report.problems), report


@LONG
async def test_members_come_and_go(kafka_cluster: KafkaCluster) -> None:
    """A short rebalance storm: nothing lost, no instance twice, no more events repeated than may be."""
    shown = await storm(kafka_cluster, minutes=0.25, seed=5)
    assert shown.findings.problems == []
    assert shown.joined >= 2


async def test_the_block_of_a_quota(kafka_cluster: KafkaCluster) -> None:
    """Five minutes in which the API refuses everything: the bridge goes on by itself when they are over."""
    shown = await blocked(kafka_cluster)
    assert shown.lost == 0
    assert shown.requests_meanwhile <= 20
    assert 0 <= shown.recovery_seconds < 200
