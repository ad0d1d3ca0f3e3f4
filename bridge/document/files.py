"""Which files a configuration is read from, and what is in them now; for noticing that one of them has changed."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.document.include import matching, patterns
from bridge.document.reading import read
from bridge.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MOST_BYTES = 16 * 1024 * 1024 + 1  # more than any file that is used has


class Files:
    """A configuration file and those that its ``include:`` matches, looked at again and again.

    By content alone: times and inodes say nothing where a link is pointed elsewhere (Kubernetes' ``..data``), where an
    editor puts a new file in the place of the old, or on a disk in the network.

    further: settings that name files of the same kind, which are looked at with all that they include.
    """

    def __init__(self, path: Path, further: Sequence[str] = ()) -> None:
        self.path = path
        self._settings = further
        self._further: list[Files] = []
        self._digest = ""
        self._patterns: Sequence[str] = ()

    def look(self, more: Iterable[str] = ()) -> Mapping[str, str]:
        """Name of each file -> a digest of its content, "" where it cannot be read. Reads them all.

        more: further files to look at.
        """
        digest = digest_of(self.path)
        if digest != self._digest:
            self._digest = digest
            self._learn()
        found = {str(self.path): digest}
        for pattern in self._patterns:
            found.update({str(file): digest_of(file) for file in matching(self.path.parent, pattern)})
        for files in self._further:
            found.update(files.look())
        found.update({name: digest_of(Path(name)) for name in more if name not in found})
        return found

    def _learn(self) -> None:
        """Read which files are included; those of before, where the file cannot be read as YAML now."""
        try:
            document = read(self.path)
        except ConfigError:
            return
        self._patterns = patterns(document)
        named = [document.value.get(setting) for setting in self._settings]
        self._further = [Files(self.path.parent / name) for name in named if isinstance(name, str)]


def digest_of(file: Path) -> str:
    """Changes when the file's content does, up to MOST_BYTES of it; "" where it cannot be read."""
    try:
        with file.open("rb") as opened:
            return hashlib.sha256(opened.read(MOST_BYTES)).hexdigest()
    except (OSError, ValueError):  # also for what cannot be a name at all
        return ""
