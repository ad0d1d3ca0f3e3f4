"""What ledger and metrics cost: the scene ``create`` with both and without both, in turn, in one run."""

from __future__ import annotations

import json
import statistics
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

NAME = "observed"
AIM = 1.25
KINDS = {"bare": ("bench.bare", "off"), "observed": ("bridge", "7d")}  # module that is run, ``ledger.keep``


def play(run: Callable[[str, str], float], runs: int) -> dict[str, Any]:
    """Medians and their ratio. run: CPU µs per message of one run of a module with this ``ledger.keep``."""
    spent: dict[str, list[float]] = {name: [] for name in KINDS}
    for number in range(runs):
        for name in KINDS if number % 2 else reversed(KINDS):
            spent[name].append(run(*KINDS[name]))
    medians = {f"{name}_us": statistics.median(values) for name, values in spent.items()}
    return {**medians, "ratio": medians["observed_us"] / medians["bare_us"], "aim": AIM}


def show(result: dict[str, Any], *, as_json: bool) -> None:
    """For people, or as a line of JSON."""
    if as_json:
        print(json.dumps({"scene": NAME, **result}), flush=True)
        return
    print(
        f"{NAME}: {result['observed_us']:.1f} CPU µs/msg with ledger and metrics, {result['bare_us']:.1f} without; "
        f"ratio {result['ratio']:.2f} (aim: at most {AIM})",
        flush=True,
    )
