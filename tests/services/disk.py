"""A small file system of its own, for what holds an outbox: it can be filled up, and break down under its users."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

from tests.services.presence import missing

BLOCK = bytes(4096)
UNMOUNT_SECONDS = 20
MEMORY = Path("/dev/shm")  # noqa: S108  the image is as quick as the machine's memory, and gone with the machine


class SmallDisk:
    """``with SmallDisk(folder) as disk``: ext4 on a loop device, or a tmpfs where there is none. Needs root."""

    def __init__(self, folder: Path, megabytes: int = 48) -> None:
        self.folder = folder
        self._megabytes = megabytes
        self._ballast = folder / "ballast"
        self._image: Path | None = None

    @property
    def can_break(self) -> bool:
        """Whether ``break_down`` works: a tmpfs cannot become read-only under a process that writes."""
        return self._image is not None

    def __enter__(self) -> Self:
        if os.geteuid():
            missing("a mount of a small file system (root)")
        self.folder.mkdir(parents=True, exist_ok=True)
        self._image = self._new_image()
        if self._image is not None and self._mount():
            return self
        self._forget_image()
        if not _run("mount", "-t", "tmpfs", "-o", f"size={self._megabytes}m", "tmpfs", self.folder):
            missing("a mount of a small file system (CAP_SYS_ADMIN)")
        return self

    def __exit__(self, *_: object) -> None:
        _run("umount", "--lazy", self.folder)  # lazily: a process that was killed a moment ago may still hold a file
        self._forget_image()

    def fill(self) -> int:
        """Leave no room; returns the bytes that it took."""
        with self._ballast.open("ab", buffering=0) as file, suppress(OSError):
            while True:
                file.write(BLOCK)
        return self._ballast.stat().st_size

    def empty(self) -> None:
        """Take away what ``fill`` wrote."""
        self._ballast.unlink(missing_ok=True)

    def break_down(self) -> None:
        """What the kernel does after an error of the disk: read-only at once, also for files open for writing."""
        subprocess.run(["mount", "-o", "remount,abort", self.folder], check=True)

    def repair(self) -> None:
        """What an operator does then: check it and mount it again. Nobody may have a file of it open."""
        deadline = time.monotonic() + UNMOUNT_SECONDS
        while not _run("umount", self.folder):  # a process that was killed a moment ago may still hold a file
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.folder} is in use")
            time.sleep(0.1)
        subprocess.run(["e2fsck", "-p", str(self._image)], check=False, stdout=subprocess.DEVNULL)
        if not self._mount():
            raise RuntimeError(f"{self._image} cannot be mounted again")

    def _new_image(self) -> Path | None:
        if not MEMORY.is_dir() or shutil.which("mkfs.ext4") is None:
            return None
        handle, name = tempfile.mkstemp(prefix="disk-", suffix=".img", dir=MEMORY)
        os.truncate(handle, self._megabytes * 1024 * 1024)
        os.close(handle)
        made = _run("mkfs.ext4", "-q", "-F", "-m", "0", "-b", "4096", name)  # -m 0: no room that only root may fill
        return Path(name) if made else None

    def _forget_image(self) -> None:
        if self._image is not None:
            self._image.unlink(missing_ok=True)
            self._image = None

    def _mount(self) -> bool:
        return _run("mount", "-o", "loop,errors=remount-ro", self._image, self.folder)


def _run(*command: object) -> bool:
    return subprocess.run([str(word) for word in command], check=False, capture_output=True).returncode == 0
