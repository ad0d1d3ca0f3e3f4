"""A transport that tells the allowance of every request and of what the answer's headers say about the quota."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.cloudflare.ratelimit import readings
from bridge.cloudflare.responses import retry_after
from bridge.errors import ApiUnknown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridge.cloudflare.transport import Answer, Transport
    from bridge.dispatch.allowance import Allowance


class Metered:
    """Keeps the promises of ``bridge.cloudflare.transport.Transport``; a request may wait for its turn first."""

    def __init__(self, inner: Transport, allowance: Allowance) -> None:
        self._inner = inner
        self._allowance = allowance

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout_seconds: float
    ) -> Answer:
        """See Transport."""
        allowance = self._allowance
        await allowance.turn()  # at once, for what the dispatcher has chosen; the second request of two may wait
        sent_at = allowance.sent()
        try:
            answer = await self._inner.send(method, url, headers, body, timeout_seconds)
        except BaseException as error:
            allowance.unanswered(sent=not (isinstance(error, ApiUnknown) and error.reason == "connect"))
            raise
        allowance.answered(answer.status, readings(answer.headers), retry_after(answer), sent_at)
        return answer

    async def close(self) -> None:
        """See Transport."""
        await self._inner.close()
