"""Templates: what becomes text, what stays JSON, and that nothing of a number is lost on the way."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import RuleError
from bridge.routing.expression import ExpressionError
from bridge.routing.template import TemplateError, compile_json, compile_text
from bridge.routing.variables import MessageNames
from tests.routing.messages import message

if TYPE_CHECKING:
    from bridge.routing.values import Value

NAMES = MessageNames({"env": "prod", "limits": {"low": 5}}).names({"orders"}, {"orders"})


def as_json(template: Value, body: bytes) -> bytes:
    return compile_json(template, NAMES)(message(body), orjson.loads(body))


def as_text(template: str, body: bytes) -> str:
    return compile_text(template, NAMES)(message(body, key=b"k-1"), orjson.loads(body))


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("${body.n}", b"5"),
        ("${body.s}", b'"a\\"b"'),
        ("${body.t && true}", b"true"),
        ("${body.z}", b"null"),
        ("n=${body.n}", b'"n=5"'),
        ("${body.n}${body.n}", b'"55"'),
        ("$${body.n}", b'"${body.n}"'),
        ("$$${body.n}", b'"$${body.n}"'),
        ("5 $ and $x", b'"5 $ and $x"'),
        ("${'}'}${\"${\"}", b'"}${"'),
        ("${{'a': {'b': 1}}}", b'{"a":{"b":1}}'),
        ("${body.l.map(x, {'v': x})}", b'[{"v":1},{"v":2}]'),
        ({"a": ["${body.n}", {"${body.k}": "x"}], "b": 1.5}, b'{"a":[5,{"key":"x"}],"b":1.5}'),
        ({"a": {"c": 1, "d": [None, True]}, "e": "${vars.env}"}, b'{"a":{"c":1,"d":[null,true]},"e":"prod"}'),
        (["$${x}", "${body.n}"], b'["${x}",5]'),
        ({"literal": "$${x}"}, b'{"literal":"${x}"}'),
        ("${vars.limits.low + body.n}", b"10"),
        ("${timestamp}", b'"2020-09-13T12:26:40.123Z"'),
        ("${{1: 'a', 'true': 2u}}", b'{"1":"a","true":2}'),
        ("${b'\\xff'}", b'"/w=="'),
        ("${duration('90s')}", b'"90s"'),
    ],
)
def test_json_templates(template: Value, expected: bytes) -> None:
    """A string that is one ``${…}`` keeps the value's type; others are text; maps and lists are walked."""
    body = b'{"n":5,"s":"a\\"b","t":true,"z":null,"l":[1,2],"k":"key"}'
    assert as_json(template, body) == expected


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("order-${body.n}", "order-5"),
        ("${body.s}-${key}-${partition}", "ab-k-1-0"),
        ("${body.d}", "2"),
        ("${body.t}", "true"),
        ("fixed", "fixed"),
        ("${source}_${vars.env}", "orders_prod"),
    ],
)
def test_text_templates(template: str, expected: str) -> None:
    """Integers, whole doubles, bools and text have a form inside an id."""
    assert as_text(template, b'{"n":5,"s":"ab","d":2.0,"t":true}') == expected


@pytest.mark.parametrize("field", ["z", "d", "m", "l", "nope"])
def test_what_cannot_stand_in_an_id(field: str) -> None:
    """null, a double that is not whole, maps, lists and missing fields are errors inside an id, not text."""
    with pytest.raises(RuleError):
        as_text("order-${body.%s}" % field, b'{"z":null,"d":2.5,"m":{},"l":[]}')  # noqa: UP031  braces abound


def test_a_whole_body_is_passed_on_unchanged() -> None:
    """``${body}`` is the message's own text: spaces, order, repeated keys and the spelling of numbers included."""
    body = b' {"b": 1.50, "a" :1e2,\n"c":"\\u00e9", "b":12345678901234567890} '
    assert as_json("${body}", body) == body
    assert as_json({"order": "${body}"}, b'{"x": 1.0}') == b'{"order":{"x": 1.0}}'


SPELLED = st.sampled_from(["1.50", "1e2", "-0.0", "1E+2", "9007199254740993", "18446744073709551615", "0.10", "-7"])
TEXTS = st.recursive(
    SPELLED | st.sampled_from(['"\\u00e9"', '"x"', "null", "true"]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[ {' ,'.join(items)}]"),
        st.lists(inner, max_size=3).map(
            lambda items: "{%s}" % ", ".join(f'"k{place % 2}" :{item}' for place, item in enumerate(items))  # noqa: UP031  braces abound
        ),
    ),
    max_leaves=8,
)


@given(TEXTS, st.sampled_from(["", " ", "\n\t"]))
def test_every_list_is_passed_on_unchanged(text: str, around: str) -> None:
    """Whatever it holds and however it is written, repeated keys and white space included."""
    body = f"{around}[{text}]{around}".encode()
    assert as_json("${body}", body) == body


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"x":1.50}', b"1.50"),
        (b'{"x":1.5}', b"1.5"),
        (b'{"x": 1.5 }', b"1.5"),
        (b'{"x":  1.5}', b"1.5"),
        (b'{"y":{"x":1.5},"x":1.500}', b"1.500"),
        (b'{"x":"1.5","x":1.5}', b"1.5"),
        (b'{"\\u0078":1.50,"z":{"x":1.5}}', b"1.50"),
        (b'{"z":"\\"x\\":1.5,","x":1.5e0}', b"1.5e0"),
        (b'{"x":0.1000000000000000055511151231257827}', b"0.1000000000000000055511151231257827"),
        (b'{"x":-0.0}', b"-0.0"),
        (b'{"x":[1.0,{"a":2.50,"b":"3.0"}]}', b'[1.0,{"a":2.50,"b":"3.0"}]'),
        (b'{"x":[1,{"a":null}]}', b'[1,{"a":null}]'),
    ],
)
def test_a_part_of_the_body_keeps_the_spelling_of_its_numbers(body: bytes, expected: bytes) -> None:
    """``${body.x}`` is the number as it was sent, not the nearest double."""
    assert as_json("${body.x}", body) == expected
    assert as_json({"v": "${body['x']}"}, body) == b'{"v":' + expected + b"}"


