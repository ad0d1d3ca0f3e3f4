"""Cloudflare's own Workflows engine on loopback, behind the gateway's production paths.

workerd is one binary of its own npm package; three files of miniflare make a Workflows engine of it. These are
miniflare's internals, so both versions are pinned. Nothing of Node runs.
"""

from __future__ import annotations

import json
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

from tests.services.npm import fetch, made_once

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

WORKERD = "@cloudflare/workerd-linux-64@1.20261117.1"
MINIFLARE = "miniflare@5.20261117.0-beta"
CACHE = Path.home() / ".cache/workflow-bridge/workerd-20261117.1"
MODULES = {  # name beside the configuration -> path in miniflare's package
    "binding.worker.js": "dist/src/workers/workflows/binding.worker.js",
    "wrapped-binding.worker.js": "dist/src/workers/workflows/wrapped-binding.worker.js",
    "zod.worker.js": "dist/src/workers/shared/zod.worker.js",
}
GATEWAY = Path(__file__).parents[2] / "gateway/worker.js"
EXAMPLES = Path(__file__).with_name("workflows.js")
WORKFLOWS = {"echo": "Echo", "wait": "WaitForGo", "fails": "Fails"}  # name in the API -> class in the examples
START_SECONDS = 20
DESCRIPTORS = 65_536  # each instance that is awake has three files open

CONFIG = """using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [ (name = "user", worker = .user), (name = "disk", disk = (path = %(data)s, writable = true)),
    %(services)s ],
  sockets = [ (name = "http", address = "127.0.0.1:%(port)d", http = (), service = "user") ],
  extensions = [ (modules = [
    (name = "workflows:local-wrapped-binding", esModule = embed "wrapped-binding.worker.js", internal = true),
    (name = "miniflare:zod", esModule = embed "zod.worker.js") ]) ],
);
const user :Workerd.Worker = (
  compatibilityDate = "2026-07-01",
  modules = [ (name = "index.js", esModule = embed "index.js"), (name = "worker.js", esModule = embed "worker.js") ],
  durableObjectNamespaces = [ (className = "Registry", enableSql = true, uniqueKey = "registry") ],
  durableObjectStorage = (localDisk = "disk"),
  bindings = [ (name = "TOKEN", text = %(token)s), (name = "ACCOUNT", text = %(account)s),
    (name = "WORKFLOWS", json = %(names)s), (name = "REGISTRY", durableObjectNamespace = "Registry"),
    %(bindings)s ],
);
"""
BINDING = """(name = "WORKFLOW_%(index)d", wrapped = (moduleName = "workflows:local-wrapped-binding",
      innerBindings = [ (name = "binding", service = (name = "engine-%(index)d", entrypoint = "WorkflowBinding")) ]))"""
ENGINE = """const engine%(index)d :Workerd.Worker = (
  compatibilityDate = "2024-10-22", compatibilityFlags = ["experimental"],
  modules = [ (name = "workflows.mjs", esModule = embed "binding.worker.js") ],
  durableObjectNamespaces = [ (className = "Engine", enableSql = true, uniqueKey = "workflows-%(name)s",
    preventEviction = false) ],
  durableObjectStorage = (localDisk = "disk"),
  bindings = [ (name = "ENGINE", durableObjectNamespace = (className = "Engine")),
    (name = "USER_WORKFLOW", service = (name = "user", entrypoint = "%(entrypoint)s")),
    (name = "BINDING_NAME", json = "\\"WORKFLOW_%(index)d\\""), (name = "WORKFLOW_NAME", json = "\\"%(name)s\\""),
    (name = "WORKFLOW_STORAGE", service = "disk") ],
);
"""


def install() -> Path:
    """Fetch the binary and the three modules once; npm checks the packages."""
    return made_once(CACHE, _make)


def _make(work: Path, ready: Path) -> None:
    fetch(WORKERD, work / "workerd", {"workerd": "bin/workerd"}, ready)
    fetch(MINIFLARE, work / "miniflare", MODULES, ready)
    (ready / "workerd").chmod(0o755)


class Workerd:
    """One engine with a port and a data folder of its own.

    with Workerd({"fulfil-order": "WaitForGo"}) as engine:
        engine.base_url, engine.token, engine.account_id     # for the settings of a target
        engine.kill(); engine.start()                        # kill -9, then the same engine on the same data
    """

    def __init__(self, workflows: Mapping[str, str] = WORKFLOWS, examples: Path = EXAMPLES) -> None:
        """workflows: name in the API -> class exported by ``examples``, a Worker that also exports the gateway."""
        self.token, self.account_id = "test-token", "0123456789abcdef0123456789abcdef"
        cache = install()
        self._binary = cache / "workerd"
        self._folder = Path(tempfile.mkdtemp(prefix="workerd-"))
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()
        self.base_url = f"http://127.0.0.1:{self.port}/client/v4"
        for name in MODULES:
            (self._folder / name).symlink_to(cache / name)
        shutil.copy(GATEWAY, self._folder / "worker.js")
        shutil.copy(examples, self._folder / "index.js")
        (self._folder / "data").mkdir()
        (self._folder / "config.capnp").write_text(self._config(workflows))

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> Self:
        """Start on the data that is there, and wait until it answers."""
        command = [str(self._binary), "serve", "--experimental", "config.capnp"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self._folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        _raise_limit(self._process.pid)
        deadline = time.monotonic() + START_SECONDS
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"workerd did not start: {self._log.read_text()[-4000:]}")
            time.sleep(0.02)
        return self

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End the process; its data stays."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)
            self._process.wait(10)

    def lose(self, workflow: str) -> None:
        """Let the engine, which must not run, forget all instances of a workflow, as after their retention."""
        for file in (self._folder / "data" / f"workflows-{workflow}").glob("*.sqlite*"):
            if not file.name.startswith("metadata."):
                file.unlink()

    def close(self) -> None:
        """End the process and delete its data."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _log(self) -> Path:
        return self._folder / "workerd.log"

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/ready", timeout=1):
                return True
        except OSError:
            return False

    def _config(self, workflows: Mapping[str, str]) -> str:
        names = list(enumerate(workflows.items()))
        bound = {name: f"WORKFLOW_{index}" for index, (name, _) in names}
        text = CONFIG % {
            "data": json.dumps(str(self._folder / "data")),
            "port": self.port,
            "token": json.dumps(self.token),
            "account": json.dumps(self.account_id),
            "names": json.dumps(json.dumps(bound)),
            "services": ", ".join(f'(name = "engine-{index}", worker = .engine{index})' for index, _ in names),
            "bindings": ",\n    ".join(BINDING % {"index": index} for index, _ in names),
        }
        engines = [ENGINE % {"index": index, "name": name, "entrypoint": entry} for index, (name, entry) in names]
        return text + "".join(engines)


def _raise_limit(pid: int) -> None:
    """Thousands of instances need thousands of descriptors."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (wanted, hard))


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.fixture(scope="session")
def workerd() -> Iterator[Workerd]:
    """An engine with the workflows ``echo``, ``wait`` and ``fails``; shared, so tests use instance ids of their own."""
    with Workerd() as engine:
        yield engine


@pytest.fixture
def make_workerd() -> Iterator[Callable[[Mapping[str, str]], Workerd]]:
    """Makes engines of one's own, with workflows by name; they are running, and end with the test."""
    engines: list[Workerd] = []

    def make(workflows: Mapping[str, str]) -> Workerd:
        engines.append(Workerd(workflows))
        return engines[-1].start()

    yield make
    for engine in engines:
        engine.close()
