"""Files of npm packages, fetched once into the cache by npm itself."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.services.presence import missing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def made_once(cache: Path, make: Callable[[Path, Path], None]) -> Path:
    """``cache``, filled the first time by ``make(work, ready)``: what it puts into ``ready``. Never seen half-done."""
    if cache.exists():
        return cache
    cache.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache.parent) as name:
        ready = Path(name) / "ready"
        ready.mkdir()
        make(Path(name), ready)
        try:
            ready.rename(cache)
        except OSError:
            if not cache.exists():  # else another process was faster
                raise
    return cache


def fetch(package: str, folder: Path, wanted: Mapping[str, str], target: Path, sha512: str = "") -> None:
    """Move files of a package to ``target``: name there -> path in it. folder: to work in, new.

    sha512: of its archive, in base64; "": npm's own check is enough. Another archive is not unpacked.
    """
    if shutil.which("npm") is None:
        missing(f"npm (for {package})")
    folder.mkdir()
    command = ["npm", "pack", "--silent", package]
    try:
        done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=300)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        missing(f"{package} from npm ({error})")
    archive = folder / done.stdout.split()[-1]
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    assert sha512 in {"", digest}, f"the archive of {package} is another one: {digest}"
    shutil.unpack_archive(archive, folder, filter="data")
    for name, path in wanted.items():
        shutil.move(folder / "package" / path, target / name)
