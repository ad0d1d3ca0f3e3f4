"""Both transports keep the one contract, against a real server on bad days."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import warnings
from typing import TYPE_CHECKING, Literal

import orjson
import pytest
import trustme

from bridge.cloudflare.settings import TargetSettings
from bridge.cloudflare.transport import FastTransport, open_transport
from bridge.errors import ApiUnknown
from tests.cloudflare.raw_server import RawServer
from tests.services.presence import missing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from bridge.cloudflare.transport import Answer, Transport

Kind = Literal["fast", "httpx"]
LIMIT_SECONDS = 60.0  # far more than anything here takes
HEADERS = {"authorization": "Bearer token", "content-type": "application/json"}


def settings(**fields: object) -> TargetSettings:
    return TargetSettings.model_validate({"account_id": "a", "api_token": "t", **fields})


@pytest.fixture(params=["fast", "httpx"])
def kind(request: pytest.FixtureRequest) -> Kind:
    return request.param  # type: ignore[no-any-return]  # one of the two above


@pytest.fixture
async def make(kind: Kind) -> AsyncIterator[Callable[..., Transport]]:
    transports: list[Transport] = []

    def make(**fields: object) -> Transport:
        transports.append(open_transport(settings(http=kind, **fields)))
        return transports[-1]

    yield make
    for transport in transports:
        await transport.close()


@pytest.fixture
async def server() -> AsyncIterator[RawServer]:
    async with RawServer() as server:
        yield server


async def post(transport: Transport, url: str, seconds: float = LIMIT_SECONDS) -> Answer:
    return await transport.send("POST", url, HEADERS, b'{"a":1}', seconds)


async def failure(transport: Transport, url: str, seconds: float = LIMIT_SECONDS) -> str:
    async with asyncio.timeout(2 * LIMIT_SECONDS):
        with pytest.raises(ApiUnknown) as caught:
            await post(transport, url, seconds)
    return caught.value.reason


def test_the_settings_choose_the_transport(kind: Kind, make: Callable[..., Transport]) -> None:
    """`http: fast` is the fast one, `http: httpx` is the other."""
    assert isinstance(make(), FastTransport) == (kind == "fast")


async def test_what_is_sent_is_what_arrives(make: Callable[..., Transport], server: RawServer) -> None:
    """Method, path with escapes and query, headers and body reach the server unchanged; status, body return."""
    answer = await make().send("PATCH", f"{server.url}/a%2Fb/c?x=1&y=%20", HEADERS, b"\xc3\xa9", LIMIT_SECONDS)
    seen = server.requests[0]
    assert (seen.method, seen.target, seen.body) == ("PATCH", "/a%2Fb/c?x=1&y=%20", b"\xc3\xa9")
    assert HEADERS.items() <= seen.headers.items()
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert orjson.loads(answer.body)["method"] == "PATCH"


async def test_a_get_has_no_body(make: Callable[..., Transport], server: RawServer) -> None:
    """None as a body sends none."""
    await make().send("GET", f"{server.url}/x", {}, None, LIMIT_SECONDS)
    assert server.requests[0].headers.get("content-length", "0") == "0"


async def test_one_connection_serves_many_requests(make: Callable[..., Transport], server: RawServer) -> None:
    """A connection is kept for the next request."""
    transport = make()
    for _ in range(20):
        await post(transport, f"{server.url}/x")
    assert (len(server.requests), server.connections) == (20, 1)


async def test_any_status_is_an_answer(make: Callable[..., Transport], server: RawServer) -> None:
    """A server error is for the reader of the answer to judge."""
    answer = await post(make(), f"{server.url}/busy")
    assert (answer.status, answer.body) == (503, b"busy")


async def test_redirects_are_not_followed(make: Callable[..., Transport], server: RawServer) -> None:
    """A redirect is an answer: the token goes nowhere but to the configured server."""
    assert (await post(make(), f"{server.url}/redirect")).status == 302
    assert server.counts["/elsewhere"] == 0


async def test_repeated_headers_keep_all_values(make: Callable[..., Transport], server: RawServer) -> None:
    """A header that comes twice is one list, its name in lower case."""
    assert (await post(make(), f"{server.url}/repeat")).headers["x-a"] == "1, 2"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/reset", "connection_lost"),
        ("/cut", "connection_lost"),
        ("/garbage", "connection_lost"),
        ("/big", "no_envelope"),
        ("/big-chunked", "no_envelope"),
    ],
)
async def test_no_whole_answer(make: Callable[..., Transport], server: RawServer, path: str, reason: str) -> None:
    """An answer that breaks off, is not HTTP, or is too large, is unknown with that reason, and was asked for once."""
    transport = make()
    assert await failure(transport, server.url + path) == reason
    assert server.counts[path] == 1
    assert (await post(transport, f"{server.url}/x")).status == 200


@pytest.mark.parametrize("path", ["/slow", "/slow-body", "/drip"])
async def test_time_limit(make: Callable[..., Transport], server: RawServer, path: str) -> None:
    """The time limit covers everything up to the last byte of the answer."""
    assert await failure(make(), server.url + path, seconds=0.5) == "timeout"
    assert server.counts[path] == 1


async def test_nobody_listens(make: Callable[..., Transport], server: RawServer) -> None:
    """No connection at all has a reason of its own: nothing can have been done."""
    url = server.url
    await server.__aexit__()
    assert await failure(make(), f"{url}/x") == "connect"


async def test_cancelling(make: Callable[..., Transport], server: RawServer) -> None:
    """Cancelling returns at once; the request is gone within its time limit, and the transport stays usable."""
    transport = make()
    request = asyncio.create_task(post(transport, f"{server.url}/slow", seconds=0.5))
    async with asyncio.timeout(LIMIT_SECONDS):
        await server.arrived.wait()
        request.cancel()
        await server.left.wait()
    assert request.cancelled()
    assert (await post(transport, f"{server.url}/x")).status == 200


async def test_proxies_of_the_environment_are_ignored(
    make: Callable[..., Transport], server: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the settings say where requests go."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert (await post(make(), f"{server.url}/x")).status == 200


async def test_a_given_proxy_is_used(make: Callable[..., Transport], server: RawServer) -> None:
    """With ``proxy`` the request goes to the proxy, with its credentials, and names the server."""
    proxy = server.url.replace("://", "://user:secret@")
    await post(make(proxy=proxy), "http://api.example.com/x")
    assert server.requests[0].target == "http://api.example.com/x"
    assert server.requests[0].headers["proxy-authorization"] == "Basic dXNlcjpzZWNyZXQ="


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


def tls(authority: trustme.CA, host: str = "127.0.0.1") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host).configure_cert(context)
    return context


async def test_ca_file(make: Callable[..., Transport], authority: trustme.CA, tmp_path: Path) -> None:
    """A server whose authority is in ``ca_file`` is trusted; the file may hold several."""
    pem = tmp_path / "ca.pem"
    pem.write_bytes(trustme.CA().cert_pem.bytes() + authority.cert_pem.bytes())
    async with RawServer(tls(authority)) as server:
        assert (await post(make(ca_file=pem), f"{server.url}/x")).status == 200


@pytest.mark.parametrize(("host", "trusted"), [("127.0.0.1", False), ("other.example.com", True)])
async def test_unknown_certificates_are_refused(
    make: Callable[..., Transport], authority: trustme.CA, tmp_path: Path, host: str, *, trusted: bool
) -> None:
    """A server with a certificate of an unknown authority, or for another name, gets no request."""
    pem = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(pem))
    async with RawServer(tls(authority, host)) as server:
        transport = make(ca_file=pem) if trusted else make()
        assert await failure(transport, f"{server.url}/x") == "connect"
        assert server.requests == []


async def test_http2_is_offered(authority: trustme.CA, tmp_path: Path) -> None:
    """The fast transport speaks HTTP/2 where TLS agrees on it."""
    pem = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(pem))
    context = tls(authority)
    context.set_alpn_protocols(["h2", "http/1.1"])
    transport = FastTransport(settings(ca_file=pem))
    async with RawServer(context) as server:
        await failure(transport, f"{server.url}/x", seconds=1)  # this server does not really speak it
        assert server.protocol == "h2"
    await transport.close()


async def test_old_tls_is_refused(make: Callable[..., Transport], authority: trustme.CA, tmp_path: Path) -> None:
    """A server that can only do TLS 1.1 gets no request."""
    pem = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(pem))
    context = tls(authority)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that it is old is the point
        context.minimum_version = ssl.TLSVersion.TLSv1_1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    async with RawServer(context) as server:
        assert await failure(make(ca_file=pem), f"{server.url}/x") == "connect"
        assert server.requests == []


async def test_http2_carries_many_requests_on_one_connection(authority: trustme.CA, tmp_path: Path) -> None:
    """A real HTTP/2 server answers 50 requests at once, all on the first connection."""
    if shutil.which("node") is None:
        missing("node")
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    certificate.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    process = await asyncio.create_subprocess_exec(
        "node", "-e", HTTP2_SERVER, cwd=tmp_path, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(LIMIT_SECONDS):
            port = int(await process.stdout.readline())
        transport = FastTransport(settings(ca_file=tmp_path / "ca.pem", concurrency=50))
        await post(transport, f"https://127.0.0.1:{port}/x")
        answers = await asyncio.gather(*(post(transport, f"https://127.0.0.1:{port}/x") for _ in range(50)))
        await transport.close()
    finally:
        process.kill()
        await process.wait()
    assert {answer.body for answer in answers} == {b"2.0 1"}


HTTP2_SERVER = """
const fs = require("node:fs");
let sessions = 0;
const server = require("node:http2").createSecureServer(
  { cert: fs.readFileSync("cert.pem"), key: fs.readFileSync("key.pem"), allowHTTP1: true },
  (request, response) => { request.resume(); response.end(`${request.httpVersion} ${sessions}`); },
);
server.on("session", () => { sessions += 1; });
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
"""
