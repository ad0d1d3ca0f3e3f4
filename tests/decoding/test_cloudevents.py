from __future__ import annotations

import json
from typing import TYPE_CHECKING

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.decoding import DecodingSettings, decoder
from bridge.decoding.cloudevents import member_text
from bridge.errors import Undecodable
from bridge.message import CloudEvent, Message
from bridge.routing.router import Routed, Router, SourceInfo
from bridge.routing.settings import RuleSettings
from bridge.routing.times import parse_timestamp
from tests.decoding.messages import event, headers, message

if TYPE_CHECKING:
    from bridge.message import HeaderValue

STRUCTURED = ("content-type", b"application/cloudevents+json; charset=UTF-8")
# The spec's own example (v1.0.2, spec.md), with JSON data.
ATTRIBUTES = {
    "specversion": "1.0",
    "type": "com.github.pull_request.opened",
    "source": "https://github.com/cloudevents/spec/pull",
    "subject": "123",
    "id": "A234-1234-1234",
    "time": "2018-04-05T17:31:00Z",
    "comexampleextension1": "value",
    "comexampleothervalue": 5,
    "datacontenttype": "application/json",
}
DATA = b'{"order": 17, "total": 12.50, "big": 9007199254740993}'
TYPED = {**ATTRIBUTES, "time": parse_timestamp("2018-04-05T17:31:00Z")}
BINARY = headers([f"ce_{name}: {value}" for name, value in ATTRIBUTES.items() if name != "datacontenttype"])
JSON = ("content-type", b"application/json")


def structured(data: bytes = DATA, **changes: object) -> Message:
    attributes = orjson.dumps({k: v for k, v in {**ATTRIBUTES, **changes}.items() if v != "LEFT OUT"})
    return message(attributes[:-1] + b', "data" : ' + data + b" }", STRUCTURED)


def test_structured_mode_gives_attributes_and_data() -> None:
    """The data is the body; attributes have the types that JSON and the spec give them."""
    one, data = event(structured())
    assert isinstance(one, CloudEvent)
    assert (one.ce, data) == (TYPED, orjson.loads(DATA))


def test_binary_mode_of_kafka() -> None:
    """Headers are text in Kafka, so extensions are; the content type is the data's."""
    one, data = event(message(DATA, *BINARY, JSON))
    assert isinstance(one, CloudEvent)
    assert (one.ce, data) == ({**TYPED, "comexampleothervalue": "5"}, orjson.loads(DATA))


@pytest.mark.parametrize("prefix", ["cloudEvents:", "cloudEvents_"])
def test_binary_mode_of_amqp(prefix: str) -> None:
    """Application properties keep their AMQP types; the content type is a property of the message."""
    pairs: list[tuple[str, HeaderValue]] = [(prefix + name, value) for name, value in ATTRIBUTES.items()]  # type: ignore[misc]
    one, data = event(message(DATA, *pairs[:-1], attributes={"content_type": "application/json"}))
    assert isinstance(one, CloudEvent)
    assert (one.ce, data) == (TYPED, orjson.loads(DATA))


def test_structured_mode_of_amqp() -> None:
    """The content type of the message says that the body is an event."""
    body = structured().body
    _, data = event(message(body, attributes={"content_type": "application/cloudevents+json"}))
    assert data == orjson.loads(DATA)


@pytest.mark.parametrize(
    ("content_type", "body", "expected"),
    [
        ("application/json", b"[1]", [1]),
        ("Application/Vnd.acme+JSON; charset=utf-8", b"[1]", [1]),
        ("text/json", b"1.5", 1.5),
        (None, b'{"a":1}', {"a": 1}),
        (None, b"plain words", "plain words"),
        (None, b"\xff\x00", b"\xff\x00"),
        ("text/plain", b"17", "17"),
        ("application/xml", b"<a/>", "<a/>"),
        ("application/octet-stream", b"\xff\x00", b"\xff\x00"),
        ("application/json", None, None),
    ],
)
def test_the_data_content_type_says_what_binary_data_is(
    content_type: str | None, body: bytes | None, expected: object
) -> None:
    """JSON where it says so, or says nothing and the bytes are JSON; else text, else bytes."""
    pairs = [*BINARY, *([("content-type", content_type.encode())] if content_type else [])]
    assert event(message(body, *pairs))[1] == expected


def test_base64_data_are_bytes() -> None:
    """``data_base64`` is for what JSON cannot hold."""
    body = orjson.dumps({**ATTRIBUTES, "data_base64": "AP8="})
    assert event(message(body, STRUCTURED))[1] == b"\x00\xff"


def test_structured_text_is_text() -> None:
    """Data of another type than JSON is a string in the JSON format."""
    assert event(structured(b'"<a/>"', datacontenttype="application/xml"))[1] == "<a/>"


