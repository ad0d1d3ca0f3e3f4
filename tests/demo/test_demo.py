from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KEYS = ["messages", "instances", "events", "requests", "instances_per_create_request", "lost", "duplicates",
        "p50_ms", "p99_ms"]  # fmt: skip


@pytest.mark.slow
def test_the_demo_ends_with_what_it_found(tmp_path: Path) -> None:
    """300 messages through an embedded broker, a bridge and the emulator: the last line is one JSON object."""
    pytest.importorskip("confluent_kafka")
    known = {name: value for name, value in os.environ.items() if not name.startswith("WORKFLOW_BRIDGE_")}
    done = subprocess.run(
        [sys.executable, "-m", "bridge", "demo", "--messages", "300", "--json"],
        cwd=tmp_path,
        env={**known, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert list(found) == KEYS
    assert (found["messages"], found["instances"], found["events"]) == (300, 150, 150)
    assert (found["lost"], found["duplicates"]) == (0, 0)
    assert found["requests"] >= 150 + 150 / 100
    assert found["instances_per_create_request"] >= 1
    assert 0 < found["p50_ms"] <= found["p99_ms"]
    assert list(tmp_path.iterdir()) == []
