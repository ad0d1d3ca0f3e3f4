"""The image, built with the repository's Dockerfile and run as a cluster with the restricted profile runs it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import bridge
from bridge.demo.broker import EmbeddedBroker
from docker.slim import without_symbols
from tests.helm.chart import bridge_container, case, of_kind, rendered
from tests.image.running import Running
from tests.services.containers import ROOT, build, exported, run
from tests.services.ports import free_ports
from tests.services.tools import HADOLINT, tool

if TYPE_CHECKING:
    from bridge.emulator.fixture import RunningEmulator

pytestmark = pytest.mark.containers
OURS_BYTES = 60_000_000
READY_SECONDS = 1.5
GRACE_SECONDS = 20.0
TOKEN = "/run/secrets/cloudflare/token"  # noqa: S105  where it is


class Pod:
    """The sidecar as the chart renders it for these brokers, and what its volumes hold."""

    def __init__(self, folder: Path, emulator: RunningEmulator, kafka: str) -> None:
        """Everything listens on loopback, as the container shares this machine's."""
        (self.port,) = free_ports(1)
        target = {"account_id": emulator.account_id, "api_token_file": TOKEN, "base_url": emulator.base_url}
        source = {"type": "kafka", "bootstrap_servers": [kafka], "topics": ["shop.orders"], "group_id": "bridge"}
        rule = {"name": "order-created", "create": {"workflow": "fulfil-order", "id": "order-${body.id}"}}
        config = {"targets": {"main": target}, "sources": {"orders": source}, "rules": [rule]}
        text = rendered(
            case("sidecar"),
            sets=(
                f"config={json.dumps({**config, 'dead_letters': 'discard'})}",
                f"health.port={self.port}",
                "probes.readiness.enabled=true",
                'extraEnv=[{"name": "WORKFLOW_BRIDGE_HEALTH__HOST", "value": "127.0.0.1"}]',
            ),
        )
        self.container = bridge_container(text)
        contents = {
            "bridge-config": of_kind(text, "ConfigMap")["data"],
            "bridge-cloudflare": {"token": emulator.token},
            "bridge-data": {},
            "bridge-tmp": {},
        }
        self._mounts = {}
        for mount in self.container["volumeMounts"]:
            volume = folder / mount["name"]
            volume.mkdir()
            volume.chmod(0o777)  # as an emptyDir is
            for name, content in contents[mount["name"]].items():
                (volume / name).write_text(content)
            self._mounts[volume] = mount["mountPath"] + ("" if mount.get("readOnly") else ":rw")

    def start(self, image: str) -> Running:
        """A container with the manifest's arguments, environment, mounts and security context."""
        security = self.container["securityContext"]
        assert (security["readOnlyRootFilesystem"], security["allowPrivilegeEscalation"]) == (True, False)
        return Running(
            image,
            mounts=self._mounts,
            arguments=self.container["args"],
            environment=[f"{variable['name']}={variable['value']}" for variable in self.container["env"]],
            options=[
                f"--user={security['runAsUser']}:{security['runAsGroup']}",
                *(f"--cap-drop={capability.lower()}" for capability in security["capabilities"]["drop"]),
                "--read-only",
                "--security-opt=no-new-privileges",
                f"--memory={self.container['resources']['limits']['memory'].removesuffix('i').lower()}",
            ],
        )

    def url(self, probe: str) -> str:
        """What a kubelet would ask."""
        asked = self.container[f"{probe}Probe"]["httpGet"]
        return f"http://127.0.0.1:{asked['port']}{asked['path']}"


@pytest.fixture
def slow_emulator(workflows_emulator: RunningEmulator) -> RunningEmulator:
    """Each answer takes a second: something is under way when a stop comes."""
    workflows_emulator.fault(do="delay", seconds=1.0)
    return workflows_emulator


