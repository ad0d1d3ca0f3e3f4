"""Asks a bridge's health listener from outside; for the command line and the demo."""

from __future__ import annotations

import http.client

ANSWER_BYTES = 4 << 20


def answer(host: str, port: int, path: str, seconds: float = 3.0) -> tuple[int, str]:
    """HTTP status and body. Raises OSError or http.client.HTTPException where there is no answer."""
    connection = http.client.HTTPConnection(host, port, timeout=seconds)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read(ANSWER_BYTES).decode(errors="replace")
    finally:
        connection.close()


def read(host: str, port: int, path: str) -> str:
    """The body of a success; "" for anything else."""
    try:
        status, body = answer(host, port, path)
    except (OSError, http.client.HTTPException):
        return ""
    return body if status == http.HTTPStatus.OK else ""
