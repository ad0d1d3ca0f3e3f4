"""Where a running bridge is reached by commands on the same machine, or in the same container: a local socket.

Its name is abstract (Linux): it needs no file, no port and no secret, and is gone with its process. Only the user that
runs the bridge, and root, are listened to.
"""

from __future__ import annotations

import os
import socket
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

MAX_LINE_BYTES = 64 << 20  # of one request or answer: some letters with bodies of megabytes


def of_outbox(path: Path) -> str:
    """The name for a bridge that owns this outbox file, under whichever path. Raises OSError where there is none."""
    status = path.stat()
    return f"\0workflow-bridge/outbox/{status.st_dev}/{status.st_ino}"


def of_health(port: int) -> str:
    """The name for a bridge without a file, by the port of its health listener, which no other one here has."""
    return f"\0workflow-bridge/health/{port}"


def listening(name: str) -> socket.socket:
    """Raises OSError where somebody has the name."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        made.bind(name)
        made.listen()
        made.settimeout(0)
    except OSError:
        made.close()
        raise
    return made


def connected(name: str, seconds: float) -> socket.socket:
    """A connection to who listens there. Raises OSError: nobody does."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.settimeout(seconds)
    try:
        made.connect(name)
    except OSError:
        made.close()
        raise
    return made


def is_ours(connection: socket.socket) -> bool:
    """Whether the other end runs as this user, or as root."""
    size = struct.calcsize("3i")
    _, user, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return user in {os.geteuid(), 0}
