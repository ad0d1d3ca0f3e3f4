"""A real Prometheus (Debian's package) that scrapes what a test runs."""

from __future__ import annotations

import contextlib
import json
import math
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from tests.services.ports import free_ports
from tests.services.presence import missing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

START_SECONDS = 30


class Series(NamedTuple):
    """One series of an answer; values that are no number are left out."""

    labels: Mapping[str, str]
    values: Sequence[float]


class Prometheus:
    """Scrapes itself and what it is given, every ``interval``."""

    def __init__(
        self, folder: Path, targets: Mapping[str, Sequence[str]], rules: Sequence[Path] = (), interval: str = "500ms"
    ) -> None:
        """targets: addresses by job; they are of the namespace ``test``."""
        self._program = shutil.which("prometheus")
        if self._program is None:
            missing("prometheus (Debian's package)")
        folder.mkdir(parents=True, exist_ok=True)
        (port,) = free_ports(1)
        self.address = f"127.0.0.1:{port}"
        self._folder = folder
        jobs = {**targets, "prometheus": [self.address]}
        config = {
            "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": "1s"},
            "rule_files": [str(file) for file in rules],
            "scrape_configs": [
                {"job_name": job, "static_configs": [{"targets": list(addresses), "labels": {"namespace": "test"}}]}
                for job, addresses in jobs.items()
            ],
        }
        (folder / "prometheus.yml").write_text(json.dumps(config))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        options = [f"--config.file={self._folder}/prometheus.yml", f"--storage.tsdb.path={self._folder}/data"]
        command = [str(self._program), *options, f"--web.listen-address={self.address}"]
        with (self._folder / "prometheus.log").open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise RuntimeError(
                    f"Prometheus did not start:\n{(self._folder / 'prometheus.log').read_text()[-2000:]}"
                )
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def instant(self, expr: str, at: float) -> list[Series]:
        """The value of each series at that moment; Unix seconds."""
        rows = self._ask("query", query=expr, time=at)["result"]
        return [Series(row["metric"], _numbers([row["value"]])) for row in rows]

    def over(self, expr: str, start: float, end: float, step: float = 0.5) -> list[Series]:
        """The values of each series in that time."""
        rows = self._ask("query_range", query=expr, start=start, end=end, step=step)["result"]
        return [Series(row["metric"], _numbers(row["values"])) for row in rows]

    def values_of(self, label: str, selector: str) -> list[str]:
        """The values that a label has in these series."""
        found: list[str] = self._ask(f"label/{label}/values", **{"match[]": selector})
        return found

    def _ask(self, what: str, **parameters: object) -> Any:
        url = f"http://{self.address}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode()}") from None

    def _ready(self) -> bool:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://{self.address}/-/ready", timeout=2):
            return True
        return False


def _numbers(values: Sequence[tuple[float, str]]) -> list[float]:
    return [number for _, text in values if math.isfinite(number := float(text))]
