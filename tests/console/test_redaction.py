from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.redaction import MASK, Redaction

BODY = {"customer": {"email": "a@b.c", "name": "Ann"}, "cards": [{"number": 1, "type": "v"}, {"number": 2}], "id": 7}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("customer.email", {**BODY, "customer": {"email": MASK, "name": "Ann"}}),
        ("email", {**BODY, "customer": {"email": MASK, "name": "Ann"}}),
        ("customer", {**BODY, "customer": MASK}),
        ("cards.*.number", {**BODY, "cards": [{"number": MASK, "type": "v"}, {"number": MASK}]}),
        ("cards.1", {**BODY, "cards": [BODY["cards"][0], MASK]}),  # type: ignore[index]  # a list
        ("name.email", BODY),
        ("customer.email.x", BODY),
    ],
)
def test_a_path_is_found_at_any_depth(path: str, expected: object) -> None:
    """So it holds for a body, and for the params that a rule made of it."""
    redaction = Redaction([path])
    assert redaction.value(BODY) == expected
    assert redaction.value({"params": BODY}) == {"params": expected}


def letter(body: bytes | None, call: bytes | None = None) -> dict[str, Any]:
    def held(text: bytes | None) -> dict[str, Any] | None:
        if text is None:
            return None
        try:
            return {"text": text.decode(), "json": orjson.loads(text)}
        except orjson.JSONDecodeError:
            return {"text": text.decode()}

    headers = [{"name": "authorization", "type": "bytes", "text": "x"}, {"name": "n", "type": "int", "value": 1}]
    return {
        "reason": "rejected",
        "message": {"key": {"text": "k"}, "headers": headers, "body": held(body)},
        "call": None if call is None else {"workflow": "w", "body": held(call)},
    }


def test_without_paths_nothing_is_touched() -> None:
    """Neither looked into."""
    shown, redacted = Redaction([]).letter(letter(b"no JSON"))
    assert (shown, redacted) == (letter(b"no JSON"), False)


def test_everything_of_a_letter_is_redacted() -> None:
    """Message, call, headers and key; both the text of a body and its value."""
    body = orjson.dumps(BODY)
    redaction = Redaction(["email", "headers.authorization", "key"])
    shown, redacted = redaction.letter(letter(body, b'{"params":%s}' % body))
    text = orjson.dumps(shown).decode()
    assert redacted
    assert "a@b.c" not in text
    assert shown["message"]["headers"][0] == {"name": "authorization", "type": "text", "value": MASK}
    assert shown["message"]["headers"][1] == letter(b"")["message"]["headers"][1]
    assert shown["message"]["key"] == {"text": MASK}
    assert "Ann" in text


def test_what_cannot_be_looked_into_is_not_shown() -> None:
    """A body that is not JSON may hold what is to be redacted; a tombstone holds nothing."""
    redaction = Redaction(["email"])
    assert redaction.letter(letter(b"email: a@b.c"))[0]["message"]["body"] == {"text": MASK}
    assert redaction.letter(letter(None)) == (letter(None), False)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=12,
)


@given(JSON, st.lists(st.sampled_from(["a", "b", "a.b", "*.c", "a.*"]), max_size=3))
def test_an_edit_that_changes_nothing_changes_nothing(value: object, paths: list[str]) -> None:
    """Whatever was redacted before it was shown."""
    redaction = Redaction(paths)
    assert redaction.restored(redaction.value(value), value) == value


def test_an_edit_beside_what_is_redacted_keeps_it() -> None:
    """And one of what is redacted itself is taken."""
    redaction = Redaction(["email", "number"])
    shown = redaction.value(BODY)
    edited = {**shown, "id": 8, "cards": [{"number": 9}, shown["cards"][1]]}
    assert redaction.restored(edited, BODY) == {**BODY, "id": 8, "cards": [{"number": 9}, {"number": 2}]}
