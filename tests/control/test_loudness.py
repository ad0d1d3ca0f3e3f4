from __future__ import annotations

import io
from typing import TYPE_CHECKING

import orjson
import pytest
import structlog

from bridge import logs
from bridge.control.answering import answer
from bridge.control.loudness import Told
from bridge.errors import OperationRefused
from bridge.logs import Format, Level
from tests.outbox.subjects import START_MS

if TYPE_CHECKING:
    from tests.control.desk import Desk

log = structlog.get_logger(__name__)


def written() -> io.BytesIO:
    """Where the log goes from now on, at the level info."""
    stream = io.BytesIO()
    logs.configure(Level.INFO, Format.JSON, stream=stream)
    return stream


def events(stream: io.BytesIO) -> list[str]:
    return [orjson.loads(line)["event"] for line in stream.getvalue().splitlines()]


async def test_a_level_lasts_as_long_as_was_said(desk: Desk) -> None:
    """Then it is as configured again, and says so; a reload in between changes only what it goes back to."""
    stream = written()
    await desk.operator.say_log_level(Level.DEBUG, 600, "ann")
    assert desk.operator.log_level() == Told(Level.DEBUG, Level.INFO, "ann", START_MS + 600_000)
    log.debug("seen")
    assert desk.loud.configured(Level.WARNING) is Level.DEBUG
    (alarm,) = desk.alarms
    assert alarm.seconds == 600
    alarm.act()
    log.info("not_seen")
    assert events(stream) == ["log_level_changed", "operator_acted", "seen", "log_level_changed"]
    assert desk.operator.log_level() == Told(Level.WARNING, Level.WARNING, None, None)


async def test_a_log_that_grows_quiet_says_so_first(desk: Desk) -> None:
    """Else nobody who reads it would know why."""
    stream = written()
    await desk.operator.say_log_level(Level.ERROR, None, "ann")
    log.info("not_seen")
    await desk.operator.say_log_level(None, None, "ann")
    log.info("seen")
    assert events(stream) == ["log_level_changed", "log_level_changed", "operator_acted", "seen"]
    assert desk.alarms == []


async def test_what_is_said_last_counts(desk: Desk) -> None:
    """The end of what was said before does not end it."""
    await desk.operator.say_log_level(Level.DEBUG, 60, "ann")
    await desk.operator.say_log_level(Level.WARNING, None, "bob")
    assert [alarm.cancelled for alarm in desk.alarms] == [True]
    assert [deed.subject for deed in desk.admin.audit()] == ["warning", "debug"]


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), 1e9])
async def test_a_time_has_bounds(desk: Desk, seconds: float) -> None:
    """And what is refused is not noted."""
    with pytest.raises(OperationRefused, match="1 to 604800"):
        await desk.operator.say_log_level(Level.DEBUG, seconds, "ann")
    assert desk.admin.audit() == []
    assert "error" in await answer(desk.operator, {"do": "log-level", "level": "loud", "who": "ann"})
