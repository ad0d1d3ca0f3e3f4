"""What is in the files that are read once, when a configuration is taken into use: schemas, certificate authorities.

Secrets, and the certificates of brokers' connections, are read anew where they are used, each time.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from bridge.config.values import settings_of
from bridge.document import digest_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

    from bridge.document import Keys

# In which settings such files stand, below the name of a source or a target.
READ_ONCE: Final[Mapping[str, frozenset[Keys]]] = {
    "sources": frozenset({("schema_file",), ("registry", "ca_file")}),
    "targets": frozenset({("ca_file",)}),
}

Contents = dict[tuple[str, str], dict[str, str]]  # ("sources", its name) -> file -> a digest of what is in it


def digests(contents: Contents) -> Mapping[str, str]:
    """Each file once."""
    return {file: digest for held in contents.values() for file, digest in held.items()}


def contents_of(config: BaseModel) -> Contents:
    """Of each source and target that has such files. Reads them all; a digest is "" where one cannot be read."""
    found: Contents = {}
    for (section, *rest), value in settings_of(config):
        if isinstance(value, Path) and tuple(rest[1:]) in READ_ONCE.get(str(section), ()):
            found.setdefault((str(section), str(rest[0])), {})[str(value)] = digest_of(value)
    return found
