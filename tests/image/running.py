"""One container of the image, run as Kubernetes runs it under the restricted profile: what a test asks it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.services.containers import command, run
from tests.services.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

RESTRICTED = ("--read-only", "--cap-drop=all", "--security-opt=no-new-privileges", "--user=10001:10001")
START_SECONDS = 30.0
TICKS = os.sysconf("SC_CLK_TCK")


class Running:
    """A container on the host's network, PID 1 being the bridge."""

    def __init__(
        self,
        image: str,
        *,
        mounts: Mapping[Path, str],
        arguments: Sequence[str] = (),
        environment: Sequence[str] = (),
        options: Sequence[str] = RESTRICTED,
    ) -> None:
        """mounts: a file or folder of ours -> where it is seen, read-only unless it ends in ``:rw``."""
        self.name = f"bridge-{free_ports(1)[0]}"
        self.log = Path(next(iter(mounts))).parent / f"{self.name}.log"
        volumes = [f"--volume={path}:{seen if seen.endswith(':rw') else f'{seen}:ro'}" for path, seen in mounts.items()]
        variables = [f"--env={variable}" for variable in environment]
        ours = ["--rm", f"--name={self.name}", "--network=host", "--read-only-tmpfs=false"]
        self._command = command("podman", "run", *ours, *options, *volumes, *variables, image, *arguments)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start it."""
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(self._command.words, stderr=log, env=self._command.environment)
        return self

    def __exit__(self, *_: object) -> None:
        """It is gone."""
        assert self._process is not None
        if self._process.poll() is None:
            with contextlib.suppress(AssertionError):
                run("podman", "kill", self.name)
        self._process.wait(START_SECONDS)

    def wait_for(self, url: str) -> float:
        """Seconds from the start of the process to a 200 from here."""
        assert self._process is not None
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            if self._process.poll() is not None:
                break
            with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=1):  # noqa: S310  loopback
                return time.clock_gettime(time.CLOCK_BOOTTIME) - self.started_at
            time.sleep(0.01)
        raise AssertionError(f"no answer from {url}\n{self.log.read_text()}")

    @property
    def pid(self) -> int:
        """The process's number outside."""
        return int(run("podman", "inspect", "--format={{.State.Pid}}", self.name))

    @property
    def cpu_seconds(self) -> float:
        """What the process has used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    @property
    def started_at(self) -> float:
        """When the process began, by the clock that counts from the machine's start, in seconds."""
        return int(Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[19]) / TICKS

    def status(self) -> Mapping[str, str]:
        """The kernel's word on the process: uid, capabilities, memory."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return {name: " ".join(value.split()) for name, _, value in (line.partition(":") for line in lines)}

    def execute(self, *words: str) -> str:
        """Run a command beside it, as an exec probe or a hook does."""
        return run("podman", "exec", self.name, *words)

    def hook(self, *words: str) -> str:
        """Run a command that may end with the container; what it printed."""
        called = command("podman", "exec", self.name, *words)
        done = subprocess.run(
            called.words, env=called.environment, capture_output=True, text=True, timeout=START_SECONDS, check=False
        )
        return str(done.stdout).strip()

    def terminate(self, grace_seconds: float) -> tuple[int, float]:
        """SIGTERM to PID 1: its exit code, and how many seconds it took. Raises TimeoutExpired after the grace."""
        assert self._process is not None
        began = time.monotonic()
        run("podman", "kill", "--signal=TERM", self.name)
        return self._process.wait(grace_seconds), time.monotonic() - began

    def ended(self, within_seconds: float) -> int:
        """The exit code of a process that ends by itself. Raises TimeoutExpired."""
        assert self._process is not None
        return self._process.wait(within_seconds)

    def events(self) -> Sequence[Mapping[str, Any]]:
        """The lines of its log that are JSON."""
        whole, _, _ = self.log.read_text().rpartition("\n")  # the last line may be half written
        return [json.loads(line) for line in whole.split("\n") if line.startswith("{")]
