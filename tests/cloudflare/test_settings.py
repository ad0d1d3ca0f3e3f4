"""What a target's settings accept, and that its token stays out of every text."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import httpx
import pytest
import structlog
from pydantic import ValidationError

from bridge.cloudflare.client import Client
from bridge.cloudflare.httpx_transport import HttpxTransport
from bridge.cloudflare.settings import TargetSettings
from bridge.cloudflare.transport import open_transport
from bridge.errors import ApiError, ConfigError
from tests.cloudflare.raw_server import RawServer

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "s3cr3t-token-that-must-not-show"  # noqa: S105  it is the one that is looked for


def settings(**fields: object) -> TargetSettings:
    return TargetSettings.model_validate({"account_id": "a", "api_token": SECRET, **fields})


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example.com/client/v4",
        "http://127.0.0.1:8787/x",
        "http://localhost:1",
        "http://[::1]:1",
        "http://127.9.9.9",
    ],
)
def test_base_urls(url: str) -> None:
    """TLS anywhere, plain HTTP on loopback."""
    assert settings(base_url=url + "/").base_url == url


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example.com",
        "http://localhost.example.com",
        "ftp://127.0.0.1",
        "https://u:p@x.com",
        "https://x.com?q=1",
        "x",
        "",
    ],
)
def test_refused_base_urls(url: str) -> None:
    """A token never goes over an open line, nor to a URL that is more than a place."""
    with pytest.raises(ValidationError):
        settings(base_url=url)


@pytest.mark.parametrize(
    "fields",
    [
        {"account_id": "a/b"},
        {"account_id": ""},
        {"api_token": None},
        {"api_token": [SECRET]},
        {"api_token_file": "/run/token"},
        {"unknown": 1},
        {"timeout_seconds": 0},
        {"concurrency": 0},
        {"http": "requests"},
        {"proxy": "nonsense"},
        *({"proxy": f"http://user:{SECRET}@{place}"} for place in ("proxy:99999", "proxy:80\n", "pr oxy:80")),
        *({"base_url": f"https://{place}"} for place in ("api.example:99999", "api.example\n", "api.example/a b")),
    ],
)
def test_refused_fields(fields: dict[str, object]) -> None:
    """Unknown keys, none or two tokens, and values out of bounds are refused, without showing the token."""
    with pytest.raises(ValidationError) as caught:
        settings(**fields)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"  \n", b"two words", b"t\xc3\xb6ken", b"x" * 9000, b"a\nb"])
def test_a_file_without_a_token(tmp_path: Path, content: bytes) -> None:
    """A file that cannot hold a token is a problem of the configuration, told without its content."""
    file = tmp_path / "token"
    file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        client_of(settings(api_token=None, api_token_file=file))
    assert caught.value.problems[0].path == "api_token_file"
    assert "two words" not in str(caught.value)


def test_a_missing_token_file(tmp_path: Path) -> None:
    """A token file that is not there is a problem of the configuration."""
    with pytest.raises(ConfigError) as caught:
        client_of(settings(api_token=None, api_token_file=tmp_path / "none"))
    assert "cannot be read" in caught.value.problems[0].message


def client_of(target: TargetSettings, seen: list[str] | None = None) -> Client:
    def answer(request: httpx.Request) -> httpx.Response:
        if seen is not None:
            seen.append(request.headers["authorization"])
        return httpx.Response(200, json={"success": True})

    return Client(target, HttpxTransport(httpx.MockTransport(answer)))


async def test_a_rotated_token_is_taken_up(tmp_path: Path) -> None:
    """Reading the file again changes the header of the next request; a file that is gone or empty changes nothing."""
    file = tmp_path / "token"
    file.write_text("one\n")
    seen: list[str] = []
    client = client_of(settings(api_token=None, api_token_file=file), seen)
    changes = [client.reread_token()]
    for content in ("two", ""):
        file.write_text(content)
        changes.append(client.reread_token())
        await client.send_event("w", "i", "go", b"{}")
    file.unlink()
    changes.append(client.reread_token())
    assert changes == [False, True, False, False]
    assert seen == ["Bearer two", "Bearer two"]


@pytest.mark.parametrize("http", ["fast", "httpx"])
async def test_the_token_never_shows(http: str, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """Not in an error with its causes, not in a repr, not in a log line down to DEBUG; nor does a proxy's password."""
    caplog.set_level(logging.DEBUG)
    texts: list[str] = []
    async with RawServer() as server:
        for path in ("/slow", "/reset", "/cut", "/garbage", "/busy", "/redirect", "/x"):
            proxy = server.url.replace("://", f"://user:{SECRET}@")
            for fields in ({"base_url": server.url + path}, {"base_url": "https://127.0.0.1:1", "proxy": proxy}):
                target = settings(http=http, timeout_seconds=0.1, **fields)
                texts += await everything_about(target)
    file = tmp_path / "token"
    file.write_text(SECRET)
    with structlog.testing.capture_logs() as logs:
        client = client_of(settings(api_token=None, api_token_file=file))
        file.write_text(f"{SECRET} {SECRET}")
        client.reread_token()
    texts += [repr(logs), caplog.text, repr(client), repr(vars(client)["_token"])]
    assert len(texts) > 50
    assert [text for text in texts if SECRET in text] == []


async def everything_about(target: TargetSettings) -> list[str]:
    transport = open_transport(target)
    client = Client(target, transport)
    texts = [repr(target), str(target), target.model_dump_json(), repr(client), repr(transport)]
    try:
        await client.create("w", b"{}")
    except ApiError as error:
        chain: BaseException | None = error
        while chain is not None:
            texts += [repr(chain), str(chain), repr(chain.args), repr(vars(chain))]
            chain = chain.__cause__ or chain.__context__
    await client.close()
    return texts
