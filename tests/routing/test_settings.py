"""What may be written in a rule, and what is refused when it is loaded."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from bridge.call import IfMissing
from bridge.routing.settings import RuleSettings
from bridge.routing.words import Duration, format_duration, parse_duration, parse_missing

if TYPE_CHECKING:
    from bridge.routing.values import Value

CREATE = {"create": {"workflow": "w"}}
EVENT = {"workflow": "w", "id": "a", "type": "t"}
STATUS = {"workflow": "w", "id": "a"}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10s", 10), ("15m", 900), ("24h", 86400), ("1h30m", 5400), ("500ms", 0.5), ("2d", 172800), ("1.5h", 5400)],
)
def test_durations(text: str, seconds: float) -> None:
    """Numbers with units, from milliseconds to days."""
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "10", "10 s", "-1s", "1w", "s", "367d", 10, None, True])
def test_what_is_no_duration(text: Value) -> None:
    """A number without a unit is refused rather than guessed at."""
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@given(
    st.timedeltas(timedelta(0), timedelta(days=300)).map(
        lambda d: timedelta(milliseconds=d // timedelta(milliseconds=1))
    )
)
def test_durations_come_back(value: timedelta) -> None:
    """What is written out can be read again."""
    assert parse_duration(format_duration(value)) == value
    adapter = TypeAdapter(Duration)
    assert adapter.validate_json(adapter.dump_json(value)) == value


@pytest.mark.parametrize(
    ("text", "kind", "wait"),
    [
        ("wait", IfMissing.WAIT, 15),
        ("wait 5m", IfMissing.WAIT, 5),
        ("create", IfMissing.CREATE, 15),
        ("drop", IfMissing.DROP, 15),
        ("dead-letter", IfMissing.DEAD_LETTER, 15),
    ],
)
def test_if_missing(text: str, kind: IfMissing, wait: int) -> None:
    """What an absent instance means is one word, with how long where that says something."""
    parsed = parse_missing(text)
    assert (parsed.kind, parsed.wait) == (kind, timedelta(minutes=wait))


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({}, "exactly one of create, event, status, drop, dead_letter; this one has none"),
        ({**CREATE, "drop": "x"}, "this one has create and drop"),
        (
            {"create": {"workflow": "w", "if_exists": "event"}},
            "if_exists: event and event: {type, payload} go together",
        ),
        ({"create": {"workflow": "w", "event": {"type": "t"}}}, "if_exists: event and event: {type, payload} go"),
        ({"create": {"workflow": "w", "if_exists": "new", "metadata": False}}, "if_exists: new needs metadata"),
        ({"create": {"workflow": "w", "if_exists": "nonsense"}}, "Input should be"),
        ({"event": {**EVENT, "create": {"params": {}}}}, "create inside event goes with `if_missing: create` only"),
        ({"event": {**EVENT, "if_missing": "create", "create": {"id": "x"}}}, "Extra inputs are not permitted"),
        ({"status": {**STATUS, "to": "pause", "if_missing": "create"}}, "if_missing: create is for events"),
        ({"event": {**EVENT, "if_missing": "wait 5"}}, "write a duration with its unit"),
        ({"event": {**EVENT, "if_missing": "drop 5m"}}, 'use "wait 15m", "create", "drop" or "dead-letter"'),
        ({"event": {"workflow": "w", "type": "t"}}, "Field required"),
        ({"status": {**STATUS, "to": "pause", "rollback": True}}, "rollback goes with `to: terminate` only"),
        ({"status": {**STATUS, "to": "pause", "from": {"name": "x"}}}, "from goes with `to: restart` only"),
        ({"status": {**STATUS, "to": "stop"}}, "Input should be 'pause'"),
        ({"create": {"workflow": "w", "retention": {"success": "soon"}}}, 'write a retention such as "3 days"'),
        ({"create": {"workflow": "w", "retention": {"success": 0}}}, "positive number of milliseconds"),
        ({**CREATE, "delay": "5m", "not_before": "x"}, "delay and not_before say the same thing twice"),
        ({**CREATE, "delay": 5}, "write a duration with its unit"),
        ({"drop": "why ${body.x}"}, "the reason of drop is counted by name"),
        ({**CREATE, "max_attempts": 0}, "greater than or equal to 1"),
        ({**CREATE, "prioritty": "high"}, "Extra inputs are not permitted"),
        ({**CREATE, "name": "a b"}, "String should match pattern"),
    ],
)
def test_what_is_refused(rule: dict[str, Value], message: str) -> None:
    """A mistake, and what cannot be done yet, is an error that says what to write."""
    with pytest.raises(ValidationError) as caught:
        RuleSettings.model_validate({"name": "r", **rule})
    assert message in str(caught.value)


def test_a_rule_survives_being_written_out() -> None:
    """Settings serialise to what they were read from."""
    written = {
        "name": "r",
        "from": ["a", "b"],
        "event": {**EVENT, "if_missing": "wait 5m", "payload": {"x": "${body}"}},
        "delay": "1h",
        "give_up_after": "2d",
    }
    rule = RuleSettings.model_validate(written)
    assert rule.sources == ("a", "b")
    assert RuleSettings.model_validate(rule.model_dump(by_alias=True, mode="json")) == rule


def test_every_setting_is_described() -> None:
    """The schema, from which the reference and editors' help are made, explains every field."""
    schema = RuleSettings.model_json_schema()
    models = [schema, *schema["$defs"].values()]
    bare = [
        (model["title"], name)
        for model in models
        for name, field in model.get("properties", {}).items()
        if not field.get("description")
    ]
    assert bare == []
