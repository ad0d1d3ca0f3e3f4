"""A Confluent-style schema registry over HTTP. What schemas mean, and keeping them, is elsewhere.

The interface: docs.confluent.io/platform/current/schema-registry/develop/api.html. Redirects are not followed: they
would carry credentials to somebody else.
"""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64encode
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

import httpx
import orjson

from bridge.errors import ConfigError, Problem, SchemasUnavailable
from bridge.secrecy import read_secret, redact

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bridge.decoding.settings import RegistrySettings

MAX_ANSWER_BYTES = 16 * 1024 * 1024
ACCEPT = "application/vnd.schemaregistry.v1+json, application/json"
NOT_THERE = frozenset((40401, 40402, 40403))  # no such subject, version, schema
NOT_NOW = frozenset((408, 425, 429))


class Reference(NamedTuple):
    """What one schema uses of another: the name by which it does, and where the other is."""

    name: str
    subject: str
    version: int


class Registered(NamedTuple):
    """A schema as the registry keeps it."""

    kind: str  # AVRO, PROTOBUF, JSON
    text: str  # of Protobuf the file's descriptor in Base64
    references: tuple[Reference, ...]


class SchemaRegistry:
    """A client of one registry."""

    def __init__(self, settings: RegistrySettings) -> None:
        """Raises ConfigError where ``ca_file`` cannot be used."""
        self._settings = settings
        self._context = _context(settings.ca_file)
        self._client: httpx.AsyncClient | None = None  # made when it is needed: many a codec is only made to be checked
        self._closed = False

    async def by_id(self, number: int) -> Registered | None:
        """The schema of this id; None where the registry has none. Raises SchemasUnavailable."""
        return await self._get(f"/schemas/ids/{number}")

    async def by_version(self, reference: Reference) -> Registered | None:
        """The schema that a reference names; None where the registry has none. Raises SchemasUnavailable."""
        return await self._get(f"/subjects/{quote(reference.subject, safe='')}/versions/{reference.version}")

    async def close(self) -> None:
        """Close the connections."""
        self._closed = True
        if self._client is not None:
            await self._client.aclose()

    def _open(self) -> httpx.AsyncClient:
        if self._closed:
            raise SchemasUnavailable("the connections to the registry are closed", "closed")
        if self._client is None:
            self._client = httpx.AsyncClient(
                verify=self._context,
                trust_env=False,
                timeout=self._settings.timeout_seconds,
                headers={"accept": ACCEPT, "user-agent": "workflow-bridge"},
            )
        return self._client

    async def _get(self, path: str) -> Registered | None:
        # Of Protobuf this is the compiled form, which needs no parser; for other kinds it changes nothing.
        url = f"{self._settings.url}{path}?format=serialized"
        status, content = await self._ask(url)
        answer = _parsed(content)
        if status == httpx.codes.NOT_FOUND and answer.get("error_code") in NOT_THERE:
            return None
        if status != httpx.codes.OK:
            raise SchemasUnavailable(f"{url}: HTTP {status}", _reason(status))
        try:
            return _registered(answer)
        except (KeyError, TypeError, ValueError, OverflowError):
            raise SchemasUnavailable(f"{url}: the answer is not that of a schema registry", "bad_answer") from None

    async def _ask(self, url: str) -> tuple[int, bytes]:
        client = self._open()
        try:
            async with (
                asyncio.timeout(self._settings.timeout_seconds),
                client.stream("GET", url, headers=self._credentials()) as response,
            ):
                return response.status_code, await _read(response, url)
        except (TimeoutError, httpx.TimeoutException):
            raise SchemasUnavailable(f"{url}: no answer in time", "timeout") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise SchemasUnavailable(f"{url}: {type(error).__name__}: {redact(str(error))}", "connect") from None
        except RuntimeError:  # closed while it was asked
            raise SchemasUnavailable("the connections to the registry are closed", "closed") from None

    def _credentials(self) -> Mapping[str, str]:
        file = self._settings.auth_file
        if file is None:
            return {}
        try:
            secret = read_secret(file)
        except OSError as error:
            raise SchemasUnavailable(f"{file} cannot be read: {error.strerror}", "unauthorized") from None
        if not secret or not secret.isprintable() or (self._settings.auth == "bearer" and not secret.isascii()):
            raise SchemasUnavailable(f"{file} holds no credentials", "unauthorized")
        if self._settings.auth == "bearer":
            return {"authorization": f"Bearer {secret}"}
        return {"authorization": f"Basic {b64encode(secret.encode()).decode()}"}


def _context(ca_file: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except OSError as error:
            what = f"{ca_file} holds no certificates that can be used: {error.strerror or error}"
            raise ConfigError([Problem("registry.ca_file", what)]) from None
    return context


async def _read(response: httpx.Response, url: str) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in response.aiter_bytes():
        parts.append(part)
        size += len(part)
        if size > MAX_ANSWER_BYTES:
            raise SchemasUnavailable(f"{url}: the answer is larger than {MAX_ANSWER_BYTES} bytes", "bad_answer")
    return b"".join(parts)


def _parsed(content: bytes) -> Mapping[str, object]:
    try:
        answer = orjson.loads(content)
    except orjson.JSONDecodeError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _registered(answer: Mapping[str, object]) -> Registered:
    """Raises KeyError, TypeError, ValueError, OverflowError."""
    text, kind, references = answer["schema"], answer.get("schemaType") or "AVRO", answer.get("references") or ()
    if not isinstance(text, str) or not isinstance(kind, str) or not isinstance(references, list | tuple):
        raise TypeError
    made = (Reference(str(one["name"]), str(one["subject"]), int(one["version"])) for one in references)
    return Registered(kind, text, tuple(made))


def _reason(status: int) -> str:
    if status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
        return "unauthorized"
    return "server_error" if status >= httpx.codes.INTERNAL_SERVER_ERROR or status in NOT_NOW else "bad_answer"
