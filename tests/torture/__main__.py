"""``make torture``: the harness by its environment, a line of JSON at the end, exit code 1 for any problem."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.services.kafka_cluster import KafkaCluster
from tests.torture import report as reporting
from tests.torture.block import blocked
from tests.torture.running import Plan, Run
from tests.torture.storm import storm

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PARTS = ("run", "storm", "block")
SABOTAGE = ("", "ack-first", "no-positions", "unknown-fails")


def main() -> int:
    """Options have the environment's values as defaults, so that make can pass them."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--part", choices=PARTS, default=os.environ.get("PART") or "run")
    parser.add_argument("--minutes", type=float, default=float(os.environ.get("MINUTES") or 10), help="of run or storm")
    parser.add_argument("--kills", type=int, default=int(os.environ.get("KILLS") or 0), help="a run ends with so many")
    parser.add_argument("--seed", type=int, default=int(os.environ.get("SEED") or 1))
    parser.add_argument("--sabotage", choices=SABOTAGE, default=os.environ.get("SABOTAGE") or "")
    parser.add_argument("--report", type=Path, default=os.environ.get("REPORT") or None, help="RELIABILITY.md")
    parser.add_argument("--logs", type=Path, default=os.environ.get("LOGS") or None, help="a folder for logs")
    return asyncio.run(_main(parser.parse_args()))


async def _main(options: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="kafka-", ignore_cleanup_errors=True) as name:
        async with KafkaCluster(Path(name)) as kafka:
            part = {"run": _run, "storm": _storm, "block": _block}[options.part]
            return await part(options, kafka)


async def _run(options: argparse.Namespace, kafka: KafkaCluster) -> int:
    plan = Plan(options.seed, options.minutes, options.kills, options.sabotage, logs=options.logs)
    report = await Run(plan, kafka)()
    if options.report is not None and not options.sabotage:
        reporting.write(options.report, report)
    sys.stdout.write(f"{reporting.json_line(report)}\n")
    return 1 if report.problems else 0


async def _storm(options: argparse.Namespace, kafka: KafkaCluster) -> int:
    shown = await storm(kafka, options.minutes, options.seed)
    return _say(options, shown.rows(), shown.findings.problems)


async def _block(options: argparse.Namespace, kafka: KafkaCluster) -> int:
    shown = await blocked(kafka)
    return _say(options, shown.rows(), [f"{shown.lost} lost"] if shown.lost else [])


def _say(options: argparse.Namespace, rows: Mapping[str, Any], problems: Sequence[str]) -> int:
    if options.report is not None:
        reporting.write_rows(options.report, options.part, rows)
    sys.stdout.write(json.dumps({**rows, **({"problems": list(problems)} if problems else {})}) + "\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
