"""A real bridge in a process of its own, that tests start, kill and stop."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.services.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Mapping

START_SECONDS = 60  # far more than it takes, as are the others
STOP_SECONDS = 60
ANSWER_SECONDS = 30


class BridgeProcess:
    """``workflow-bridge run`` with a configuration and a folder of its own; restarts on the same outbox."""

    module = "bridge"  # what Python runs, with the arguments of ``workflow-bridge``
    start_seconds = START_SECONDS

    def __init__(self, folder: Path, config: dict[str, Any], environment: Mapping[str, str] | None = None) -> None:
        """config: without ``health``; an outbox of type sqlite gets a file in ``folder`` unless it names one."""
        folder.mkdir(parents=True, exist_ok=True)
        (self.port,) = free_ports(1)
        self.log = folder / "bridge.log"
        self.config_file = folder / "bridge.json"
        config = {"admin": {"enabled": False}, **config, "log": {"format": "json"}}
        config["health"] = {"host": "127.0.0.1", "port": self.port}
        if config.get("outbox", {}).get("type", "sqlite") == "sqlite":
            config["outbox"] = {"type": "sqlite", "path": str(folder / "outbox.db"), **config.get("outbox", {})}
        self.outbox = Path(config.get("outbox", {}).get("path", folder / "outbox.db"))
        self.config_file.write_text(json.dumps(config, indent=1))
        self._environment = {**os.environ, "CI": "true", **(environment or {})}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start, and return when it says that it is ready."""
        command = [sys.executable, "-m", self.module, "run", "--config", str(self.config_file)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=self._environment)
        deadline = time.monotonic() + self.start_seconds
        while not self.answers("/readyz"):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the bridge did not start:\n{self.log.read_text()[-4000:]}")
            time.sleep(0.02)
        return self

    def answers(self, path: str) -> bool:
        """Whether a probe succeeds."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=ANSWER_SECONDS):
                return True
        except (OSError, urllib.error.HTTPError):
            return False

    def metrics(self) -> dict[str, float]:
        """All samples: "name{labels}" -> value."""
        lines = [line for line in self.scraped().splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}

    def scraped(self, accept: str = "text/plain") -> str:
        """The metrics in one of their formats."""
        asked = urllib.request.Request(f"http://127.0.0.1:{self.port}/metrics", headers={"Accept": accept})
        with urllib.request.urlopen(asked, timeout=ANSWER_SECONDS) as answer:  # noqa: S310  it is http
            return str(answer.read().decode())

    def stored(self) -> int:
        """Entries in the sqlite outbox that are not delivered yet, read from the file."""
        with closing(sqlite3.connect(f"file:{self.outbox}?mode=ro", uri=True)) as database:
            counts = [database.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in ("entries", "later")]  # noqa: S608
        return sum(counts)

    def rss_mib(self) -> int:
        """Memory that the process has now."""
        assert self.process is not None
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("VmRSS"))) // 1024

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def events(self) -> list[dict[str, Any]]:
        """The log, line by line; one that is being written just now is not there yet."""
        whole, _, _ = self.log.read_text().rpartition("\n")
        return [json.loads(line) for line in whole.split("\n") if line.startswith("{")]
