"""Images built and run without a container service: buildah and podman with a store of their own, as root.

The published base image cannot be pulled everywhere. What stands for it is made of Debian's packages, of the same
release and Python version, and laid out like it (``base_image.sh``).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

import pytest

from tests.services.presence import missing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).parents[2]
CACHE = Path.home() / ".cache" / "workflow-bridge" / "images"
STAND_IN = "localhost/python-stand-in:trixie-2"  # the number changes with base_image.sh
PACKAGES = "python3,python3-venv,ca-certificates"
# Without systemd: control groups by files; nor may a process inside raise its own limits.
CONTAINERS_CONF = """[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
"""
EPOCH = "1700000000"  # SOURCE_DATE_EPOCH of the test's images
PROGRAMS = ("buildah", "podman", "runc", "mmdebstrap")


class Layer(NamedTuple):
    """One layer of an image."""

    packed_bytes: int
    unpacked_bytes: int
    files: Mapping[str, str]  # path -> SHA-256


class Command(NamedTuple):
    """What to start, and in which environment."""

    words: Sequence[str]
    environment: Mapping[str, str]


def command(program: str, *words: str | Path) -> Command:
    """A command of buildah or podman on our store."""
    options = [f"--root={CACHE / 'store'}", f"--runroot={CACHE / 'run'}", "--storage-driver=overlay"]
    if program == "podman":
        options.append(f"--tmpdir={CACHE / 'tmp'}")
    environment = {**os.environ, "CONTAINERS_CONF": str(CACHE / "containers.conf")}
    return Command([program, *options, *map(str, words)], environment)


def run(program: str, *words: str | Path, timeout: float = 300) -> str:
    """Run buildah or podman and give back what it printed. Raises AssertionError with its words."""
    called = command(program, *words)
    done = subprocess.run(
        called.words, capture_output=True, text=True, timeout=timeout, check=False, env=called.environment
    )
    assert done.returncode == 0, f"{' '.join(called.words)}: exit {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout.strip()


def make_stand_in() -> None:
    """Have the stand-in for the base image; made the first time, in half a minute."""
    CACHE.mkdir(parents=True, exist_ok=True)
    (CACHE / "containers.conf").write_text(CONTAINERS_CONF)
    with contextlib.suppress(AssertionError):
        run("buildah", "inspect", "--type=image", STAND_IN)
        return
    with tempfile.TemporaryDirectory() as folder:
        tar, hook = Path(folder) / "base.tar", Path(__file__).with_name("base_image.sh")
        options = ["--quiet", "--variant=minbase", f"--include={PACKAGES}", "--skip=check/signed-by"]
        command = ["mmdebstrap", *options, f'--customize-hook=sh {hook} "$1"', "trixie", str(tar)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, done.stderr
        (Path(folder) / "Dockerfile").write_text(
            "FROM scratch\nADD base.tar /\nENV PATH=/usr/local/bin:/usr/bin:/bin\n"
        )
        run("buildah", "build", "--isolation=chroot", "--tag", STAND_IN, folder)


@pytest.fixture(scope="session")
def stand_in() -> str:
    """The image that stands for the published base."""
    absent = [program for program in PROGRAMS if shutil.which(program) is None]
    if absent or os.geteuid() != 0:
        missing(f"root, and {', '.join(absent or PROGRAMS)}")
    make_stand_in()
    return STAND_IN


def build(tag: str, base: str, *, context: Path = ROOT, arguments: Sequence[str] = ()) -> None:
    """Build the repository's Dockerfile on this base. pip is as it is set up here."""
    volumes = [f"--volume={path}:{path}:ro" for path in ("/etc/pip.conf", "/etc/ssl/certs") if Path(path).exists()]
    options = ["--pull-never", "--no-cache", "--layers=false", "--isolation=chroot", "--network=host"]
    build_arguments = [f"--build-arg={argument}" for argument in (f"PYTHON_IMAGE={base}", *arguments)]
    form = ["--format=docker", f"--timestamp={EPOCH}", f"--tag={tag}"]
    run("buildah", "build", *options, *volumes, *build_arguments, *form, context, timeout=600)


@pytest.fixture(scope="session")
def image(stand_in: str) -> Iterator[str]:
    """Our image, built with the repository's Dockerfile."""
    tag = "localhost/workflow-bridge:test"
    build(tag, stand_in)
    yield tag
    run("podman", "image", "rm", "--force", tag)


class Exported(NamedTuple):
    """An image in the form of the OCI."""

    digest: str  # of its manifest, which names layers and settings by theirs
    layers: Sequence[Layer]  # lowest first


def exported(image: str, folder: Path, *, packed: bool = False) -> Exported:
    """What an image consists of; ``folder`` holds it as files meanwhile. packed: compressed, as a registry has it."""
    options = ["--quiet"] if packed else ["--quiet", "--disable-compression"]
    run("buildah", "push", *options, image, f"oci:{folder}")

    def blob(digest: str) -> Path:
        return folder / "blobs" / "sha256" / digest.removeprefix("sha256:")

    (manifest,) = json.loads((folder / "index.json").read_text())["manifests"]
    found = []
    for layer in json.loads(blob(manifest["digest"]).read_text())["layers"]:
        with tarfile.open(blob(layer["digest"])) as archive:
            sizes = {member: member.size for member in archive if member.isfile()}
            files = {member.name: _digest(archive.extractfile(member)) for member in sizes}
            found.append(Layer(layer["size"], sum(sizes.values()), files))
    return Exported(manifest["digest"], found)


def _digest(file: IO[bytes] | None) -> str:
    assert file is not None
    return hashlib.sha256(file.read()).hexdigest()
