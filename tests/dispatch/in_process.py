"""The emulator as a transport: no sockets, and whatever clock a test has."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from bridge.cloudflare.settings import TargetSettings
from bridge.cloudflare.transport import Answer
from bridge.emulator.application import Application
from bridge.emulator.settings import EmulatorSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class InProcess:
    """Keeps the promises of ``bridge.cloudflare.transport.Transport``; settings are those of the emulator."""

    def __init__(self, now_ms: Callable[[], int], **settings: object) -> None:
        self._settings = EmulatorSettings.model_validate(settings)
        self.application = Application(self._settings, now_ms)

    @property
    def target(self) -> TargetSettings:
        """Settings that lead here."""
        return TargetSettings.model_validate(
            {"account_id": self._settings.account_id, "api_token": self._settings.token.get_secret_value()}
        )

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout_seconds: float
    ) -> Answer:
        """See Transport."""
        del timeout_seconds
        parts = urlsplit(url)
        target = f"{parts.path}?{parts.query}"
        authorization = next(value for name, value in headers.items() if name.lower() == "authorization")
        reply = self.application.answer(method, target, authorization.encode(), body or b"").reply
        return Answer(reply.status, {n.decode(): v.decode() for n, v in reply.headers}, reply.body)

    async def close(self) -> None:
        """See Transport."""
