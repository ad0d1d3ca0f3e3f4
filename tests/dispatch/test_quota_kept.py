"""The API's quota is kept and used up by whole bridges: the short form of ``make quota``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import orjson
import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_quota_is_kept_and_used_up() -> None:
    """Alone, beside a stranger, and five on one token: over the end of a window no block, and nothing left unused.

    The figures are of the emulator's journal, and their bounds those of ``bench.quota.scenario``.
    """
    command = [sys.executable, "-m", "bench.quota", "--minutes", "5.5"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=400, check=False)
    assert run.returncode == 0, run.stdout.decode() + run.stderr.decode()
    told = orjson.loads(run.stdout.splitlines()[-1])
    assert told["blocks"] == 0
    assert told["minutes"] == 5.5
