"""Plays three scenarios against the emulator's quota, in time that goes by work alone, and prints the figures.

The figures are those of the emulator's journal.

    alone        one bridge with creates of three workflows and events, more than it may send
    foreign      the same beside somebody else, who takes a third of the quota in bursts of up to 40 requests
    five         five bridges on one token that share nothing, started together

Exit codes: 0 every aim is met, 1 one is missed, 2 something did not run.
"""

from __future__ import annotations

import argparse
import json
import sys
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Any

from bench.quota.scenario import PROCESSES, SCENARIOS, Options, missed, play

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.quota.figures import Figures


def main() -> None:
    """Parse, run, print; one JSON line per scenario, and one of all at the end."""
    parser = argparse.ArgumentParser(prog="make quota ARGS=…", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=15.0, help="of emulated time (default: %(default)s)")
    parser.add_argument("--scenario", action="append", choices=[scenario.name for scenario in SCENARIOS])
    parser.add_argument("--seed", type=int, default=1, help="of the foreign client")
    given = parser.parse_args()
    options = Options(given.minutes, given.seed)
    chosen = [scenario for scenario in SCENARIOS if not given.scenario or scenario.name in given.scenario]
    try:
        with ProcessPoolExecutor(len(chosen), PROCESSES) as processes:
            found = list(processes.map(play, chosen, [options] * len(chosen)))
    except (RuntimeError, OSError) as error:
        print(f"make quota: {error}", file=sys.stderr)
        sys.exit(2)
    lines = [line for scenario, one in zip(chosen, found, strict=True) for line in missed(scenario, one)]
    for one in found:
        print(json.dumps(one._asdict()))
    for line in lines:
        print(f"missed: {line}", file=sys.stderr)
    print(json.dumps(_together(found) | {"missed": lines}))
    sys.exit(1 if lines else 0)


def _together(found: Sequence[Figures]) -> dict[str, Any]:
    """The worst of each figure; of what only a bridge alone can reach, its own."""
    return {
        "minutes": found[0].minutes,
        "http_429": sum(one.http_429 for one in found),
        "blocks": sum(one.blocks for one in found),
        "budget_used_share": min(one.budget_used_share for one in found),
        "instances_per_create_request": min(one.instances_per_create_request for one in found),
        "creations_per_second": found[0].creations_per_second,
    }


if __name__ == "__main__":
    main()