def test_an_event_without_data_has_a_null_body() -> None:
    """Only the attributes say what happened."""
    assert event(message(orjson.dumps(ATTRIBUTES), STRUCTURED))[1] is None
    assert event(message(None, *BINARY))[1] is None


def test_a_tombstone_is_no_event_and_no_error() -> None:
    """A null body without attributes is only itself."""
    one, data = event(message(None))
    assert (type(one), data) == (Message, None)


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (message(DATA), "no CloudEvent: neither"),
        (message(DATA, JSON), "no CloudEvent: neither"),
        (message(b"[]", ("content-type", b"application/cloudevents-batch+json")), "a batch of CloudEvents"),
        (message(b"<e/>", ("content-type", b"application/cloudevents+xml")), "format that is not supported"),
        (message(b"{", STRUCTURED), "not JSON"),
        (message(b"[]", STRUCTURED), "no JSON object"),
        (structured(specversion="0.3"), "specversion other than 1.0"),
        (structured(specversion="LEFT OUT"), "no specversion"),
        (structured(id=""), "no id"),
        (structured(id=17), "id is no text"),
        (structured(type=None), "no type"),
        (structured(source="LEFT OUT"), "no source"),
        (structured(subject=5), "subject is no text"),
        (structured(time="yesterday"), "no RFC 3339"),
        (structured(time=5), "no RFC 3339"),
        (structured(data_base64="AA=="), "both data and data_base64"),
        (message(orjson.dumps({**ATTRIBUTES, "data_base64": "?"}), STRUCTURED), "no Base64"),
        (message(DATA, ("ce_id", b"\xff")), "id is not UTF-8"),
        (message(DATA, *BINARY[1:], JSON), "no specversion"),
        (message(b"{", *BINARY, JSON), "not JSON"),
    ],
)
def test_what_is_no_event_is_undecodable(one: Message, why: str) -> None:
    """The reason says what is missing, and quotes nothing."""
    with pytest.raises(Undecodable, match=why):
        event(one)


def test_the_message_stays_as_it_came() -> None:
    """A dead letter of an event holds the original: as a tuple the event is its message."""
    for original in (structured(), message(DATA, *BINARY, JSON)):
        one, _ = event(original)
        assert tuple(one) == tuple(original)


def routed(one: Message, **action: object) -> Routed:
    rule = RuleSettings.model_validate({"name": "r", **action})
    info = SourceInfo("orders", json_bodies=False, cloud_events=True)
    router = Router([rule], vars={}, sources=[info], targets=["main"])
    found = decoder(DecodingSettings.model_validate({"decode": "cloudevents"})).decode([one])
    return router.route("orders", found.messages, found.values, 0)


@pytest.mark.parametrize("one", [structured(), message(DATA, *BINARY, JSON)], ids=["structured", "binary"])
def test_whole_data_keeps_its_json_text(one: Message) -> None:
    """``${body}`` and ``${body.x}`` are the text as it was written, in both modes."""
    create: dict[str, object] = {"workflow": "w", "id": "${ce.id}", "params": "${body}"}
    ((_, call),) = routed(one, when='ce.type.startsWith("com.github")', create=create).calls
    assert call.body == b'{"instance_id":"A234-1234-1234","params":' + DATA + b"}"
    create = {"workflow": "w", "id": "a", "params": {"t": "${body.total}", "at": "${ce.time}", "n": "${body.big}"}}
    ((_, call),) = routed(one, when="ce.time.getFullYear() == 2018", create=create).calls
    assert call.body.endswith(b'"params":{"t":12.50,"at":"2018-04-05T17:31:00Z","n":9007199254740993}}')


def test_bytes_in_params_are_base64() -> None:
    """What JSON has no form for is written as everywhere else."""
    body = orjson.dumps({**ATTRIBUTES, "data_base64": "AP8="})
    ((_, call),) = routed(
        message(body, STRUCTURED), create={"workflow": "w", "id": "a", "params": {"b": "${body}"}}
    ).calls
    assert call.body.endswith(b'"params":{"b":"AP8="}}')


NAMES = st.sampled_from(["data", "d\u0061ta", "data ", 'da"ta', "x", "{", ""])
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text('ab"\\{}[],:ä'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(NAMES, VALUES, max_size=5), st.booleans(), st.sampled_from([None, 1]))
def test_the_text_of_a_member_is_found_whatever_is_around_it(
    value: dict[str, object],
    ascii_: bool,  # noqa: FBT001  hypothesis gives it
    indent: int | None,
) -> None:
    """The text found parses to the member's value; of several members the last counts, as for the parser."""
    text = json.dumps(value, ensure_ascii=ascii_, indent=indent).encode()
    found = member_text(text, b"data")
    assert (found is None) == ("data" not in value)
    if found is not None:
        assert repr(json.loads(found)) == repr(value["data"])
    twice = b'{"data": [0], "x": {"data": 1}, "d\\u0061ta" :[ 2 ] , "y": 3}'
    assert member_text(twice, b"data") == b"[ 2 ]"
