"""Dead letters as lines of JSON, and back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.call import Call, Operation, Policy, two_bodies
from bridge.dead_letters.exchange import call_of, decode, edited_parts, encode, message_of, parsed
from bridge.errors import NotAMessage
from bridge.message import Message
from bridge.outbox.base import Attempt, DeadLetter
from tests.outbox.subjects import call, message

TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
NUMBERS = st.integers(0, 1 << 53)
BODIES = st.one_of(
    st.binary(max_size=30),
    st.sampled_from(
        [
            b'{"price":1.10,"big":36893488147419103232,"n":-0,"e":1E400}',
            b' {"a": 1}\n',
            b'{"a":1,"a":2}',
            b'"\\ud800"',
            b'{"json":1}',
            b'{"text":"x"}',
            b"1.0",
        ]
    ),
)
HEADER_VALUES = st.one_of(st.binary(max_size=8), st.text(max_size=8), st.integers(), st.floats(allow_nan=False),
                          st.booleans(), st.none())  # fmt: skip
MESSAGES = st.builds(
    Message,
    TEXTS,
    TEXTS,
    TEXTS,
    st.none() | st.binary(max_size=8),
    st.lists(st.tuples(TEXTS, HEADER_VALUES), max_size=4),
    st.none() | BODIES,
    st.none() | NUMBERS,
    st.dictionaries(TEXTS, TEXTS | NUMBERS, max_size=3),
    st.booleans(),
    st.booleans(),
)
POLICIES = st.builds(
    lambda rule, times, seconds, blocks: Policy(rule, redriven=times, wait_seconds=seconds, blocks_lane=blocks),
    *(TEXTS, st.integers(0, 3), st.floats(0, 1e6), st.booleans()),
)
CALLS = st.builds(
    Call,
    st.sampled_from(Operation),
    TEXTS,
    TEXTS,
    TEXTS,
    TEXTS,
    BODIES | st.just(two_bodies(b'{"a":1}', b"[1.50]")),
    POLICIES.map(Policy.encode),
    TEXTS,
    st.integers(0, 2),
    NUMBERS,
).filter(lambda made: made.body.count(b"\0") < 2)
LETTERS = st.builds(
    DeadLetter,
    MESSAGES,
    TEXTS.filter(bool),
    TEXTS,
    TEXTS,
    st.none() | CALLS,
    NUMBERS,
    NUMBERS,
    TEXTS,
    st.lists(st.builds(Attempt, NUMBERS, TEXTS, NUMBERS, TEXTS), max_size=2).map(tuple),
    st.integers(0, 9),
)


@given(LETTERS, st.integers(0, 5))
def test_a_letter_is_had_back_to_the_byte(letter: DeadLetter, number: int) -> None:
    """Message, call, history and all: what was exported and imported is the same letter."""
    line = encode(letter, number)
    assert b"\n" not in line
    assert decode(line) == letter


def test_a_header_with_half_of_a_surrogate_pair_is_had_back() -> None:
    """What a broker's text may hold and UTF-8 may not."""
    letter = DeadLetter(message(1)._replace(headers=[("x", "a\ud800")]), "rejected", "no")
    assert decode(encode(letter)) == letter


@pytest.mark.parametrize(
    ("line", "path"),
    [
        (b"{", ()),
        (b"[]", ()),
        (b'{"message":{"source":1},"reason":"x"}', ("source",)),
        (b'{"message":{}}', ("reason",)),
        (b'{"message":{},"reason":"x","attempts":"1"}', ("attempts",)),
        (b'{"message":{},"reason":"x","attempts":1.5}', ("attempts",)),
        (b'{"message":{},"reason":"x","history":[1]}', ("history",)),
        (b'{"message":{},"reason":"x","call":1}', ("call",)),
        (b'{"message":{},"reason":"x","call":{"operation":"fly"}}', ("call", "operation")),
        (b'{"message":{},"reason":"x","call":{"operation":"event","policy":{}}}', ("call", "policy")),
        (
            b'{"message":{},"reason":"x","call":{"operation":"event","policy":{"rule":"r","wait_seconds":"1"}}}',
            ("call", "policy", "wait_seconds"),
        ),
        (
            b'{"message":{},"reason":"x","call":{"operation":"event","policy":{"rule":"r","redriven":true}}}',
            ("call", "policy", "redriven"),
        ),
        (b'{"message":{},"reason":"x","call":{"wheels":4}}', ("call", "wheels")),
    ],
)
def test_what_is_no_letter_is_refused_with_its_place(line: bytes, path: tuple[str, ...]) -> None:
    """And nothing but NotAMessage is raised."""
    with pytest.raises(NotAMessage) as caught:
        decode(line)
    assert caught.value.path == path


def test_what_an_edit_leaves_out_stays_as_it_is() -> None:
    """A body alone changes a body alone; numbers keep the spelling that the editor gave them."""
    before_message, before_call = message(1, b"{}"), call("order-1")
    text = b'{"message": {"body": {"price": 1.10}}, "call": {"body": {"id": "order-1", "n": 2.50}}}'
    held = parsed(text)
    assert message_of(held, text, before_message) == before_message._replace(body=b'{"price":1.10}')
    assert call_of(held["call"], before_call) == before_call._replace(body=b'{"id":"order-1","n":2.50}')


def test_an_edit_that_changes_nothing_is_the_same() -> None:
    """What the editor is given, given back: nothing is different."""
    letter = DeadLetter(message(1), "rejected", "no", "r", call("order-1"))
    text = edited_parts(letter)
    held: dict[str, Any] = parsed(text)
    assert message_of(held, text, letter.message) == letter.message
    assert call_of(held["call"], letter.call) == letter.call
