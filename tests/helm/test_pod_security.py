"""Kubernetes' own admission code on what the chart renders; on demand, because it compiles for two minutes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.helm.chart import CASES, VERSIONS, case, rendered

CODE = Path(__file__).with_name("pod_security")
pytestmark = pytest.mark.skipif(os.environ.get("POD_SECURITY") != "go", reason="on demand: POD_SECURITY=go, needs Go")


@pytest.fixture(scope="module")
def admission(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, compiled."""
    made: Path = tmp_path_factory.mktemp("pod_security") / "admission"
    subprocess.run(["go", "build", "-o", made, "."], cwd=CODE, check=True, timeout=900)
    return made


def asked(admission: Path, manifests: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([admission, manifests, *VERSIONS], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("name", CASES)
def test_the_restricted_level_admits_every_pod(admission: Path, name: str, tmp_path: Path) -> None:
    """Of each version from 1.29 to 1.36."""
    manifests = tmp_path / "manifests.yaml"
    manifests.write_text(rendered(case(name)))
    done = asked(admission, manifests)
    assert done.returncode == 0, done.stdout


def test_it_names_a_sidecar_that_asks_for_too_much(admission: Path, tmp_path: Path) -> None:
    """Init containers are looked at too."""
    manifests = tmp_path / "manifests.yaml"
    manifests.write_text(rendered(case("sidecar")).replace("allowPrivilegeEscalation: false", "privileged: false"))
    done = asked(admission, manifests)
    assert done.returncode == 1
    assert '"workflow-bridge"' in done.stdout
