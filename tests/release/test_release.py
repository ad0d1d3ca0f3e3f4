"""What a release rests on: one version, workflows that give nothing away, and artefacts that can be made here."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.release.versions import notes, problems, versions

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PINNED = re.compile(r"uses: (?:\./\.github/workflows/[a-z]+\.yml|[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d[\d.]*)\n")


def workflow(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def test_there_is_one_version() -> None:
    """Package, project, chart and changelog name the same."""
    assert problems(None) == []
    assert len({*versions().values()}) == 1


def test_a_release_needs_its_tag_and_its_date(tmp_path: Path) -> None:
    """Another tag, a chart that was forgotten, and a section without a day are told, each by its place."""
    for name in ("pyproject.toml", "CHANGELOG.md", "bridge/__init__.py", "helm/Chart.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)
    version = versions()["pyproject.toml"]
    changelog = tmp_path / "CHANGELOG.md"
    changelog.write_text(re.sub(rf"(## \[{version}\] - ).*", r"\g<1>unreleased", changelog.read_text()))
    assert [line.split(":")[0] for line in problems(f"v{version}", tmp_path)] == ["CHANGELOG.md"]
    changelog.write_text(changelog.read_text().replace("unreleased", "2026-12-24", 1))
    assert problems(f"v{version}", tmp_path) == []
    assert len(problems("v9.9.9", tmp_path)) == 1
    chart = tmp_path / "helm/Chart.yaml"
    chart.write_text(chart.read_text().replace(f"appVersion: {version}", "appVersion: 9.9.9"))
    assert [line.split(" names")[0] for line in problems(None, tmp_path)] == ["helm/Chart.yaml (appVersion)"]
    assert notes(version, tmp_path)[1].startswith("###")


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: str(path.name))
def test_actions_are_pinned_by_commit(path: Path) -> None:
    """With the version beside it for people; what is in this repository needs none."""
    lines = [line.strip().removeprefix("- ") + "\n" for line in path.read_text().splitlines() if "uses:" in line]
    assert [line for line in lines if not PINNED.fullmatch(line)] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: str(path.name))
def test_jobs_have_only_the_permissions_that_they_need(path: Path) -> None:
    """Nothing by default; writing is for what publishes; no checkout leaves its token behind."""
    found = workflow(path)
    assert found["permissions"] == {}
    for name, job in found["jobs"].items():
        writes = {scope for scope, level in job["permissions"].items() if level == "write"}
        assert writes <= {"publish": {"contents", "packages", "id-token"}}.get(name, {"packages"})
        assert writes == set() or path.stem in {"image", "release"}
        steps = job.get("steps", ())
        assert all(s["with"]["persist-credentials"] is False for s in steps if "checkout" in s.get("uses", ""))
        assert "steps" not in job or job["timeout-minutes"] <= 90


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: str(path.name))
def test_no_command_is_made_of_what_others_write(path: Path) -> None:
    """Expressions come into scripts by the environment, never as their text."""
    scripts = [step["run"] for job in workflow(path)["jobs"].values() for step in job.get("steps", ()) if "run" in step]
    assert [script for script in scripts if "${{" in script] == []


def test_nothing_is_published_that_was_not_tested() -> None:
    """Images wait for the tests and the versions, the release for the images."""
    jobs = workflow(ROOT / ".github/workflows/release.yml")["jobs"]
    assert jobs["test"]["uses"] == "./.github/workflows/ci.yml"
    assert all(set(jobs[name]["needs"]) == {"test", "check"} for name in ("image-amd64", "image-arm64"))
    assert set(jobs["publish"]["needs"]) == {"image-amd64", "image-arm64"}
    build = (ROOT / ".github/workflows/image.yml").read_text()
    assert "--sbom=true" in build
    assert "--provenance=mode=max" in build
    assert ".ci/run" in (ROOT / ".github/workflows/ci.yml").read_text()


def test_chart_and_package_are_made(tmp_path: Path) -> None:
    """``make dist`` packs both; the chart has alerts and schema, and nothing of its tests."""
    made = subprocess.run(["make", "dist", f"DIST={tmp_path}"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    version = versions()["pyproject.toml"]
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {f"workflow-bridge-{version}.tgz", f"workflow_bridge-{version}-py3-none-any.whl"}
    listed = subprocess.run(
        ["tar", "tzf", tmp_path / f"workflow-bridge-{version}.tgz"], capture_output=True, check=True
    )
    files = {line.partition("/")[2] for line in listed.stdout.decode().splitlines()}
    assert {
        "Chart.yaml",
        "values.schema.json",
        "alerts/workflow-bridge.rules.yaml",
        "dashboards/workflow-bridge.json",
    } <= files
    assert not [name for name in files if name.startswith(("ci/", "kustomize/")) or name.endswith(".py")]
