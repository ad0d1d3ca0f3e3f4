"""What the review of rules says: certain where it says "never", quiet about rules as people write them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.routing.parser import parse
from bridge.routing.review import Known, looks, review
from bridge.routing.review.conditions import cases_of, exclusive, implied
from bridge.routing.review.unknown import unknown
from bridge.routing.review.unreachable import shadowed, unreachable
from bridge.routing.review.values import Values
from tests.routing.messages import message, route, router, rules

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bridge.routing.review.conditions import Given
    from bridge.routing.review.looking import Look
    from bridge.routing.values import Value

KNOWN = (Known("orders", "kafka", ("shop.orders",)), Known("payments", "rabbitmq"))
CREATE = {"workflow": "w"}


def looked(*written: Mapping[str, Value], **constants: Value) -> list[Look]:
    return looks(dict(enumerate(rules(*written))), constants, KNOWN, ("main",))


def findings(*written: Mapping[str, Value], **constants: Value) -> list[str]:
    return [f"{problem.path}: {problem.message}" for problem in review(looked(*written, **constants))]


NEVER = [
    ('body.type == "a" && body.type == "b"', "no value of body.type fulfils all"),
    ('body.type in ["a", "b"] && body["type"] in ["c"]', "no value of body.type"),
    ('body.type == "a" && body.type != "a"', "no value of body.type"),
    ('body.type == "a" && body.type.startsWith("b")', "no value of body.type"),
    ('body.type == "a" && !has(body.type)', "no value of body.type"),
    ('body.a == 1 && type(body.a) == string && body.a > "x"', "no value of body.a"),
    ('body.?type.orValue("a") == "b" && body.?type.orValue("b") == "a"', "no value of body.type"),
    ("body.total > 10 && body.total < 5", "no number fulfils all that it asks of body.total"),
    ("body.total > 10 && 10 >= body.total", "no number"),
    ("body.total > 5 && body.total == 5.0", "no value of body.total"),
    ('(body.type == "a" || body.type == "b") && body.type == "c"', "no value of body.type"),
    ("(body.a == 1 || body.b == 2) && body.a == 3 && body.b == 4", "no value of body"),
    ("has(body.a) && !has(body.a)", "something and for its opposite"),
    ("body.list.exists(x, x > 1) && !body.list.exists(x, x > 1)", "something and for its opposite"),
    ("false", "never true, whatever the message"),
    ('"1" < 2', "never true, whatever the message"),
    ("vars.n > 7", "never true, whatever the message"),
    ("1 / 0 == 1 && body.a == 1", "never true, whatever the message"),
    ('size(body.lines) == "2"', "a number is never equal to a string"),
    ("channel > 5", "a string is never greater than a number"),
    ("size(body.lines)", "a condition must be a bool, and this is a number"),
    ('body.a && body.b in "ab"', "nothing is in a string"),
    ('source == "nowhere"', "source is never what it asks for; it is one of orders"),
    ('channel == "shop.ordres"', "channel is never what it asks for; it is one of shop.orders"),
    ('routing_key == "order.created"', "no message of its sources has routing_key"),
    ('exchange.startsWith("x")', "no message of its sources has exchange"),
]


@pytest.mark.parametrize(("when", "why"), NEVER, ids=[when for when, _ in NEVER])
def test_a_condition_that_is_never_true_is_named_with_its_reason(when: str, why: str) -> None:
    """Whatever makes it so."""
    found = [
        f"{problem.path}: {problem.message}"
        for problem in unreachable(looked({"when": when, "from": "orders", "create": CREATE}, n=7))
    ]
    assert len(found) == 1
    assert found[0].startswith("rules[0].when: this rule never fires: ")
    assert why in found[0]


@pytest.mark.parametrize(
    "when",
    [
        'body.type == "a" && body.total > 5 && body.total < 6',
        "body.a == 1 && type(body.a) == double",
        "body.a == 1.0 && body.a == 1u",
        'body.?type.orValue("a") == "a" && !has(body.type)',
        'body.type == "a" || body.type == "b"',
        'body.tags.exists(t, t == "a") && body.tags.exists(t, t == "b")',
        'source in ["orders", "other"] && channel == "shop.orders" && partition == 3',
        'body.a != "x" && body.a != "y"',
        "vars.n == 7 && body.a",
        'body.a == 0 && string(body.a) == "-0"',
        "true",
    ],
)
def test_a_condition_that_may_be_true_is_not_called_unreachable(when: str) -> None:
    """Neither where nothing is known, nor where it is close."""
    assert list(unreachable(looked({"when": when, "create": CREATE}, n=7))) == []


COVERED = [
    ('body.type == "a"', 'body.type == "a" && body.total > 5'),
    ('body.type in ["a", "b"]', 'body["type"] == "a"'),
    ('body.type in ["a", "b"]', 'body.type == "a" || "b" == body.type'),
    ('body.type == "a" || body.x', 'body.type == "a"'),
    ("body.total > 5", "body.total > 10"),
    ("body.total >= 5", "body.total == 5"),
    ("has(body.type)", 'body.type == "x"'),
    ("has(body.type)", "body.type.name > 3"),
    ('body.type != "b"', 'body.type == "a"'),
    ('!(body.type == "b")', 'body.type == "a"'),
    ('body.type.startsWith("order.")', 'body.type in ["order.created", "order.paid"]'),
    ("body.list.exists(x, x == 1)", "body.list.exists(x, x == 1) && body.a"),
    (None, "body.a"),
    ('source == "orders"', "body.a"),
    ("body.total > vars.n", "body.total > 8"),
]


@pytest.mark.parametrize(("first", "second"), COVERED)
def test_a_rule_after_a_final_one_that_always_takes_its_messages_is_named(first: str | None, second: str) -> None:
    """With the rule that does; a drop and a dead_letter are final."""
    before: dict[str, Value] = {} if first is None else {"when": first}
    for final in ({"create": CREATE, "final": True}, {"drop": "it"}, {"dead_letter": "it"}):
        found = list(shadowed(looked(before | final, {"when": second, "from": "orders", "create": CREATE}, n=7)))
        assert [problem.path for problem in found] == ["rules[1]"]
        assert "rules[0] (r0) stands before it" in found[0].message
    after = looked({**before, "create": CREATE}, {"when": second, "from": "orders", "create": CREATE}, n=7)
    assert list(shadowed(after)) == []


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ('body.type == "a" && body.total > 5', 'body.type == "a"'),
        ('body.type == "a"', 'body.?type.orValue("a") == "a"'),
        ('body.type in ["a"]', 'body.type in ["a", "b"]'),
        ("body.total > 5", "body.total >= 5"),
        ("type(body.a) == int", "body.a == 1"),
        ("has(body.type)", 'body.?type.orValue("x") == "x"'),
        ("body.type == 'a'", "body.type == 'a' || body.x"),
    ],
)
def test_a_rule_to_which_a_final_one_leaves_something_is_not_named(first: str, second: str) -> None:
    """However little that is."""
    written = ({"when": first, "drop": "it"}, {"when": second, "create": CREATE})
    assert list(shadowed(looked(*written))) == []


def test_a_rule_for_two_sources_is_shadowed_only_for_both() -> None:
    """By one rule for each, or by one for all."""
    drop = [{"from": name, "when": "body.a", "drop": "it"} for name in ("orders", "payments")]
    rule = {"when": "body.a && body.b", "create": CREATE}
    assert list(shadowed(looked(drop[0], rule))) == []
    (found,) = shadowed(looked(*drop, rule))
    assert "rules[0] (r0), rules[1] (r1)" in found.message


ATOMS = [
    *(
        f"body.{field} {sign} {value}"
        for field in "ab"
        for sign in ("==", "!=", "<", ">=")
        for value in ("'x'", "1", "2")
    ),
    *("body.a in ['x', 1]", "body.b in ['y', 2, true]", "body['a'] == 1.0", "1u == body.a", "body.b == null"),
    *(
        "body.?a.orValue('x') == 'x'",
        "body.?a.orValue(1) in [1, 'y']",
        "body.?b.orValue(3) > 2",
        "body.?a.orValue('') != 'x'",
    ),
    *(
        "has(body.a)",
        "!has(body.a)",
        "!has(body.b)",
        "'a' in body",
        "body.a",
        "!body.a",
        "!(body.a == 'x')",
        "body.a.c == 1",
    ),
    *("has(body.a.c)", "type(body.a) == int", "type(body.a) == double", "string(body.a) == '1'", "body.a > body.b"),
    *(
        "headers.h == 'x'",
        "headers[?'h'].orValue('x') == 'x'",
        "source == 'orders'",
        "channel == 'nope'",
        "partition == 0",
    ),
    *("false", "true", "'1' < 2", "1/0 == 1", "vars.n == 7", "exchange == 'e'", "[1, 2].exists(x, x == body.a)"),
    *("size(body.a) == '1'", "source > 1", "string(body.a) < 2", "size(body.a)", "body.a in 'x'", "null == body.b"),
    *("string(body.a) == 'x' || size(body.a) == null", "int(body.a) < 2.5", "body.a.contains('x') == true"),
    *("body.a.startsWith('x')", "size(body.a) > 0", "(body.a == 1 ? body.b == 2 : body.b == 'x')", "body.b < body.a"),
]


def conditions() -> st.SearchStrategy[str]:
    return st.recursive(
        st.sampled_from(ATOMS),
        lambda inner: st.builds(
            lambda sign, parts: f"({sign.join(parts)})",
            st.sampled_from([" && ", " && ", " || "]),
            st.lists(inner, min_size=2, max_size=3),
        ),
        max_leaves=4,
    )


SCALARS = ["x", "y", 0, 1, 2, 3, True, False, None, 1.0, 1.5, -0.0, [1], {"c": 1}, "1", 2**60, float(2**60)]
BODIES: st.SearchStrategy[Value] = st.one_of(
    st.sampled_from([None, [], "x", 1]), st.dictionaries(st.sampled_from("ab"), st.sampled_from(SCALARS))
)
HEADERS = st.lists(st.tuples(st.just("h"), st.sampled_from([b"x", b"y", 1, None])), max_size=1)
SENT = st.lists(st.tuples(BODIES, HEADERS), min_size=4, max_size=12)


def sent_messages(sent: Sequence[tuple[Value, Value]]) -> list[Value]:
    return [
        message(json.dumps(body).encode(), offset=place, headers=headers) for place, (body, headers) in enumerate(sent)
    ]


@settings(max_examples=150)
@given(st.lists(st.tuples(conditions(), st.booleans()), min_size=1, max_size=5), SENT)
def test_what_is_said_never_to_fire_never_fires(
    written: list[tuple[str, bool]], sent: list[tuple[Value, Value]]
) -> None:
    """Random rules on random messages: unreachable and shadowed are certain."""
    made = [{"when": when, "final": final, "create": CREATE} for when, final in written]
    looking = looked(*made, n=7)
    never = {int(found.path[6]) for find in (unreachable, shadowed) for found in find(looking)}
    matched = route(router(*made, n=7), *sent_messages(sent)).matched
    assert {int(name[1]) for name in matched} & never == set()


@settings(max_examples=150)
@given(conditions(), conditions(), SENT)
def test_what_one_condition_is_said_to_say_of_another_is_so(
    first: str, second: str, sent: list[tuple[Value, Value]]
) -> None:
    """Implied: true whenever the other is. Exclusive: never true together."""
    values = Values({"n": 7})
    known: Given = {("source",): ("orders",), ("channel",): ("shop.orders",)}
    some, others = (cases_of(parse(text), values, known) for text in (first, second))
    made = router({"when": first, "create": CREATE}, {"when": second, "create": CREATE}, n=7)
    for each in sent_messages(sent):
        matched = set(route(made, each).matched)
        if exclusive(some, others):
            assert matched != {"r0", "r1"}
        if implied(some, [parse(second)]):
            assert matched != {"r0"}


ORDER = {"workflow": "w", "id": "order-${body.id}", "params": "${body}"}


def test_two_rules_that_create_the_same_instance_of_one_message_are_named() -> None:
    """Where they may both fire, and do not create it alike; conditions that exclude each other are fine."""
    other = {**ORDER, "params": {"total": "${body.total}"}}
    (found,) = findings({"when": "body.a == 1", "create": ORDER}, {"when": "body.b == 1", "create": other})
    assert found.startswith(
        "rules[1].create: rules[0] (r0) may fire for the same messages and creates the same instance"
    )
    assert findings({"when": "body.a == 1", "create": ORDER}, {"when": "body.a == 2", "create": other}) == []
    assert findings({"when": "body.a == 1", "create": ORDER}, {"when": "body.b == 1", "create": ORDER}) == []
    (found,) = findings({"when": "body.a == 1", "create": ORDER}, {"when": "body.a == 1", "create": {**ORDER}})
    assert "one is enough" in found
    again = {**other, "if_exists": "restart"}
    assert findings({"when": "body.a == 1", "create": ORDER}, {"when": "body.b == 1", "create": again}) == []
    last = {"when": "body.b == 1", "create": other}
    assert findings({"when": "body.a == 1", "create": ORDER, "final": True}, last) == []
    assert findings({"create": ORDER, "from": "orders"}, {"create": other, "from": "payments"}) == []


def test_ids_of_two_rules_that_can_be_the_same_are_named() -> None:
    """They begin alike, and their expressions may give the same text."""
    other = {"workflow": "w", "id": "order-${body.order}"}
    (found,) = findings({"create": ORDER}, {"create": other})
    assert found.startswith("rules[1].create.id: may be the same id as order-${body.id} of rules[0] (r0)")
    assert findings({"create": ORDER}, {"create": {**other, "id": "refund-${body.order}"}}) == []
    assert findings({"create": ORDER}, {"create": {**other, "workflow": "v"}}) == []


def test_two_calls_to_one_instance_are_named() -> None:
    """Two events of a type, or two changes of status, for the same messages."""
    event = {"workflow": "w", "id": "order-${body.id}", "type": "paid"}
    (found,) = findings({"when": "body.a", "event": event}, {"when": "body.a && body.b", "event": event})
    assert "rules[0] (r0) makes a call to the same instance for the same messages" in found
    assert findings({"event": event}, {"event": {**event, "type": "shipped"}}) == []


ABSENT = [
    ('body.test != "x"', "body.test does not match"),
    ("!body.test", "write !has(body.test) || …; if not, say so with has(body.test) && …"),
    ("!(body.a == 1 || body.b == 2)", "body.a or body.b does"),
    ("body.total < 5", "body.total does"),
    ("5 >= body.total", "body.total does"),
    ('headers["x-test"] != "1"', '!("x-test" in headers) || …'),
    ('!body.name.startsWith("x")', "body.name does"),
]


@pytest.mark.parametrize(("when", "expected"), ABSENT)
def test_a_condition_that_an_absent_field_makes_false_is_named(when: str, expected: str) -> None:
    """Where it reads as if it were true then."""
    (found,) = findings({"when": when, "create": CREATE})
    assert found.startswith("rules[0].when: a message without ")
    assert expected in found


@pytest.mark.parametrize(
    "when",
    [
        "has(body.total) && body.total < 5",
        '!has(body.test) || body.test != "x"',
        'body.?test.orValue("") != "x"',
        '!("x-test" in headers) || headers["x-test"] != "1"',
        "body.total > 5 && 5 < body.total",
        'source != "orders"',
        "body.lines.exists(line, line.qty < 5)",
        "!has(body.test)",
    ],
)
def test_a_condition_that_asks_for_the_field_is_not_named(when: str) -> None:
    """And none in which an absent field does what one expects."""
    assert findings({"when": when, "create": CREATE}) == []


ILLEGAL = [
    ("order/${body.id}", "'/' cannot stand in an id, so every call becomes a dead letter"),
    ("-${body.id}", "an id cannot begin with -"),
    ("x" * 101 + "${body.id}", "101 characters beside the expressions"),
    ("order-${body.email}", "write ${safe_id(body.email)}"),
    ("order-${headers.userEmail}", "write ${safe_id(headers.userEmail)}"),
    ("order-${key}", "a key may be any bytes"),
    ("order-${timestamp}", "its text has colons in it"),
    ("order-${channel}", "'shop.orders' is none"),
    ("order-${body.name + '-x'}", "write ${safe_id(body.name)}"),
]


@pytest.mark.parametrize(("template", "expected"), ILLEGAL)
def test_an_id_that_the_api_would_refuse_is_named(template: str, expected: str) -> None:
    """For every message, or for some."""
    (found,) = findings({"from": "orders", "create": {"workflow": "w", "id": template}})
    assert found.startswith("rules[0].create.id: ")
    assert expected in found


@pytest.mark.parametrize(
    "template",
    [
        "order-${body.order_id}",
        "${safe_id(body.email)}",
        "${hash([body.name, body.id])}",
        "p-${partition}-${offset}",
        "fixed",
    ],
)
def test_an_id_that_is_made_with_care_is_not_named(template: str) -> None:
    """Ids, numbers, and what safe_id and hash have made."""
    assert findings({"from": "orders", "create": {"workflow": "w", "id": template}}) == []


def test_one_id_for_all_elements_is_named() -> None:
    """A for_each whose id says nothing of the element."""
    create = {"workflow": "w", "id": "pick-${body.id}"}
    (found,) = findings({"for_each": "body.lines", "create": create})
    assert "put item or index into it, such as pick-${body.id}-${index}" in found
    assert findings({"for_each": "body.lines", "create": {**create, "id": "pick-${item.id}"}}) == []
    assert findings({"for_each": "body.lines", "create": {"workflow": "w"}}) == []


class Schema(NamedTuple):
    """Stands for what a schema file tells."""

    names: dict[str, Schema]
    open: bool = False
    items: Schema | None = None

    def below(self, step: str | int) -> Schema | None:
        if isinstance(step, int):
            return self.items
        return self.names.get(step) or (Schema({}, open=True) if self.open else None)


LINE = Schema({"sku": Schema({})})
ORDER_SCHEMA = Schema(
    {
        "type": Schema({}),
        "order_id": Schema({}),
        "lines": Schema({}, items=LINE),
        "more": Schema({"colour": Schema({})}, open=True),
    }
)
UNKNOWN = [
    ({"when": "body.typ == 'a'"}, "when: body.typ is not in the schema of its source: no typ; did you mean type?"),
    (
        {"when": "body.zzz"},
        "when: body.zzz is not in the schema of its source: no zzz; there are lines, more, order_id, type",
    ),
    ({"when": "body.?order_ids.orValue('') == 'a'"}, "no order_ids; did you mean order_id?"),
    ({"when": "body.type.name == 'a'"}, "when: body.type.name is not in the schema of its source: no name"),
    ({"when": "body.lines[0].skuu == 'a'"}, "no skuu; did you mean sku?"),
    ({"when": "body.more.color == 'a'"}, "no color; did you mean colour?"),
    ({"for_each": "body.line", "create": CREATE}, "for_each: body.line is not in"),
    ({"create": {"workflow": "w", "id": "o-${body.orderid}"}}, "create.id: body.orderid is not in"),
    ({"create": {"workflow": "w", "params": {"a": ["${body.orderid}"]}}}, "create.params.a[0]: body.orderid is not in"),
    ({"for_each": "body.lines", "create": {"workflow": "w", "id": "o-${item.sk}"}}, "body.lines[0].sk is not in"),
]


@pytest.mark.parametrize(("rule", "expected"), UNKNOWN, ids=[expected for _, expected in UNKNOWN])
def test_a_field_that_the_schema_does_not_have_is_named(rule: dict[str, Value], expected: str) -> None:
    """In a condition or a template, with the name that was probably meant; where the schema of the source is known."""
    whole = rules({"create": CREATE} | rule | {"from": "orders"})
    known = Known("orders", "kafka", fields=ORDER_SCHEMA)
    (found,) = unknown(looks({0: whole[0]}, {}, [known], ("main",)))
    assert expected in f"{found.path}: {found.message}"
    assert list(unknown(looks({0: whole[0]}, {}, [Known("orders")], ("main",)))) == []


def test_a_field_that_one_of_the_sources_may_have_is_not_named() -> None:
    """The schema of the other is not known."""
    (rule,) = rules({"when": "body.typ == 'a'", "create": CREATE})
    sources = [Known("orders", fields=ORDER_SCHEMA), Known("payments")]
    assert list(unknown(looks({0: rule}, {}, sources, ("main",)))) == []


@pytest.mark.parametrize(
    "when",
    [
        "body.type == 'a'",
        "body.lines[3].sku == 'x'",
        "body.lines.exists(x, x.anything)",
        "body.more.size > 3",
        "has(body.more)",
    ],
)
def test_a_field_of_the_schema_is_not_named(when: str) -> None:
    """Nor one that an open part of it may have."""
    (rule,) = rules({"when": when, "create": CREATE})
    assert list(unknown(looks({0: rule}, {}, [Known("orders", fields=ORDER_SCHEMA)], ("main",)))) == []


def test_rules_by_the_hundred_that_only_look_alike_are_not_named() -> None:
    """Each of two hundred has a type of its own; none shadows, collides or contradicts."""
    written = [
        {"when": f"body.type == 't{place}' && body.total > 5", "create": {**ORDER, "id": f"o{place % 7}-${{body.id}}"}}
        for place in range(100)
    ]
    final = [{"when": f"body.type == 'f{place}'", "drop": "it"} for place in range(100)]
    assert findings(*final, *written) == []
