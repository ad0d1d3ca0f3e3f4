from __future__ import annotations

import io
import json
import logging
import os
import pty
import warnings

import orjson
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from bridge.logs import Format, Forward, Level, Lines, configure
from bridge.secrecy import MASK, Redactor

TOKEN = 'tok"en/ü\\+4711'  # noqa: S105  a made-up secret with everything that is spelled differently somewhere


@pytest.fixture
def stream() -> io.BytesIO:
    """What logging is configured to write to."""
    return io.BytesIO()


def lines(stream: io.BytesIO) -> list[dict[str, object]]:
    return [orjson.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_json_object(stream: io.BytesIO) -> None:
    """Time, level, event and logger stand beside the fields."""
    configure(Level.INFO, Format.JSON, stream=stream)
    structlog.get_logger("bridge.intake").info("batch_stored", source="orders", messages=3)
    (line,) = lines(stream)
    assert str(line.pop("timestamp")).endswith("Z")
    assert line == {
        "level": "info",
        "event": "batch_stored",
        "logger": "bridge.intake",
        "source": "orders",
        "messages": 3,
    }


def test_lines_below_the_level_are_not_written(stream: io.BytesIO) -> None:
    """The level holds for our loggers and for those of the libraries."""
    configure(Level.WARNING, Format.JSON, stream=stream)
    log = structlog.get_logger("bridge")
    log.info("quiet")
    log.warning("loud")
    logging.getLogger("somewhere").info("quiet")
    logging.getLogger("somewhere").error("loud")
    assert [line["event"] for line in lines(stream)] == ["loud", "loud"]


def test_a_new_configuration_reaches_loggers_that_are_in_use(stream: io.BytesIO) -> None:
    """Module-level loggers are made before the configuration is read."""
    log = structlog.get_logger("bridge")
    configure(Level.ERROR, Format.JSON, stream=stream)
    log.info("first")
    configure(Level.DEBUG, Format.JSON, stream=stream)
    log.info("second")
    logging.getLogger("somewhere").info("third")
    assert [line["event"] for line in lines(stream)] == ["second", "third"]


def test_libraries_log_in_the_same_form_and_only_what_matters(stream: io.BytesIO) -> None:
    """Aiokafka at INFO repeats what we say; at WARNING it has something to tell."""
    configure(Level.INFO, Format.JSON, stream=stream)
    logging.getLogger("aiokafka.consumer").info("Subscribed to topic %s", "orders")
    logging.getLogger("aiokafka.consumer").warning("Heartbeat failed for %s", "group")
    (line,) = lines(stream)
    assert line["event"] == "Heartbeat failed for group"
    assert line["level"] == "warning"
    assert line["logger"] == "aiokafka.consumer"


def test_warnings_of_python_are_lines_too(stream: io.BytesIO) -> None:
    """Nothing is printed past the log."""
    configure(Level.INFO, Format.JSON, stream=stream)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn("old thing", DeprecationWarning, stacklevel=1)
    assert "old thing" in str(lines(stream)[0]["event"])


def leak(secret: str) -> None:
    """Log a secret in every way that somebody might."""
    log = structlog.get_logger("bridge")
    log.info("field", token=secret, nested={"deep": [secret]}, object=Redactor(), raw=secret.encode())
    log.info(f"the event itself {secret}")  # noqa: G004  what must not be done is what is tested
    logging.getLogger("aiormq").error("cannot connect to %s", f"amqp://user:{secret}@host")
    try:
        raise ValueError(f"bad token {secret!r}")  # noqa: TRY301  a traceback is what is wanted
    except ValueError:
        log.exception("failed")
        logging.getLogger("aiokafka").exception("failed")


@pytest.mark.parametrize("style", [Format.JSON, Format.CONSOLE])
@pytest.mark.parametrize("secret", [TOKEN, "v1.0-abcdefghijklmnop", "pässwörd", "line\nbreak"])
def test_a_secret_is_in_no_line(stream: io.BytesIO, style: Format, secret: str) -> None:
    """Not in a field, not in an event, not in an error's text, not in a traceback, whatever the form."""
    configure(Level.DEBUG, style, [secret], stream)
    leak(secret)
    text = stream.getvalue().decode()
    assert text.count(MASK) >= 6
    for spelling in (secret, json.dumps(secret)[1:-1], repr(secret)[1:-1], repr(secret.encode())[2:-1]):
        assert spelling not in text


# None of the characters of the line around it, nor of the mask: what is found is what was planted.
PLANTED = st.text(st.characters(codec="utf-8", exclude_characters='{"x": }' + MASK), min_size=4, max_size=30)


@given(PLANTED, st.text(st.characters(codec="utf-8"), max_size=10), st.text(st.characters(codec="utf-8"), max_size=10))
def test_no_json_line_holds_a_secret(secret: str, before: str, after: str) -> None:
    """Whatever the secret is made of and whatever stands around it."""
    redactor = Redactor()
    redactor.add([secret])
    shown = redactor(orjson.dumps({"x": before + secret + after}).decode())
    assert MASK in shown
    assert secret not in shown
    assert json.dumps(secret, ensure_ascii=False)[1:-1] not in shown


def test_the_longer_of_two_secrets_goes_first() -> None:
    """A secret that contains another one is not left in halves."""
    redactor = Redactor()
    redactor.add(["abcd"])
    redactor.add(["abcdefgh"])
    assert redactor("x abcdefgh y abcd") == f"x {MASK} y {MASK}"


def test_short_words_are_not_taken_for_secrets() -> None:
    """A password of one letter would mask the whole log."""
    redactor = Redactor()
    redactor.add(["", "a", "abc"])
    assert redactor("a cab abc") == "a cab abc"


def test_values_that_json_does_not_know_are_still_logged(stream: io.BytesIO) -> None:
    """A field of any type costs readability, never the line."""
    configure(Level.INFO, Format.JSON, stream=stream)
    structlog.get_logger("bridge").info("odd", big=2**70, surrogate="\ud800", raw=b"\xff", key={1: {2}})
    (line,) = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert line["big"] == 2**70
    assert line["surrogate"] == "\ud800"
    assert line["raw"] == repr(b"\xff")


def test_a_broken_log_call_of_a_library_is_a_line_not_an_error(stream: io.BytesIO) -> None:
    """Too few arguments in somebody else's log call must not stop the bridge."""
    configure(Level.INFO, Format.JSON, stream=stream)
    record = logging.makeLogRecord({"name": "somewhere", "levelname": "ERROR", "msg": "%s and %s", "args": ("one",)})
    next(handler for handler in logging.getLogger().handlers if isinstance(handler, Forward)).handle(record)
    assert [line["event"] for line in lines(stream)] == ["log_line_broken"]


def test_a_stream_that_is_gone_stops_nobody() -> None:
    """The line is dropped."""
    closed = io.BytesIO()
    closed.close()
    Lines("bridge", closed).msg("nobody reads this")


def test_auto_is_json_in_a_pipe_and_readable_on_a_terminal(stream: io.BytesIO) -> None:
    """Nobody has to choose."""
    configure(Level.INFO, Format.AUTO, stream=stream)
    structlog.get_logger("bridge").info("hello_there", source="orders")
    assert lines(stream)[0]["event"] == "hello_there"
    leader, follower = pty.openpty()
    with os.fdopen(follower, "wb", buffering=0) as terminal, os.fdopen(leader, "rb", buffering=0) as screen:
        configure(Level.INFO, Format.AUTO, stream=terminal)
        structlog.get_logger("bridge").info("hello_there", source="orders")
        shown = screen.read(4096).decode()
    assert "hello_there" in shown
    assert not shown.lstrip().startswith("{")
