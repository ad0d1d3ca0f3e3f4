"""The seam below the client: one HTTP request out, one answer back; what it means is decided elsewhere."""

from __future__ import annotations

import ssl
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, Protocol

from pyreqwest.client import ClientBuilder
from pyreqwest.exceptions import (
    BuilderError,
    DetailedPyreqwestError,
    PyreqwestError,
    RequestTimeoutError,
)
from pyreqwest.proxy import ProxyBuilder

from bridge.errors import ApiUnknown, ConfigError, Problem
from bridge.secrecy import redact

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pyreqwest.client import Client
    from pyreqwest.response import Response

    from bridge.cloudflare.settings import TargetSettings

MAX_ANSWER_BYTES = 16 << 20  # an instance with its params, its output and thousands of steps is far below
CONNECT_SECONDS = 10.0  # name, TCP and TLS; the request's own time limit runs meanwhile
IDLE_SECONDS = 30.0  # a kept connection is dropped before servers drop it, so that it is seldom found dead
PING_SECONDS = 15.0  # HTTP/2: a connection that is gone without a word is noticed while requests wait on it


class Answer(NamedTuple):
    """What a server said."""

    status: int
    headers: Mapping[str, str]  # names in lower case; values of a repeated name are joined by ", "
    body: bytes


class Transport(Protocol):
    """Sends one request at a time, any number at once. Never follows a redirect, never reads the environment."""

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout_seconds: float
    ) -> Answer:
        """Return the answer, whatever its status.

        Raises ApiUnknown, with the reason "connect" (nothing was sent), "timeout" (no complete answer in time),
        "connection_lost" (it broke after something may have been sent) or "no_envelope" (more than MAX_ANSWER_BYTES).
        Cancelling ends the wait for the answer; the request itself may go on until its time limit.
        """

    async def close(self) -> None:
        """Drop the connections; may be called more than once."""


def open_transport(settings: TargetSettings) -> Transport:
    """The transport that the settings ask for. Raises ConfigError where ``ca_file`` cannot be used."""
    check_authorities(settings)
    try:
        if settings.http == "httpx":
            from bridge.cloudflare.httpx_transport import HttpxTransport  # noqa: PLC0415  10 MB that few processes need

            return HttpxTransport.from_settings(settings)
        return FastTransport(settings)
    except (OSError, ValueError) as error:  # it has changed since it was checked
        raise ConfigError([Problem("ca_file", f"{settings.ca_file} cannot be used: {error}")]) from None


def check_authorities(settings: TargetSettings) -> None:
    """Raises ConfigError where ``ca_file`` holds no certificates; the fast client would take it for an empty list."""
    if settings.ca_file is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(settings.ca_file)
    except OSError as error:
        what = f"{settings.ca_file} holds no certificates that can be used: {error.strerror or error}"
        raise ConfigError([Problem("ca_file", what)]) from None


class FastTransport:
    """HTTP/1.1 with kept connections, HTTP/2 where TLS offers it; everything but the bytes is done outside Python."""

    def __init__(self, settings: TargetSettings) -> None:
        self._client = _client(settings)

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout_seconds: float
    ) -> Answer:
        """See Transport."""
        try:
            request = self._client.request(method, url).headers(headers).timeout(_duration(timeout_seconds))
            if body is not None:
                request = request.body_bytes(body)
            async with request.build_streamed() as response:
                content = await _read(response)
                return Answer(response.status, joined(response.headers.items()), content)
        except PyreqwestError as error:
            raise unknown(_reason(error), _detail(error)) from None

    async def close(self) -> None:
        """See Transport."""
        await self._client.close()


def joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Header pairs with names in lower case as a mapping; a name that repeats keeps all its values, in order."""
    headers: dict[str, str] = {}
    for name, value in pairs:
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


_TEXTS = {
    "connect": "could not connect to the API",
    "timeout": "no complete answer in time",
    "connection_lost": "the connection was lost before the answer was complete",
    "no_envelope": f"the answer is larger than {MAX_ANSWER_BYTES} bytes",
}


def unknown(reason: str, detail: str = "") -> ApiUnknown:
    """The error for a request without a usable answer; ``detail`` holds no header and no URL."""
    text = _TEXTS[reason]
    return ApiUnknown(f"{text}: {redact(detail)}" if detail else text, reason)


def check_size(size: int) -> None:
    """Raises ApiUnknown for an answer that is too large to be one."""
    if size > MAX_ANSWER_BYTES:
        raise unknown("no_envelope")


_CONNECT = "client error (Connect)"  # how the library below pyreqwest says that it did not get to sending

_duration = lru_cache(maxsize=64)(lambda seconds: timedelta(seconds=seconds))


def _client(settings: TargetSettings) -> Client:
    builder = (
        ClientBuilder()
        .http2(enable=True)
        .http2_keep_alive_interval(timedelta(seconds=PING_SECONDS))
        .http2_keep_alive_timeout(timedelta(seconds=PING_SECONDS))
        .follow_redirects(enable=False)
        .referer(enable=False)
        .min_tls_version("TLSv1.2")
        .connect_timeout(timedelta(seconds=CONNECT_SECONDS))
        .pool_idle_timeout(timedelta(seconds=IDLE_SECONDS))
        .pool_max_idle_per_host(settings.concurrency)
    )
    # Bodies of answers are small, and the cap on their size counts the bytes that came.
    builder = builder.gzip(enable=False).brotli(enable=False).zstd(enable=False).deflate(enable=False)
    if settings.ca_file is not None:
        builder = builder.add_root_certificate_pem(settings.ca_file.read_bytes())
    if settings.proxy is None:
        return builder.no_proxy().build()
    return builder.proxy(ProxyBuilder.all(settings.proxy.get_secret_value())).build()


async def _read(response: Response) -> bytes:
    length = response.get_header("content-length")
    if length is not None:
        check_size(int(length))
        return bytes(await response.bytes())
    parts: list[bytes] = []
    size = 0
    while (part := await response.body_reader.read_chunk()) is not None:
        parts.append(bytes(part))
        size += len(part)
        check_size(size)
    return b"".join(parts)


def _reason(error: PyreqwestError) -> str:
    """The classes of pyreqwest do not tell: a reset after the request was sent is a ConnectError too."""
    if isinstance(error, BuilderError) or _CONNECT in _causes(error):
        return "connect"
    return "timeout" if isinstance(error, RequestTimeoutError) else "connection_lost"


def _detail(error: PyreqwestError) -> str:
    """The innermost cause, e.g. "Connection refused (os error 111)"; the outer ones name the URL."""
    causes = _causes(error)
    return causes[-1] if len(causes) > 1 else ""


def _causes(error: PyreqwestError) -> list[str]:
    causes = error.details.get("causes") if isinstance(error, DetailedPyreqwestError) else None
    return [str(cause["message"]) for cause in causes or ()]
