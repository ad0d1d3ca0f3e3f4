"""What the routes of dead letters do. In the listener's thread; what is done to letters is done in the main loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bridge.admin.refusal import Refusal
from bridge.console import asks
from bridge.console import letter_shapes as shapes
from bridge.console.letters import FILTER, LIST_QUERY, LookingAt, in_thread
from bridge.console.letters_moved import EXPORT_QUERY, kinds_of, letters_of
from bridge.console.routes import Asked, Route
from bridge.control.answering import answer
from bridge.errors import OperationRefused, OutboxError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridge.admin.listener import Listener
    from bridge.console.running import Running

ACTING_SECONDS = 25.0
NOTHING_DONE = "Nothing was done; correct it and try again."
LETTERS = "/dead-letters"
ONE = LETTERS + "/{number}"


class LettersApi:
    """The routes, with what they need."""

    def __init__(self, running: Running, listener: Listener) -> None:
        self._running = running
        self._listener = listener

    def routes(self) -> list[Route]:
        """All of them."""
        done, numbers = shapes.LettersDone, asks.LetterNumbers
        return [
            Route("GET", LETTERS, "Dead letters, the newest first.", self._page, shapes.Letters, query=LIST_QUERY),
            Route("GET", LETTERS + "/kinds", "How many there are of which kind.", self._kinds, shapes.LetterKinds,
                  query=FILTER),
            Route("POST", LETTERS + "/redrive", "Send some again.", self._redrive, done, asks.LettersAgain, acts=True),
            Route("POST", LETTERS + "/discard", "Delete some.", self._discard, done, numbers, acts=True),
            Route("GET", LETTERS + "/export", "Some, to the byte, as lines of JSON.", self._export, shapes.LetterLines,
                  query=EXPORT_QUERY),
            Route("POST", LETTERS + "/import", "Keep some that were exported.", self._import, shapes.LettersImported,
                  asks.LettersIn, acts=True),
            Route("GET", ONE, "Everything of one.", self._one, shapes.WholeLetter),
            Route("POST", ONE + "/edit", "Change its message or call.", self._edit, done, asks.LetterEdit, acts=True),
            Route("POST", ONE + "/release", "Let the lane go on that it blocks.", self._release, done, asks.Nothing,
                  acts=True),
        ]  # fmt: skip

    async def _look(self) -> LookingAt:
        return LookingAt(await self._listener.ask(lambda: self._running.config))

    async def _page(self, asked: Asked) -> shapes.Letters:
        letters = await self._look()
        return await letters.page(asked, await self._listener.ask(lambda: self._running.outbox.depth().dead))

    async def _kinds(self, asked: Asked) -> shapes.LetterKinds:
        return await (await self._look()).kinds(asked)

    async def _one(self, asked: Asked) -> shapes.WholeLetter:
        return await (await self._look()).one(asked.path["number"])

    async def _export(self, asked: Asked) -> shapes.LetterLines:
        return await (await self._look()).exported(asked)

    async def _import(self, asked: Asked) -> shapes.LettersImported:
        body: asks.LettersIn = asked.body
        letters = await in_thread(lambda: letters_of(body.lines, body.first_line))
        if not body.dry_run:
            try:
                operator = self._running.operator
                await self._listener.call(operator.letters.bring_in(letters, asked.who), ACTING_SECONDS)
            except (OperationRefused, OutboxError) as error:
                raise Refusal(422, "refused", str(error), NOTHING_DONE) from None
        return shapes.LettersImported(len(letters), kinds_of(letters))

    async def _redrive(self, asked: Asked) -> shapes.LettersDone:
        return await self._do(asked, {"do": "redrive", **asked.body.model_dump()})

    async def _discard(self, asked: Asked) -> shapes.LettersDone:
        return await self._do(asked, {"do": "discard", **asked.body.model_dump()})

    async def _release(self, asked: Asked) -> shapes.LettersDone:
        return await self._do(asked, {"do": "release", "number": _number(asked)})

    async def _edit(self, asked: Asked) -> shapes.LettersDone:
        edited = await (await self._look()).edited(asked.path["number"], asked.raw)
        return await self._do(asked, {"do": "edit", "number": _number(asked), "edited": edited})

    async def _do(self, asked: Asked, request: Mapping[str, Any]) -> shapes.LettersDone:
        told = await self._listener.call(answer(self._running.operator, {**request, "who": asked.who}), ACTING_SECONDS)
        if "error" in told:
            raise Refusal(422, "refused", told["error"], NOTHING_DONE)
        return shapes.LettersDone([shapes.LetterDone(**one) for one in told["done"]])


def _number(asked: Asked) -> int:
    text = asked.path["number"]
    if not text.isascii() or not text.isdigit() or len(text) > 18:  # noqa: PLR2004  63 bits
        raise Refusal(404, "no_such_letter", f"There is no dead letter {text[:20]}.", "Give its number.")
    return int(text)