NUMBERS = st.one_of(
    st.integers(-(2**63), 2**64 - 1).map(str),
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30).map(lambda d: f"{d:f}"),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.sampled_from(["0.10", "1E+2", "-0", "-0.0", "1e-7", "100.000", "5e-324"]),
)
KEYS = st.sampled_from(["x", "y", "a b", "é", 'q"', "\\", "x.y"])
TREES: st.SearchStrategy[str] = st.recursive(
    NUMBERS | st.sampled_from(["null", "true", '"x"', '"x:1.5"', '"\\"x\\":1.5"']),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda parts: f"[{','.join(parts)}]"),
        st.dictionaries(KEYS, inner, max_size=3).map(
            lambda pairs: "{" + ", ".join(f"{json.dumps(key)}:{item}" for key, item in pairs.items()) + "}"
        ),
    ),
    max_leaves=8,
)


def exactly(text: bytes | str) -> Value:
    """Parsed with every number in its own spelling."""
    return json.loads(text, parse_float=lambda t: ("number", t), parse_int=lambda t: ("number", t))


@given(st.dictionaries(KEYS, TREES, min_size=1, max_size=4), st.data())
def test_no_number_is_respelled(fields: dict[str, str], data: st.DataObject) -> None:
    """Whatever the body, every number of a selected part leaves as it came."""
    body = ("{" + ",".join(f"{json.dumps(key)}: {item}" for key, item in fields.items()) + "}").encode()
    key = data.draw(st.sampled_from(sorted(fields)))
    rendered = as_json({"v": "${body[%s]}" % json.dumps(key, ensure_ascii=False)}, body)  # noqa: UP031  braces abound
    original, value = exactly(fields[key]), exactly(rendered)["v"]
    if type(original) is tuple:
        # An integer may lose a sign before zero, nothing else.
        assert original == value or (original[1] == "-0" and value[1] == "0")
        assert Decimal(original[1]) == Decimal(value[1])
    elif "." in fields[key] or "e" in fields[key].lower():
        assert json.dumps(original).replace('"-0"', '"0"') == json.dumps(value).replace('"-0"', '"0"')
    else:
        assert orjson.loads(fields[key]) == orjson.loads(rendered)["v"]


@given(st.dictionaries(KEYS, TREES, max_size=3))
def test_rendering_is_deterministic(fields: dict[str, str]) -> None:
    """The same message always renders the same bytes, with a template compiled anew as well."""
    body = ("{" + ",".join(f"{json.dumps(key)}: {item}" for key, item in fields.items()) + "}").encode()
    template = {"all": "${body}", "hash": "${hash(body)}", "text": "${json(body)}-${message_id}"}
    function = compile_json(template, NAMES)
    first = function(message(body), orjson.loads(body))
    assert first == function(message(body), orjson.loads(body)) == as_json(template, body)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_hostile_literals_are_literals(text: str) -> None:
    """Text around expressions comes out as it was written."""
    escaped = text.replace("${", "$${")
    assert orjson.loads(as_json(escaped, b"{}")) == text
    assert orjson.loads(as_json({escaped: [escaped + "x${1}"]}, b"{}")) == {text: [text + "x1"]}


@pytest.mark.parametrize(
    ("template", "path", "message_part", "position"),
    [
        ("${body.a", "", "this ${ has no }", 0),
        ({"a": [1, "x ${body.}"]}, ".a[1]", "expected a field's name", 9),
        ({"a": {"b": "${bodi}"}}, ".a.b", "did you mean body?", 2),
        ({"${1 +}": 1}, "", "expected a value", 5),
        ("${vars.nope}", "", "vars has no nope", 7),
        ("${item}", "", "no variable item", 2),
        ("${}", "", "an expression is missing", 2),
    ],
)
def test_a_mistake_in_a_template_is_placed(template: Value, path: str, message_part: str, position: int) -> None:
    """An error says which string of the template it is in, and where in that."""
    with pytest.raises(TemplateError) as caught:
        compile_json(template, NAMES)
    assert (caught.value.path, caught.value.position) == (path, position)
    assert message_part in caught.value.message


def test_a_mistake_in_a_text_template_shows_the_text() -> None:
    """The caret stands below the place in the whole template."""
    with pytest.raises(ExpressionError) as caught:
        compile_text("order-${body.id ==}", NAMES)
    assert str(caught.value).splitlines()[1:] == ["    order-${body.id ==}", "                      ^"]


@pytest.mark.parametrize("template", ["${double('nan')}", "${[1.0 / 0.0]}", "${optional.none()}", "${type(1)}"])
def test_what_json_cannot_hold(template: str) -> None:
    """A value without a form in JSON is an error, never a silent null."""
    with pytest.raises(RuleError):
        as_json(template, b"{}")
    with pytest.raises(RuleError):
        as_json({"a": template}, b"{}")
