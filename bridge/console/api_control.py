"""What the routes do that pause, resume, and tell what operators did: all of it in the main loop, by control."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from bridge.admin.refusal import Refusal
from bridge.console import asks, shapes
from bridge.console.routes import Asked, Route, number
from bridge.control.answering import answer
from bridge.errors import OperationRefused, OutboxError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridge.admin.listener import Listener
    from bridge.console.running import Running
    from bridge.control.draining import Drained

SECONDS = 25.0
BEGIN_SECONDS = 1.0  # for a drain that has nothing to wait for to end
PAGE = 50


class ControlApi:
    """The routes, with what they need."""

    def __init__(self, running: Running, listener: Listener) -> None:
        self._running = running
        self._listener = listener
        self._draining: asyncio.Task[Drained] | None = None  # in the main loop

    def routes(self) -> list[Route]:
        """All of them."""
        return [
            Route("POST", "/pause", "Pause something.", self._pause, shapes.Switched, asks.Pausing, acts=True),
            Route("POST", "/resume", "Let it go on.", self._resume, shapes.Resumed, asks.Switch, acts=True),
            Route("POST", "/drain", "Read no more, send what is there, and stop.", self._drain, shapes.Drain,
                  asks.Draining, acts=True),
            Route("GET", "/log-level", "How much the log says.", self._level, shapes.LogLevel),
            Route("POST", "/log-level", "Have it say more or less, for a while or until said otherwise.", self._say,
                  shapes.LogLevel, asks.LogLevelSaid, acts=True),
            Route("GET", "/deeds", "What operators did, the last first.", self._deeds, shapes.Deeds,
                  query={"before": "Only numbers below this one."}),
        ]  # fmt: skip

    async def _pause(self, asked: Asked) -> shapes.Switched:
        told = await self._do({"do": "pause", "who": asked.who, **asked.body.model_dump()})
        return shapes.Switched(**told["paused"])

    async def _resume(self, asked: Asked) -> shapes.Resumed:
        told = await self._do({"do": "resume", "who": asked.who, **asked.body.model_dump()})
        return shapes.Resumed(told["resumed"])

    async def _drain(self, asked: Asked) -> shapes.Drain:
        """Answers when it has ended, or soon: who asked follows it on the overview, until nobody answers any more."""
        told = await self._listener.call(self._begun(asked), SECONDS)
        if told is None:
            depth = await self._listener.ask(self._running.outbox.depth)
            return shapes.Drain(ended=False, drained=False, ready=depth.ready, later=depth.later)
        return shapes.Drain(ended=True, drained=told.drained, ready=told.ready, later=told.later)

    async def _begun(self, asked: Asked) -> Drained | None:
        """In the main loop. None: it goes on."""
        if self._draining is None or self._draining.done():
            self._draining = asyncio.create_task(self._running.operator.drain(asked.body.seconds, asked.who))
        try:
            async with asyncio.timeout(BEGIN_SECONDS):
                return await asyncio.shield(self._draining)
        except TimeoutError:
            return None
        except (OperationRefused, OutboxError) as error:
            raise Refusal(422, "refused", str(error), "Nothing was done; correct it and try again.") from None

    async def _level(self, _: Asked) -> shapes.LogLevel:
        return shapes.LogLevel(**await self._do({"do": "log-level", "level": None}))

    async def _say(self, asked: Asked) -> shapes.LogLevel:
        return shapes.LogLevel(**await self._do({"do": "log-level", "who": asked.who, **asked.body.model_dump()}))

    async def _deeds(self, asked: Asked) -> shapes.Deeds:
        told = await self._do({"do": "audit", "before": number(asked, "before"), "limit": PAGE + 1})
        deeds = [shapes.Deed(**deed) for deed in told["deeds"]]
        return shapes.Deeds(deeds[:PAGE], deeds[PAGE - 1].number if len(deeds) > PAGE else None)

    async def _do(self, request: Mapping[str, Any]) -> dict[str, Any]:
        told = await self._listener.call(answer(self._running.operator, request), SECONDS)
        if "error" in told:
            raise Refusal(422, "refused", told["error"], "Nothing was done; correct it and try again.")
        return told
