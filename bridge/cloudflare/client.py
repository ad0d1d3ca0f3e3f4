"""The six endpoints of the Workflows API: paths and bodies go in, typed results come out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack
from urllib.parse import quote, urlencode

from bridge.cloudflare.limits import NAME
from bridge.cloudflare.responses import envelope
from bridge.cloudflare.results import (
    Created,
    Instance,
    Page,
    StatusChanged,
    read_created,
    read_created_ids,
    read_instance,
    read_page,
    read_status_changed,
)
from bridge.cloudflare.token import Token
from bridge.errors import ApiRefused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bridge.cloudflare.settings import TargetSettings
    from bridge.cloudflare.transport import Transport


class ListQuery(TypedDict, total=False):
    """What a list can be narrowed by; None is the same as leaving it out."""

    cursor: str | None  # of the page before
    per_page: int | None  # 1 to 100
    status: str | None
    date_start: str | None  # ISO 8601, UTC, without an offset
    date_end: str | None
    direction: Literal["asc", "desc"] | None  # only with a cursor


class Client:
    """One account of the API.

    Every method makes one request and raises ApiRefused or ApiUnknown; ``bridge.cloudflare.responses.meaning`` says
    what such an error means. Nothing is repeated here, and no limit on requests in flight is kept here. Bodies are
    JSON that is ready to be sent; it is not looked at.
    """

    def __init__(self, settings: TargetSettings, transport: Transport) -> None:
        """Raises ConfigError when the token cannot be read."""
        self._transport = transport
        self._token = Token(settings)
        self._timeout_seconds = settings.timeout_seconds
        self._workflows_url = f"{settings.base_url}/accounts/{_part(settings.account_id)}/workflows/"
        self._headers = self._make_headers()

    def __repr__(self) -> str:
        return f"Client({self._workflows_url!r})"

    def reread_token(self) -> bool:
        """Read the token's file again, once the API has refused the token; True when it is another one now."""
        changed = self._token.reread()
        self._headers = self._make_headers()
        return changed

    async def list_instances(self, workflow: str, **query: Unpack[ListQuery]) -> Page:
        """A page of instances; the query as keywords."""
        return read_page(await self._send("GET", self._instances_url(workflow) + _query(query)))

    async def get_instance(
        self, workflow: str, instance_id: str, *, simple: bool = False, order: str | None = None
    ) -> Instance:
        """One instance. simple: without its steps. order: of the steps, "asc" (the API's default) or "desc"."""
        query = _query({"simple": "true" if simple else None, "order": order})
        url = f"{self._instances_url(workflow)}/{_part(instance_id)}{query}"
        return read_instance(instance_id, (await self._send("GET", url)).get("result"))

    async def create(self, workflow: str, body: bytes) -> Created:
        """Create one instance. A used id is ApiRefused with the meaning EXISTS."""
        return read_created((await self._send("POST", self._instances_url(workflow), body)).get("result"))

    async def create_batch(self, workflow: str, bodies: Sequence[bytes]) -> frozenset[str]:
        """Create 1 to 100 instances at once; gives the ids that are new.

        The API leaves used and repeated ids out without a word, and refuses the whole batch for one that is invalid.
        """
        body = b"[" + b",".join(bodies) + b"]"
        return read_created_ids(
            (await self._send("POST", self._instances_url(workflow) + "/batch", body)).get("result")
        )

    async def send_event(self, workflow: str, instance_id: str, event_type: str, body: bytes) -> None:
        """Send an event; the body is its payload."""
        url = f"{self._instances_url(workflow)}/{_part(instance_id)}/events/{_part(event_type)}"
        await self._send("POST", url, body)

    async def change_status(self, workflow: str, instance_id: str, body: bytes) -> StatusChanged:
        """Pause, resume, terminate or restart an instance."""
        url = f"{self._instances_url(workflow)}/{_part(instance_id)}/status"
        return read_status_changed((await self._send("PATCH", url, body)).get("result"))

    async def close(self) -> None:
        """Drop the connections."""
        await self._transport.close()

    def _instances_url(self, workflow: str) -> str:
        return f"{self._workflows_url}{_part(workflow)}/instances"

    def _make_headers(self) -> Mapping[str, str]:
        return {"authorization": self._token.header, "content-type": "application/json", "accept": "application/json"}

    async def _send(self, method: str, url: str, body: bytes | None = None) -> dict[str, Any]:
        return envelope(await self._transport.send(method, url, self._headers, body, self._timeout_seconds))


def _part(text: str) -> str:
    """One part of a path, percent-encoded. What a URL parser would take for "this folder" or "up" is refused."""
    if NAME.fullmatch(text):
        return text
    if text in {"", ".", ".."}:
        raise ApiRefused(400, 0, f"not sent: {text!r} cannot be part of a path")
    return quote(text, safe="")


def _query(values: Mapping[str, object]) -> str:
    text = urlencode({name: value for name, value in values.items() if value is not None})
    return f"?{text}" if text else ""
