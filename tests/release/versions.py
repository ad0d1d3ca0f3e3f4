"""``python tests/release/versions.py``: whether all places name one version; for a release its tag and date too.

Needs nothing but Python: a release asks it before anything is built.
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLACES = {
    "bridge/__init__.py": r'^__version__ = "(.+)"$',
    "helm/Chart.yaml": r"^version: (.+)$",
    "helm/Chart.yaml (appVersion)": r"^appVersion: (.+)$",
}


def versions(root: Path = ROOT) -> dict[str, str]:
    """Place -> the version that it names; "" where it names none."""
    found = {"pyproject.toml": tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]}
    for place, pattern in PLACES.items():
        match = re.search(pattern, (root / place.split()[0]).read_text(), re.MULTILINE)
        found[place] = match[1].strip('"') if match else ""
    return found


def notes(version: str, root: Path = ROOT) -> tuple[str, str]:
    """When a version was released, by the changelog ("unreleased", "" for one that is not there), and its section."""
    text = (root / "CHANGELOG.md").read_text()
    match = re.search(rf"^## \[{re.escape(version)}\] - (.+?)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return (match[1].strip(), match[2].strip()) if match else ("", "")


def problems(tag: str | None, root: Path = ROOT) -> list[str]:
    """What keeps this from being a release, or without a tag from being consistent."""
    named = versions(root)
    version = named["pyproject.toml"]
    found = [
        f"{place} names {other or 'none'}, pyproject.toml {version}"
        for place, other in named.items()
        if other != version
    ]
    date, _ = notes(version, root)
    if not date:
        found.append(f"CHANGELOG.md has no section [{version}]")
    if tag is not None and tag != f"v{version}":
        found.append(f"the tag is {tag}, the version {version}")
    if tag is not None and not re.fullmatch(r"\d{4}-\d\d-\d\d", date):
        found.append(f"CHANGELOG.md: [{version}] is {date or 'absent'}; write the day of the release there")
    return found


def main() -> None:
    """Exit 1 with what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tag", help="The release's tag, such as v1.2.3.")
    parser.add_argument("--notes", action="store_true", help="Print the changelog's section of the version.")
    given = parser.parse_args()
    if given.notes:
        print(notes(versions()["pyproject.toml"])[1])  # noqa: T201  a command prints
        return
    found = problems(given.tag)
    if found:
        sys.exit("\n".join(found))
    print(f"all places name {versions()['pyproject.toml']}")  # noqa: T201  a command prints


if __name__ == "__main__":
    main()
