"""Free loopback ports for the servers that tests start."""

from __future__ import annotations

import contextlib
import os
import socket

_next = 20_000 + os.getpid() * 37 % 10_000


def free_ports(count: int) -> list[int]:
    """Ports below the range that the kernel gives to outgoing connections, each handed out once per process."""
    global _next  # noqa: PLW0603  one sequence per process
    ports: list[int] = []
    while len(ports) < count:
        _next = _next + 1 if _next < 32_000 else 20_000
        with contextlib.suppress(OSError), socket.socket() as sock:
            sock.bind(("127.0.0.1", _next))
            ports.append(_next)
    return ports
