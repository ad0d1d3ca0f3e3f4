"""The transport over httpx: any httpx transport can stand behind it, also one that only pretends."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Self

import httpx

from bridge.cloudflare.transport import CONNECT_SECONDS, IDLE_SECONDS, Answer, check_size, joined, unknown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridge.cloudflare.settings import TargetSettings

_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


class HttpxTransport:
    """Keeps the promises of ``bridge.cloudflare.transport.Transport`` over an httpx transport."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner

    @classmethod
    def from_settings(cls, settings: TargetSettings) -> Self:
        """Over real connections. Raises OSError or ssl.SSLError when ``ca_file`` cannot be used."""
        context = ssl.create_default_context()
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if settings.ca_file is not None:
            context.load_verify_locations(settings.ca_file)
        limits = httpx.Limits(
            max_connections=settings.concurrency,
            max_keepalive_connections=settings.concurrency,
            keepalive_expiry=IDLE_SECONDS,
        )
        proxy = None if settings.proxy is None else httpx.Proxy(settings.proxy.get_secret_value())
        return cls(httpx.AsyncHTTPTransport(verify=context, trust_env=False, limits=limits, proxy=proxy))

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout_seconds: float
    ) -> Answer:
        """See Transport."""
        limits = httpx.Timeout(timeout_seconds, connect=min(timeout_seconds, CONNECT_SECONDS)).as_dict()
        request = httpx.Request(method, url, headers=headers, content=body, extensions={"timeout": limits})
        try:
            async with asyncio.timeout(timeout_seconds):
                return await self._exchange(request)
        except _NEVER_SENT as error:
            raise unknown("connect", type(error).__name__) from None
        except (TimeoutError, httpx.TimeoutException):
            raise unknown("timeout") from None
        except httpx.HTTPError as error:
            raise unknown("connection_lost", type(error).__name__) from None

    async def close(self) -> None:
        """See Transport."""
        await self._inner.aclose()

    async def _exchange(self, request: httpx.Request) -> Answer:
        response = await self._inner.handle_async_request(request)
        try:
            content = await _read(response)
        finally:
            await response.aclose()
        pairs = ((name.lower(), value) for name, value in response.headers.multi_items())
        return Answer(response.status_code, joined(pairs), content)


async def _read(response: httpx.Response) -> bytes:
    check_size(int(response.headers.get("content-length", "0")))
    stream = response.stream  # aiter_raw would refuse a response that a pretending transport made with its content
    assert isinstance(stream, httpx.AsyncByteStream)  # noqa: S101  the response is of an asynchronous transport
    parts: list[bytes] = []
    size = 0
    async for part in stream:
        parts.append(part)
        size += len(part)
        check_size(size)
    return b"".join(parts)
