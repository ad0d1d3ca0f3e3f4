"""What each route of the admin API does. In the listener's thread; what the main loop owns is asked for there."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

import orjson
from starlette.responses import Response, StreamingResponse

from bridge.admin.refusal import Refusal
from bridge.console import asks, instance_shapes, shapes
from bridge.console.api_control import ControlApi
from bridge.console.api_letters import LettersApi
from bridge.console.instances import InstancesOf
from bridge.console.ledger import LedgerApi
from bridge.console.openapi import document
from bridge.console.overview import moving, overview
from bridge.console.routes import Asked, Route, json_response
from bridge.console.rules import rules, workflows
from bridge.console.sampling import SECONDS
from bridge.console.sources import sources
from bridge.console.trial import Trials
from bridge.secrecy import redact

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from bridge.admin.listener import Listener
    from bridge.console.running import Running
    from bridge.console.sampling import History

T = TypeVar("T")
MOST_STREAMS = 16  # that are open at once
STREAM_EVENTS = 240  # of one stream; its reader then asks anew
ACTING_SECONDS = 25.0
UNCERTAIN = frozenset({"api_unknown", "no_answer"})  # codes of refusals after which something may have been done
INSTANCES = "/targets/{target}/workflows/{workflow}/instances"
LIST_QUERY = {
    "status": "Only instances of this status.",
    "cursor": "Of the page before.",
    "per_page": "1 to 100; 25 by default.",
    "date_start": "Created at this time or later, ISO 8601 in UTC.",
    "date_end": "Created before this time.",
}


class Api:
    """The routes, with what they need."""

    def __init__(self, running: Running, history: History, listener: Listener) -> None:
        self._running = running
        self._history = history
        self._listener = listener
        self._trials = Trials()
        self._trying = asyncio.Lock()
        self._streams = 0
        self.routes: Sequence[Route] = self._routes()

    def _routes(self) -> list[Route]:
        return [
            Route("GET", "/overview", "How the bridge is.", self._overview, shapes.Overview),
            Route("GET", "/live", "What moves, as server-sent events, one a second.", self._live, None),
            Route("GET", "/sources", "The sources as they are read now.", self._sources, shapes.Sources),
            Route("GET", "/rules", "The rules, and how often each fired.", self._rules, shapes.Rules),
            Route("POST", "/try", "What every rule makes of a message; nothing is sent.", self._try,
                  shapes.Trial, asks.Trial),
            Route("GET", "/workflows", "What the configuration calls.", self._workflows, shapes.Workflows),
            *LettersApi(self._running, self._listener).routes(),
            *ControlApi(self._running, self._listener).routes(),
            *LedgerApi(self._running, self._listener).routes(),
            *self._of_instances(),
            Route("GET", "/openapi.json", "This document.", self._document, dict),
        ]  # fmt: skip

    def _of_instances(self) -> list[Route]:
        one = INSTANCES + "/{instance_id}"
        return [
            Route("GET", INSTANCES, "A page of a workflow's instances.", self._instances, instance_shapes.Instances,
                  query=LIST_QUERY),
            Route("GET", one, "One instance with its steps.", self._instance, instance_shapes.WholeInstance),
            Route("POST", INSTANCES, "Create instances, several as a batch.", self._create, instance_shapes.Changed,
                  asks.NewInstances, acts=True),
            Route("POST", one + "/status", "Pause, resume, terminate or restart one.", self._change,
                  instance_shapes.Changed, asks.StatusChange, acts=True),
            Route("POST", one + "/events", "Send an event to one.", self._send, instance_shapes.Changed,
                  asks.EventToSend, acts=True),
        ]  # fmt: skip

    async def _ask(self, read: Callable[[], T]) -> T:
        try:
            return await self._listener.ask(read)
        except TimeoutError:
            advice = "Look at /livez and at event_loop_lag_seconds; messages wait too."
            raise Refusal(503, "loop_busy", "The event loop does not answer.", advice) from None

    # --- looking -----------------------------------------------------------------------------------------------------

    async def _overview(self, asked: Asked) -> shapes.Overview:
        return await self._ask(lambda: overview(self._running, self._history, may_act=asked.may_act))

    async def _sources(self, _: Asked) -> shapes.Sources:
        return await self._ask(lambda: sources(self._running, self._history))

    async def _rules(self, _: Asked) -> shapes.Rules:
        return await self._ask(lambda: rules(self._running, self._history))

    async def _workflows(self, _: Asked) -> shapes.Workflows:
        running = self._running
        return await self._ask(lambda: workflows(running.config, running.live.dispatcher.paused))

    async def _document(self, _: Asked) -> Response:
        return json_response(document(self.routes))

    async def _live(self, _: Asked) -> Response:
        if self._streams >= MOST_STREAMS:
            raise Refusal(429, "too_many_streams", f"{MOST_STREAMS} pages are watching.", "Close some of them.")
        headers = {"X-Accel-Buffering": "no"}
        return StreamingResponse(self._events(), headers=headers, media_type="text/event-stream")

    async def _events(self) -> AsyncIterator[str]:
        self._streams += 1
        try:
            for _ in range(STREAM_EVENTS):
                told = await self._listener.ask(lambda: moving(self._running, self._history))
                yield f"event: numbers\ndata: {redact(orjson.dumps(told).decode())}\n\n"
                await asyncio.sleep(SECONDS)
        except TimeoutError:
            return  # the loop is busy: the reader asks anew, and is told so
        finally:
            self._streams -= 1

    async def _try(self, asked: Asked) -> shapes.Trial:
        config = await self._ask(lambda: self._running.config)
        async with self._trying:  # one after the other: each may take a core for a moment
            told = await self._trials.explain(config, asked.raw, asked.body.source, self._running.now_ms())
        return shapes.Trial(told)

    # --- instances ---------------------------------------------------------------------------------------------------

    async def _with(self, asked: Asked, act: Callable[[InstancesOf], Awaitable[T]]) -> T:
        async def call() -> T:
            return await act(InstancesOf(self._running, asked.path["target"], asked.path["workflow"]))

        return await self._listener.call(call(), ACTING_SECONDS)

    async def _instances(self, asked: Asked) -> instance_shapes.Instances:
        return await self._with(asked, lambda those: those.page(asked.query))

    async def _instance(self, asked: Asked) -> instance_shapes.WholeInstance:
        return await self._with(asked, lambda those: those.one(asked.path["instance_id"]))

    async def _act(
        self, asked: Asked, deed: tuple[str, str, str], act: Callable[[InstancesOf], Awaitable[instance_shapes.Changed]]
    ) -> instance_shapes.Changed:
        """Do it, and note it: also where nobody knows whether it was done. deed: what, to what, detail."""
        what, subject, detail = deed
        subject = f"{subject} of {asked.path['target']}/{asked.path['workflow']}"
        note = self._running.operator.note

        async def noted(those: InstancesOf) -> instance_shapes.Changed:
            try:
                done = await act(those)
            except Refusal as refusal:
                if refusal.code in UNCERTAIN:
                    await note(asked.who, what, subject, "no answer: it is not known whether it was done")
                raise
            await note(asked.who, what, subject, detail)
            return done

        return await self._with(asked, noted)

    async def _create(self, asked: Asked) -> instance_shapes.Changed:
        made: list[dict[str, Any]] = [each.model_dump(exclude_unset=True) for each in asked.body.instances]
        names = [str(each["instance_id"]) for each in made]
        subject = f"instance {names[0]}" if len(names) == 1 else f"{len(names)} instances"
        detail = "" if len(names) == 1 else f"asked for {names[0]} … {names[-1]}"
        return await self._act(asked, ("create", subject, detail), lambda those: those.create(made))

    async def _change(self, asked: Asked) -> instance_shapes.Changed:
        name, to = asked.path["instance_id"], asked.body.status
        return await self._act(asked, (to, f"instance {name}", ""), lambda those: those.change(name, to))

    async def _send(self, asked: Asked) -> instance_shapes.Changed:
        name, event = asked.path["instance_id"], asked.body
        deed = ("event", f"instance {name}", f"type {event.type}")
        return await self._act(asked, deed, lambda those: those.send(name, event.type, event.payload))
