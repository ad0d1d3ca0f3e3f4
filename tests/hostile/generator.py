"""Messages that nobody should send, drawn from a seed: the same seed gives the same messages, to the byte.

Most are small; one in some thousands has a mebibyte, as wide or as deep as it can be.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.decoding.hostile import NODE, filled, wrapped
from tests.decoding.schemas import CUSTOMER_FILE, ORDER_FILE, avro, message_class

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Headers = list[tuple[str, bytes]]
SHARES = {"json": 38, "text": 10, "raw": 8, "events": 16, "avro": 9, "protobuf": 9, "rabbit": 10}  # of 100
LARGE = 1 << 20
ONE_LARGE_IN = 2_500
SCHEMA = {
    "type": "record",
    "name": "Hostile",
    "fields": [
        {"name": "id", "type": ["null", "string", "double", "bytes"]},
        {"name": "tree", "type": ["null", NODE]},
        {"name": "many", "type": {"type": "array", "items": ["null", "long"]}},
    ],
}


class Hostile(NamedTuple):
    """One message before it is sent."""

    source: str
    kind: str
    key: bytes | None
    headers: Headers
    body: bytes | None  # RabbitMQ has no null


def messages(seed: int, count: int) -> Iterator[Hostile]:
    """So many of them."""
    draw = Random(seed)
    sources, weights = list(SHARES), list(SHARES.values())
    for source in draw.choices(sources, weights, k=count):
        kind, body = large(draw, source) if draw.randrange(ONE_LARGE_IN) == 0 else small(draw, source)
        headers = _headers(draw) + (_event_headers(draw, kind) if source == "events" else [])
        if source == "rabbit":
            body = body or b""
        yield Hostile(source, kind, _key(draw), headers, body)


def small(draw: Random, source: str) -> tuple[str, bytes | None]:
    """What kind it is, and its body."""
    if draw.random() < 0.03:
        return draw.choice((("tombstone", None), ("empty", b""), ("null", b"null")))
    kinds = _OF.get(source, _JSON)
    name = draw.choice(list(kinds))
    body = kinds[name](draw)
    if draw.random() < 0.15:
        return f"{name}, spoilt", spoilt(draw, body)
    return name, body


def large(draw: Random, source: str) -> tuple[str, bytes]:
    """About a mebibyte: around what the API takes, or made to hurt."""
    room = LARGE + draw.randrange(-3_000, 3_000)
    if source == "avro":
        return "large", draw.choice((filled(b"\x04\x02"), filled(b"\xff"), b"\0\0" + filled(b"\xfe\xff\x7f", b"\0")))
    if source == "protobuf":
        return "large", draw.choice((filled(b"\x0b"), wrapped(b"\x0a"), filled(b"\xf8\x7f\x00")))
    bodies: tuple[Callable[[], bytes], ...] = (
        lambda: b'{"id":"big-%d","text":"' % room + b"x" * room + b'"}',
        lambda: b'{"id":"big-%d","text":"' % room + b"\\u0000" * (room // 6) + b'"}',
        lambda: b'{"kind":"lines","lines":[' + b"0," * (room // 2) + b"0]}",
        lambda: b'{"kind":"lines","lines":[' + b"[]," * 9_000 + b'[]],"text":"' + b"y" * (room // 2) + b'"}',
        lambda: b"[" * (room // 2) + b"]" * (room // 2),
        lambda: b'{"id":' * (room // 6),
        lambda: b"9" * room,
        lambda: b"\xff" * room,
        lambda: b"{" + b",".join(b'"%d":%d' % (n, n) for n in range(room // 16)) + b"}",
    )
    return "large", draw.choice(bodies)()


def spoilt(draw: Random, body: bytes) -> bytes:
    """Cut off, or with some bytes that are others now."""
    if not body:
        return b"\0"
    if draw.random() < 0.4:
        return body[: draw.randrange(len(body))]
    damaged = bytearray(body)
    for _ in range(draw.randint(1, 4)):
        damaged[draw.randrange(len(damaged))] = draw.choice((0, 0x22, 0x5C, 0x7F, 0x80, 0xC0, 0xED, 0xFF))
    return bytes(damaged)


_NUMBERS = (
    *(b"0", b"-0", b"1", b"-1", b"1.5", b"1e308", b"1e-400", b"1E5", b"9007199254740993", b"9223372036854775807"),
    *(b"9223372036854775808", b"-9223372036854775808", b"18446744073709551615", b"0." + b"3" * 90, b"1" * 18),
)
_NO_NUMBERS = (
    *(b"1e400", b"-1e400", b"NaN", b"Infinity", b"-Infinity", b"01", b"+1", b"-", b"1.", b"0x1F", b"1_000"),
    *(b"-9223372036854775809", b"18446744073709551616", b"1" * 400, b"nil", b"undefined", b"'a'", b"[1,]"),
)
_TEXTS = (
    *(b"", b" ", b"a", b"order-17", b"a/../b", b"..", b"%2e%2e", b"a?b#c", b"cf_", b"batch", b"terminate", b"-x"),
    *(b"\\u0000", b"a\\u0000b", b"\\u001b[31m", b"\\n\\r", b"\\u202e", b"\\ud83d\\ude00", b"\\u2028", b"\\u007f"),
    *("é".encode(), "日本".encode(), b"\xf0\x9f\x98\x80", b"\xef\xbb\xbf", b"${body}", b"$${", b"{{x}}"),
    *(b"x" * 100, b"x" * 101, b"y" * 5_000, b"' OR 1=1 --", b'\\"', b"</script>", b"2026-13-45T00:00:00Z"),
)
_NO_TEXTS = (b"\xff", b"\xc3\x28", b"\x00", b"\x1b", b"\xed\xa0\x80", b"\\ud800", b"\\x41", b"\\", b'"', b"\xc0\x80")
_NAMES = (b"id", b"kind", b"total", b"lines", b"lane", b"v", b"type", b"target", b"__proto__", b"", b"a.b", b"\\u0000")


def _value(draw: Random, depth: int = 0) -> bytes:
    """A JSON text, or nearly one."""
    choice, wrong = draw.random(), draw.random() < 0.03
    if choice < 0.25 or depth > 4:
        return draw.choice(_NO_NUMBERS if wrong else _NUMBERS)
    if choice < 0.6:
        return b'"' + draw.choice(_NO_TEXTS if wrong else _TEXTS) + b'"'
    if choice < 0.75:
        return draw.choice((b"null", b"true", b"false", b"{}", b"[]"))
    inner = [_value(draw, depth + 1) for _ in range(draw.randrange(4))]
    if choice < 0.87:
        return b"[" + b",".join(inner) + b"]"
    return b"{" + b",".join(b'"' + draw.choice(_NAMES) + b'":' + value for value in inner) + b"}"


def _object(draw: Random, **known: bytes) -> bytes:
    """A map with these fields and some more; names may repeat, and then the last one wins."""
    fields = [b'"%s":%s' % (name.encode(), text) for name, text in known.items()]
    fields += [b'"%s":%s' % (draw.choice(_NAMES), _value(draw)) for _ in range(draw.randrange(3))]
    draw.shuffle(fields)
    return b"{" + b",".join(fields) + b"}"


def _number(draw: Random) -> bytes:
    """An id that most rules take."""
    return b'"n-%d"' % draw.randrange(10_000)


def _lines(draw: Random) -> bytes:
    lines = [_value(draw, 3) for _ in range(draw.randrange(12))]
    if draw.random() < 0.002:
        lines = [b"0"] * 12_000
    return _object(draw, kind=b'"lines"', lines=b"[" + b",".join(lines) + b"]", lane=_value(draw, 4))


def _event(draw: Random) -> bytes:
    kind = draw.choice((b'"go"', b'"go"', _value(draw, 4)))
    return _object(draw, kind=b'"event"', target=b'"t-%d"' % draw.randrange(200), type=kind, v=_value(draw))


def _deep(draw: Random) -> bytes:
    depth = draw.choice((10, 100, 500, 1_023, 1_024, 1_025, 2_000))
    opening, closing = draw.choice(((b"[", b"]"), (b'{"id":', b"}"), (b'{"lines":[', b"]}")))
    return opening * depth + b"1" + closing * draw.choice((depth, depth, depth - 1))


def _noise(draw: Random) -> bytes:
    return draw.randbytes(draw.randrange(200))


_JSON: dict[str, Callable[[Random], bytes]] = {
    "value": _value,
    "id": lambda draw: _object(draw, id=_value(draw)),
    "good id": lambda draw: _object(draw, id=_number(draw), total=draw.choice(_NUMBERS)),
    "total": lambda draw: _object(draw, kind=b'"total"', total=_value(draw)),
    "lines": _lines,
    "event": _event,
    "deep": _deep,
    "noise": _noise,
}


def _text(draw: Random) -> bytes:
    pieces = _TEXTS if draw.random() < 0.8 else _TEXTS + _NO_TEXTS
    return b" ".join(draw.choice(pieces) for _ in range(draw.randrange(6)))


def _structured(draw: Random) -> bytes:
    given = {"specversion": b'"1.0"', "id": _number(draw), "source": b'"s"', "type": b'"t"', "data": _value(draw)}
    if draw.random() < 0.2:
        given[draw.choice(list(given))] = _value(draw, 3)
    return _object(draw, **given)


def _batch(draw: Random) -> bytes:
    return b"[" + _structured(draw) + b"]"


def _avro(draw: Random) -> bytes:
    tree: Any = None
    for _ in range(draw.choice((0, 1, 3, 30))):
        tree = {"a": tree if draw.random() < 0.7 else [tree or {"a": None}]}
    value = draw.choice((None, "a\0b", "x" * 200, float("nan"), float("-inf"), 1e308, b"\xff\0", f"n-{draw.random()}"))
    return avro(
        SCHEMA, {"id": value, "tree": tree, "many": [draw.choice((None, 2**63 - 1, -(2**63)))] * draw.randrange(9)}
    )


_ORDER = message_class("shop.Order", CUSTOMER_FILE, ORDER_FILE)


def _protobuf(draw: Random) -> bytes:
    order = _ORDER(order_id=draw.choice((0, 1, 2**64 - 1, draw.randrange(10_000))))
    order.customer.full_name = draw.choice(("", "a\0b", "\x1b[31m", "é" * 300))
    order.tags["\x00"] = -1
    written: bytes = order.SerializeToString(deterministic=True)
    return written + draw.choice(
        (b"", b"", b"\xf8\x7f\x00" * 50, b"", b"\x0b" * 200, b"\x12\xff\xff\xff\xff\x07", b"\x1a\x00" * 30)
    )


_OF: dict[str, dict[str, Callable[[Random], bytes]]] = {
    "text": {"text": _text, "value": _value, "noise": _noise},
    "raw": {"noise": _noise, "value": _value},
    "events": {"structured": _structured, "binary": _value, "as json": _structured, "of a batch": _batch},
    "avro": {"record": _avro, "another record": _avro, "noise": _noise},
    "protobuf": {"order": _protobuf, "another order": _protobuf, "noise": _noise},
}


def _key(draw: Random) -> bytes | None:
    choice = draw.random()
    if choice < 0.5:
        return b"k-%d" % draw.randrange(2_000)
    if choice < 0.999:
        return draw.choice((None, b"", b"\0", b"\xfe\x00key", b"a b", b"..", b"\x1b[31m", "é".encode(), b"k" * 300))
    return b"k" * 100_000


def _headers(draw: Random) -> Headers:
    names = (
        "x",
        "x",
        "x",
        "drop",
        "traceparent",
        "",
        "a-b",
        "é",
        "\x1b",
        "content-type",
        "ce_id",
        "workflow-bridge-reason",
    )
    values = (b"", b"1", b"one", b"\xff\x00", b"\x1b[31m", b"v" * 1_000, b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-01")
    count = draw.choice((0, 1, 2, 3, 6)) if draw.random() < 0.995 else 300
    return [(draw.choice(names), draw.choice(values)) for _ in range(count)]


def _event_headers(draw: Random, kind: str) -> Headers:
    """Of a CloudEvent: where its attributes are not in the body they are here, or some of them are."""
    if kind.startswith("structured"):
        return [("content-type", b"application/cloudevents+json")]
    if kind.startswith("of a batch"):
        return [("content-type", b"application/cloudevents-batch+json")]
    given = [("ce_specversion", b"1.0"), ("ce_id", b"b-%d" % draw.randrange(5_000)), ("ce_source", b"s")]
    given += [("ce_type", draw.choice((b"t", b"", b"\xff", b"%41%00"))), ("content-type", b"application/json")]
    return given if draw.random() < 0.8 else draw.sample(given, 3)
