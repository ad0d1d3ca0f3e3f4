"""A new user's path: the examples of helm/README.md as they stand there, rendered, and their configuration checked."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.helm.chart import (
    CHART,
    VERSIONS,
    bridge_container,
    containers,
    manifests,
    mistakes,
    of_kind,
    pod_of,
    rendered,
    restricted_violations,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.helm.chart import Manifest

README = (CHART / "README.md").read_text()
EXAMPLES = re.findall(r"```yaml\n# values\.yaml\n(.*?)```", README, re.DOTALL)
POD_INDEX = {"metadata.labels['apps.kubernetes.io/pod-index']": "0"}


def environment(container: Manifest, config: Path) -> Mapping[str, str]:
    """What the container's process would see, in the first Pod; configuration and token being here."""
    token = config.with_name("token")
    token.write_text("of-the-secret")
    here = {"WORKFLOW_BRIDGE_CONFIG": str(config), "WORKFLOW_BRIDGE_TARGETS__MAIN__API_TOKEN_FILE": str(token)}
    given = {
        e["name"]: e["value"] if "value" in e else POD_INDEX[e["valueFrom"]["fieldRef"]["fieldPath"]]
        for e in container["env"]
    }
    return {**os.environ, **given, **here}


@pytest.mark.parametrize(
    "number", range(len(EXAMPLES)), ids=lambda number: str(yaml.safe_load(EXAMPLES[number])["mode"])
)
def test_the_example_is_ready_to_apply(number: int, tmp_path: Path) -> None:
    """Rendered, taken by each version, restricted in every container; ``workflow-bridge check`` finds nothing wrong."""
    values = tmp_path / "values.yaml"
    values.write_text(EXAMPLES[number])
    text = rendered(values)
    for version in VERSIONS:
        assert [mistake for manifest in manifests(text) for mistake in mistakes(manifest, version)] == []
        pods = [pod for manifest in manifests(text) if (pod := pod_of(manifest))]
        assert [violation for pod in pods for violation in restricted_violations(pod, version)] == []
    config = tmp_path / "bridge.yaml"
    config.write_text(of_kind(text, "ConfigMap")["data"]["bridge.yaml"])
    done = subprocess.run(
        [sys.executable, "-m", "bridge", "check", "--strict"],
        env=environment(bridge_container(text), config),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_both_kinds_of_use_are_shown(tmp_path: Path) -> None:
    """On its own, and beside an application that has a container of its own."""
    assert [yaml.safe_load(example)["mode"] for example in EXAMPLES] == ["statefulset", "sidecar"]
    values = tmp_path / "values.yaml"
    values.write_text(EXAMPLES[1])
    (pod,) = [pod for manifest in manifests(rendered(values)) if (pod := pod_of(manifest))]
    assert [container["name"] for container in containers(pod)] == ["workflow-bridge", "order-service"]


def test_the_readme_names_files_that_exist() -> None:
    """Its links into the repository lead somewhere."""
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", README)
    assert links
    assert [link for link in links if not (CHART / link).exists()] == []


def test_the_backup_is_a_whole_copy_beside_a_writer(tmp_path: Path) -> None:
    """The command of the page, on a database that a process has open in the mode that the outbox is in."""
    code = README.partition('python3 -c "')[2].partition('"\n')[0].replace('\\"', '"')
    outbox = tmp_path / "outbox.db"
    with contextlib.closing(sqlite3.connect(outbox)) as writer:
        writer.executescript("pragma journal_mode = wal; create table entries (id integer primary key)")
        writer.executemany("insert into entries values (?)", ((number,) for number in range(1000)))
        writer.commit()
        subprocess.run([sys.executable, "-c", code.replace("/var/lib/workflow-bridge", str(tmp_path))], check=True)
    with contextlib.closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        assert copy.execute("select count(*) from entries").fetchone() == (1000,)
        assert copy.execute("pragma integrity_check").fetchone() == ("ok",)
