"""Asks a bridge's health listener, as Kubernetes would; for the command line and the demo."""

from __future__ import annotations

import http.client

SECONDS = 2.0


def ask(host: str, port: int, path: str) -> bool:
    """Whether the probe is answered with success within two seconds."""
    connection = http.client.HTTPConnection(host, port, timeout=SECONDS)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
