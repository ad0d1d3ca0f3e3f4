"""Trying a message: what every rule would make of it, and why. Nothing is sent, and nothing of it is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from bridge import recorded
from bridge.admin.refusal import Refusal
from bridge.document import dotted
from bridge.errors import ConfigError, NotAMessage, SchemasUnavailable
from bridge.rehearsal.explanation import explain
from bridge.rehearsal.stage import Stage
from bridge.rehearsal.words import explanation_data

if TYPE_CHECKING:
    from bridge.config import Config
    from bridge.rehearsal.stage import Sample


class Trials:
    """The rules of the newest configuration that was asked about, compiled for the thread that asks."""

    def __init__(self) -> None:
        self._stage: Stage | None = None

    async def explain(self, config: Config, asked: bytes, source: str, now_ms: int) -> dict[str, Any]:
        """What every rule makes of the message in JSON of the form of config/testing.md. Raises Refusal."""
        stage = await self._staged(config)
        sample = _sample(stage, asked, source)
        try:
            told = explanation_data(await explain(stage, sample, now_ms))
        except (SchemasUnavailable, ConfigError) as error:
            advice = "Give the decoded body as `value` instead of `body`, or bring the registry back."
            raise Refusal(503, "schemas_unavailable", str(error), advice) from None
        found: dict[str, Any] = orjson.loads(orjson.dumps(told, default=str))
        return found

    async def _staged(self, config: Config) -> Stage:
        if self._stage is None or self._stage.config is not config:
            if self._stage is not None:
                await self._stage.close()
            self._stage = Stage(config, config.another_router())
        return self._stage


def _sample(stage: Stage, asked: bytes, source: str) -> Sample:
    try:
        return stage.sample(recorded.decode(asked), source)
    except NotAMessage as error:
        where = dotted(error.path)
        problem = f"{where}: {error.message}" if where else error.message
        advice = 'Write for example {"source": "orders", "body": {"type": "order.created"}}; config/testing.md has all.'
        raise Refusal(422, "not_a_message", problem, advice) from None