def test_it_stops_in_time_and_loses_no_call(image: str, slow_emulator: RunningEmulator, tmp_path: Path) -> None:
    """The rendered sidecar: ready in time, its probes answered; on SIGTERM PID 1 ends what is under way, once."""
    with EmbeddedBroker() as broker:
        broker.create_topic("shop.orders")
        pod = Pod(tmp_path, slow_emulator, broker.bootstrap)
        with pod.start(image) as running:
            running.wait_for(pod.url("startup"))
            assert running.cpu_seconds <= READY_SECONDS  # it waits for nothing else; others may have the processors
            for probe in ("startup", "liveness", "readiness"):
                running.wait_for(pod.url(probe))
            status = running.status()
            assert status["Uid"] == "10001 10001 10001 10001"
            assert status["Gid"] == "10001 10001 10001 10001"
            assert {status[name] for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0000000000000000"}
            assert status["NoNewPrivs"] == "1"
            assert status["NSpid"].split()[-1] == "1"
            running.execute("workflow-bridge", "healthcheck", "--port", str(pod.port), "--ready")
            broker.produce("shop.orders", "1", b'{"id": 1}', lambda *_: None)
            broker.flush()
            _wait_for_request(slow_emulator)
            code, seconds = running.terminate(GRACE_SECONDS)
            assert (code, seconds < 10 + 5) == (0, True)
            assert "stopped" in {line["event"] for line in running.events()}
        assert slow_emulator.instance("fulfil-order", "order-1") is not None
        with pod.start(image) as again:
            again.wait_for(pod.url("readiness"))
            _wait_for_assignment(again)
            again.terminate(GRACE_SECONDS)
    assert len(slow_emulator.records) == 1, "the broker was told before the process ended"


def test_its_hook_delivers_what_is_there(image: str, slow_emulator: RunningEmulator, tmp_path: Path) -> None:
    """preStop, as rendered: it ends well when the call under way has, and the process with it."""
    with EmbeddedBroker() as broker:
        broker.create_topic("shop.orders")
        pod = Pod(tmp_path, slow_emulator, broker.bootstrap)
        with pod.start(image) as running:
            running.wait_for(pod.url("readiness"))
            broker.produce("shop.orders", "1", b'{"id": 1}', lambda *_: None)
            broker.flush()
            _wait_for_request(slow_emulator)
            told = running.hook(*pod.container["lifecycle"]["preStop"]["exec"]["command"])
            assert told == "drained"
            assert running.ended(GRACE_SECONDS) == 0
    assert slow_emulator.instance("fulfil-order", "order-1") is not None


def _wait_for_request(emulator: RunningEmulator) -> None:
    end = time.monotonic() + 60
    while not emulator.records:
        assert time.monotonic() < end
        time.sleep(0.01)


def _wait_for_assignment(container: Running) -> None:
    end = time.monotonic() + 60
    while "partitions_assigned" not in {line["event"] for line in container.events()}:
        assert time.monotonic() < end
        time.sleep(0.05)


def test_the_health_check_is_ours(image: str) -> None:
    """Docker and compose ask the bridge itself: there is no curl."""
    config = json.loads(run("podman", "image", "inspect", "--format={{json .Config}}", image))
    assert config["User"] == "10001:10001"
    assert config["Entrypoint"] == ["workflow-bridge"]
    assert config["StopSignal"] == "SIGTERM"
    health = json.loads(run("podman", "image", "inspect", "--format={{json .HealthCheck}}", image))
    assert health["Test"] == ["CMD", "workflow-bridge", "healthcheck"]
    assert config["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0"


def test_what_is_above_the_base_is_small_and_needs_no_tools(image: str, tmp_path: Path) -> None:
    """At most 60 MB unpacked, the bridge and its libraries; no pip, compiler or test framework is there."""
    ours = exported(image, tmp_path / "image").layers[-1]
    assert ours.unpacked_bytes <= OURS_BYTES
    assert {name.split("/")[0] for name in ours.files} <= {"opt", "usr", "var", "run", "etc"}
    found = run("podman", "run", "--rm", "--network=host", "--entrypoint=python3", image, "-c", FIND_TOOLS)
    assert found == "[]"


FIND_TOOLS = """
import importlib.util, shutil
tools = [name for name in ("pip", "pip3", "uv", "gcc", "cc", "make", "curl", "wget") if shutil.which(name)]
print(tools + [name for name in ("pip", "ensurepip", "pytest", "hatchling") if importlib.util.find_spec(name)])
"""


def test_it_is_the_same_when_it_is_built_again(image: str, stand_in: str, tmp_path: Path) -> None:
    """Without any cache: the same digest of the manifest, so the same bytes of every file, time and owner."""
    tag = "localhost/workflow-bridge:again"
    build(tag, stand_in)
    first, second = (exported(name, tmp_path / str(number)) for number, name in enumerate((image, tag)))
    run("podman", "image", "rm", tag)
    mine, theirs = first.layers[-1].files, second.layers[-1].files
    assert {name for name in mine.keys() | theirs if mine.get(name) != theirs.get(name)} == set()
    assert first.digest == second.digest


def test_the_installed_version_is_ours(image: str) -> None:
    """And the command runs without a writable place."""
    shown = run("podman", "run", "--rm", "--network=host", "--read-only", "--cap-drop=all", image, "--version")
    assert shown.split()[-1] == bridge.__version__


def test_hadolint_finds_nothing() -> None:
    """With no rule left out."""
    done = subprocess.run([tool(HADOLINT), ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.stdout == ""
    assert done.returncode == 0


def test_the_base_is_pinned_and_its_name_is_an_argument() -> None:
    """By digest; whoever wants another one names it, and nothing secret can be given as an argument."""
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    arguments = [line.split()[1].partition("=") for line in lines if line.startswith("ARG ")]
    assert {name for name, _, _ in arguments} == {"PYTHON_IMAGE", "EXTRAS", "VERSION", "REVISION", "CREATED"}
    assert "@sha256:" in next(value for name, _, value in arguments if name == "PYTHON_IMAGE")
    assert {line for line in lines if line.startswith("FROM ")} == {
        "FROM ${PYTHON_IMAGE}",
        "FROM ${PYTHON_IMAGE} AS build",
    }


def test_libraries_without_symbols_still_load(tmp_path: Path) -> None:
    """The loader needs none of what is cut off; another file is left as it is."""
    import _ctypes  # noqa: PLC0415  a shared library that every Python has

    library = Path(_ctypes.__file__)
    cut = tmp_path / library.name
    cut.write_bytes(without_symbols(library.read_bytes() + b"debugging information behind the last segment"))
    assert cut.stat().st_size <= library.stat().st_size
    load = (
        "import importlib.util as u, sys; print(u.module_from_spec(u.spec_from_file_location('_ctypes', sys.argv[1])))"
    )
    assert not subprocess.run([sys.executable, "-c", load, cut], check=True).returncode
    assert without_symbols(b"#!/bin/sh\n") == b"#!/bin/sh\n"
