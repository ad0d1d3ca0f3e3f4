from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from bridge.document import Document, dotted, load
from bridge.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


def read(folder: Path, text: str) -> Document:
    (folder / "bridge.yaml").write_bytes(text.encode())
    return load(folder / "bridge.yaml")


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(folder, text)
    return str(caught.value).replace(f"{folder}/", "")


def complaints(folder: Path, text: str) -> list[str]:
    return [str(problem).replace(f"{folder}/", "") for problem in read(folder, text).problems]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("no", "no"),
        ("on", "on"),
        ("Yes", "Yes"),
        ("y", "y"),
        ("true", True),
        ("FALSE", False),
        ("tRue", "tRue"),
        ("null", None),
        ("~", None),
        ("", None),
        ("12", 12),
        ("-7", -7),
        ("0012", 12),
        ("0o17", 15),
        ("0x1F", 31),
        ("1_000", "1_000"),
        ("12:30:45", "12:30:45"),
        ("1.10", 1.1),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("-.inf", -math.inf),
        ("2026-11-24", "2026-11-24"),
        ("1.10.2", "1.10.2"),
        ("'12'", "12"),
        ('"\\u00fc"', "ü"),
        ('"\\ud83d\\ude00"', "😀"),  # as JSON writes it
        ("!!str 12", "12"),
        ("18446744073709551616", 2**64),
        ("=", "="),
        ("<<", "<<"),
    ],
)
def test_values_are_those_of_yaml_1_2(tmp_path: Path, written: str, expected: object) -> None:
    """The core schema: words are words, and only what looks like JSON has a type."""
    value = read(tmp_path, f"a: {written}\n").value["a"]
    assert value == expected
    assert type(value) is type(expected)


def test_names_are_always_text(tmp_path: Path) -> None:
    """A map with ``on:`` or ``1:`` has the keys that one sees."""
    assert read(tmp_path, "on: 1\nno: 2\n1: 3\nnull: 4\n1.10: 5\n").value == {
        "on": 1,
        "no": 2,
        "1": 3,
        "null": 4,
        "1.10": 5,
    }


def test_what_was_written_for_a_number_can_be_asked(tmp_path: Path) -> None:
    """An id of digits keeps its zeros where a text is wanted."""
    document = read(tmp_path, "a: {version: 1.10, id: [0012, 12e3]}\nb: text\n")
    assert document.text_of(("a", "version")) == "1.10"
    assert document.text_of(("a", "id", 0)) == "0012"
    assert document.text_of(("a", "id", 1)) == "12e3"
    assert document.text_of(("b",)) is None


def test_every_value_has_its_line(tmp_path: Path) -> None:
    """A place is the line of the name, or of the list's element; what is missing is where it should be."""
    document = read(tmp_path, "rules:\n  - name: a\n    when: >\n      x\n  -\n    name: b\n")
    file = str(tmp_path / "bridge.yaml")
    assert document.position_of(("rules",)) == (file, 1)
    assert document.position_of(("rules", 0, "name")) == (file, 2)
    assert document.position_of(("rules", 0, "when")) == (file, 3)
    assert document.position_of(("rules", 1)) == (file, 6)
    assert document.position_of(("rules", 1, "create", "id")) == (file, 6)
    assert document.position_of(("nothing",)) == (file, 1)


def test_a_path_is_written_as_one_would_say_it() -> None:
    """Names with dots between, numbers in brackets."""
    assert dotted(("rules", 2, "create", "id")) == "rules[2].create.id"
    assert dotted(()) == ""


def test_a_name_given_twice_is_a_problem_on_its_second_line(tmp_path: Path) -> None:
    """The first is not silently lost, and reading goes on."""
    text = "a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\na: 2\n"
    assert complaints(tmp_path, text) == [
        "bridge.yaml:5: b.c: given twice; the first is on line 3: keep one",
        "bridge.yaml:6: a: given twice; the first is on line 1: keep one",
    ]
    assert read(tmp_path, text).value == {"a": 1, "b": {"c": 1, "d": 2}}


CEL_TRAPS = [
    ("when: a ? b : c", "when: 'a ? b : c'", "a ? b : c"),
    ('when: "x" in body.tags', "when: '\"x\" in body.tags'", '"x" in body.tags'),
    ("when: 'x' in body.tags", "when: '''x'' in body.tags'", "'x' in body.tags"),
    ("when: !has(body.test)", "'!has(body.test)'", "!has(body.test)"),
    ("when: !body.x == 1", "'!body.x == 1'", "!body.x == 1"),
    ("when: !has(a) && b", "when: '!has(a) && b'", "!has(a) && b"),
    ("when: ! has(a)", "'! has(a)'", "! has(a)"),
    ("when: [1, 2].exists(x, x == 1)", "when: '[1, 2].exists(x, x == 1)'", "[1, 2].exists(x, x == 1)"),
    ('when: {"a": 1}[body.x] == 1', "when: '{\"a\": 1}[body.x] == 1'", '{"a": 1}[body.x] == 1'),
    ("when: >= 5", "when: '>= 5'", ">= 5"),
    ('when: body.tag == "a #b"', "'body.tag == \"a #b\"'", 'body.tag == "a #b"'),
    ('when: "${body["a-b"]}"', "when: '${body[\"a-b\"]}'", '${body["a-b"]}'),
]


@pytest.mark.parametrize(("line", "fix", "meant"), CEL_TRAPS)
def test_where_yaml_trips_over_cel_the_quoted_form_is_shown(tmp_path: Path, line: str, fix: str, meant: str) -> None:
    """The problem has its line and ends with the text to write; the rest is read as it was meant."""
    document = read(tmp_path, f"rules:\n- name: first\n  {line}\n  final: true\n")
    (problem,) = document.problems
    assert problem.line == 3
    assert problem.message.endswith(fix)
    assert document.value == {"rules": [{"name": "first", "when": meant, "final": True}]}


def test_the_fix_that_is_shown_works(tmp_path: Path) -> None:
    """Every quoted form, put into the file, gives what was meant and no problem."""
    for line, fix, meant in CEL_TRAPS:
        mended = fix if fix.startswith("when:") else line.split(":")[0] + ": " + fix
        assert complaints(tmp_path, mended + "\n") == []
        assert read(tmp_path, mended + "\n").value == {"when": meant}


def test_all_traps_of_a_file_are_found_at_once(tmp_path: Path) -> None:
    """One mistake does not hide the next."""
    text = "".join(f"- {line}\n" for line, _, _ in CEL_TRAPS)
    document = read(tmp_path, "rules:\n" + text)
    assert sorted(problem.line for problem in document.problems) == list(range(2, 2 + len(CEL_TRAPS)))
    assert [rule["when"] for rule in document.value["rules"]] == [meant for _, _, meant in CEL_TRAPS]


def test_a_comma_that_splits_an_expression_in_braces_is_found(tmp_path: Path) -> None:
    """``{for_each: f(x, y)}`` is two names to YAML, without any error."""
    text = "rules:\n- {name: a, for_each: 'x'}\n- {for_each: f(l, l.qty > 0), name: b}\n"
    assert complaints(tmp_path, text) == [
        "bridge.yaml:3: rules[1].for_each: the comma ends the value here; put it in quotes: 'f(l, l.qty > 0)'",
    ]
    assert read(tmp_path, text).value["rules"][1] == {"for_each": "f(l, l.qty > 0)", "name": "b"}


def test_a_value_in_braces_that_yaml_trips_over_is_found_in_its_line(tmp_path: Path) -> None:
    """The one value is named with its path, not the whole mapping around it; what is beside it stays as it is."""
    text = """\
rules:
- {name: a, when: body.a ? b : c, create: {workflow: w, id: "${body["a-b"]}"}}
- name: b
  create: {workflow: w, id: order-${body.id},
           params: {"x": ${body.x}, y: 1, z: ["as it is", "${body["z"]}"]}}
- {name: c, when: body.note == "a #b", final: true}
- {name: d, when: !has(body.x), tags: [a, "b"]}
- name: e
  when: "body.a == "b""
"""
    document = read(tmp_path, text)
    found = {(problem.path, problem.line): problem.message.partition("quotes: ")[2] for problem in document.problems}
    assert found == {
        ("rules[0].when", 2): "when: 'body.a ? b : c'",
        ("rules[0].create.id", 2): "id: '${body[\"a-b\"]}'",
        ("rules[1].create.id", 4): "id: 'order-${body.id}'",
        ("rules[1].create.params.x", 5): "x: '${body.x}'",
        ("rules[1].create.params.z", 5): "z: '${body[\"z\"]}'",
        ("rules[2].when", 6): "when: 'body.note == \"a #b\"'",
        ("rules[3].when", 7): "when: '!has(body.x)'",
        ("rules[4].when", 9): "when: 'body.a == \"b\"'",
    }
    assert document.value["rules"] == [
        {"name": "a", "when": "body.a ? b : c", "create": {"workflow": "w", "id": '${body["a-b"]}'}},
        {
            "name": "b",
            "create": {
                "workflow": "w",
                "id": "order-${body.id}",
                "params": {"x": "${body.x}", "y": 1, "z": ["as it is", '${body["z"]}']},
            },
        },
        {"name": "c", "when": 'body.note == "a #b"', "final": True},
        {"name": "d", "when": "!has(body.x)", "tags": ["a", "b"]},
        {"name": "e", "when": 'body.a == "b"'},
    ]


def test_an_expression_that_commas_split_into_several_pieces_is_one_problem(tmp_path: Path) -> None:
    """However many pieces YAML has made of it."""
    text = 'rules:\n- {for_each: f(l, g(t, l.x, 1) && 2, 3), name: b, drop: "a, b"}\n'
    fix = "'f(l, g(t, l.x, 1) && 2, 3)'"
    found = f"bridge.yaml:2: rules[0].for_each: the comma ends the value here; put it in quotes: {fix}"
    assert complaints(tmp_path, text) == [found]
    assert read(tmp_path, text).value["rules"][0] == {
        "for_each": "f(l, g(t, l.x, 1) && 2, 3)",
        "name": "b",
        "drop": "a, b",
    }


@pytest.mark.parametrize(
    "line",
    [
        "when: body.total > 1  # only the big ones",
        'when: body.name == "a"  # say "no"',
        "drop: it's a test  # of course",
        "note: 'a # b'",
        "flags: {a, b}",
        "flags: {a: , b: 1}",
        "url: http://host:80/#x",
        "when: a ?b :c",
    ],
)
def test_plain_yaml_is_not_suspected(tmp_path: Path, line: str) -> None:
    """Comments, apostrophes and empty values are what they look like."""
    assert complaints(tmp_path, line + "\n") == []


@pytest.mark.parametrize(
    "line",
    [
        "api_token: @hunter2",
        "password: !hunter2",
        "url: *hunter2",
        'proxy: "http://u:hunter2@h" x',
        "token: !!int hunter2",
        "x: {password: f(hunter2, x)}",
        "password: a'hunter2 #'",
        "x: {password: hunter2: x, a: b}",
    ],
)
def test_a_secret_is_not_shown_because_yaml_trips_over_it(tmp_path: Path, line: str) -> None:
    """The output of a check is read by many."""
    found = complaints(tmp_path, f"{line}\n")
    assert len(found) == 1
    assert "hunter2" not in found[0]


def test_the_same_value_used_twice_is_two_values(tmp_path: Path) -> None:
    """Anchors work; what they name is not shared."""
    value = read(tmp_path, "a: &x [1, {b: 2}]\nc: *x\n").value
    assert value == {"a": [1, {"b": 2}], "c": [1, {"b": 2}]}
    assert value["a"] is not value["c"]


BILLION = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]\n" for level in range(1, 9)
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[1, 2]\n", "bridge.yaml:1: a configuration is a mapping of names to values"),
        ("text\n", "bridge.yaml:1: a configuration is a mapping of names to values"),
        ("a: [1, 2\nb: 3\n", "bridge.yaml:2: not YAML: expected ',' or ']', but got ':'"),
        ('a: 1\nb: "x\nc: 3\n', "bridge.yaml:2: not YAML: the quote that is opened here is not closed"),
        ("a: 1\n\tb: 2\n", "bridge.yaml:2: not YAML: a tab; YAML is indented by spaces"),
        ("a: 1\n---\nb: 2\n", "bridge.yaml:2: not YAML: but found another document"),
        ("a: 1\nb: \x07\n", "bridge.yaml:2: a character that YAML does not allow: U+0007"),
        ("a: &x [*x]\n", "bridge.yaml:1: a[0]: an alias that contains itself"),
        ("a: " + "[" * 100 + "]" * 100 + "\n", "bridge.yaml:1: not YAML: nested deeper than 64 levels"),
        ("a: " + "{b: " * 50_000, "bridge.yaml:1: not YAML: nested deeper than 64 levels"),
        ("# " + "x" * 5_000_000, "bridge.yaml: larger than 4 MiB"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(tmp_path: Path, text: str, expected: str) -> None:
    """No traceback, no guess, no endless reading."""
    assert refusal(tmp_path, text) == expected


@pytest.mark.parametrize("text", ['a: "\\ud800"\n', 'a: {"x\\udc00": 1}\n'])
def test_half_a_character_is_refused_with_its_line(tmp_path: Path, text: str) -> None:
    """No message could hold it: JSON's escapes beyond U+FFFF come in pairs."""
    [complaint] = complaints(tmp_path, text)
    assert complaint == r"bridge.yaml:1: a: half of a character: escapes from \ud800 to \udfff stand in pairs"


def test_a_billion_laughs_are_cut_short(tmp_path: Path) -> None:
    """Aliases of aliases cost no more than a large file."""
    assert refusal(tmp_path, BILLION).endswith("over 200000 values")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The path and the reason, nothing else."""
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "none.yaml")
    assert str(caught.value) == f"{tmp_path}/none.yaml: cannot be read: No such file or directory"


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    """The line of the first bad byte is given."""
    (tmp_path / "bridge.yaml").write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(ConfigError, match=r"bridge\.yaml:2: not UTF-8 text"):
        load(tmp_path / "bridge.yaml")


def test_an_empty_file_has_no_values(tmp_path: Path) -> None:
    """Also one with nothing but comments."""
    assert read(tmp_path, "# nothing\n").value == {}
    assert read(tmp_path, "").value == {}


@pytest.mark.parametrize("value", ["!!python/object/apply:os.system ['true']", "!!python/name:os.system", "!!set {a}"])
def test_no_tag_builds_an_object(tmp_path: Path, value: str) -> None:
    """Only plain values exist; anything else is a problem."""
    document = read(tmp_path, f"a: {value}\n")
    assert len(document.problems) == 1
    assert document.value == {"a": None}


def test_included_rules_follow_in_order_of_their_names(tmp_path: Path) -> None:
    """Lists are appended, mappings joined, and every value knows the file that it is from."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "20.yaml").write_text("rules:\n- name: c\n")
    (tmp_path / "rules" / "10.yaml").write_text("vars: {y: 2.50}\nrules:\n- name: b\n  final: true\n")
    document = read(tmp_path, "include: rules/*.yaml\nvars: {x: 1}\nrules:\n- name: a\n")
    assert document.problems == []
    assert document.value == {
        "vars": {"x": 1, "y": 2.5},
        "rules": [{"name": "a"}, {"name": "b", "final": True}, {"name": "c"}],
    }
    assert document.position_of(("rules", 0, "name")) == (str(tmp_path / "bridge.yaml"), 4)
    assert document.position_of(("rules", 1, "final")) == (str(tmp_path / "rules" / "10.yaml"), 4)
    assert document.position_of(("rules", 2)) == (str(tmp_path / "rules" / "20.yaml"), 2)
    assert document.position_of(("vars", "y")) == (str(tmp_path / "rules" / "10.yaml"), 1)
    assert document.text_of(("vars", "y")) == "2.50"


def test_what_two_files_both_give_is_a_problem(tmp_path: Path) -> None:
    """Nobody's setting is silently replaced."""
    (tmp_path / "more.yaml").write_text("vars: {x: 2, z: 3}\nlog: debug\ninclude: other.yaml\n")
    document = read(tmp_path, "include: [more.yaml]\nvars: {x: 1}\nlog: info\n")
    assert document.value == {"vars": {"x": 1, "z": 3}, "log": "info"}
    assert [str(problem).replace(f"{tmp_path}/", "") for problem in document.problems] == [
        "more.yaml:3: include: an included file cannot include others; name them all above",
        "more.yaml:1: vars.x: already given in bridge.yaml:2",
        "more.yaml:2: log: already given in another file",
    ]


def test_an_include_that_finds_nothing_is_a_problem(tmp_path: Path) -> None:
    """A mistyped folder does not mean "no rules"."""
    assert complaints(tmp_path, "a: 1\ninclude: rulez/*.yaml\n") == [
        f"bridge.yaml:2: include[0]: no file matches 'rulez/*.yaml' in {tmp_path}",
    ]
    assert complaints(tmp_path, "include: {a: 1}\n") == [
        "bridge.yaml:1: include: write a path, or a list of paths, such as rules/*.yaml",
    ]


def test_every_unreadable_file_is_named_at_once(tmp_path: Path) -> None:
    """Two broken files are two problems, beside those of the file that could be read."""
    (tmp_path / "a.yaml").write_text("x: [\n")
    (tmp_path / "b.yaml").write_text("- 1\n")
    lines = refusal(tmp_path, "include: [a.yaml, b.yaml]\nc: 1\nc: 2\n").splitlines()
    assert [line.split(": ")[0] for line in lines] == ["bridge.yaml:3", "a.yaml:2", "b.yaml:1"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\x85", "\u2028", "\u2029"])
def test_lines_are_counted_as_yaml_counts_them(tmp_path: Path, end: str) -> None:
    """Places of values, quotes that were forgotten, mistakes, bytes that are no text: on the right line."""
    lines = ["a: 1", "b: x == 'p # q'", "c: f(x) ? y : z", "c: 2", "d: last"]
    document = read(tmp_path, end.join(lines))
    assert [document.position_of((name,)).line for name in "abcd"] == [1, 2, 3, 5]
    assert document.value == {"a": 1, "b": "x == 'p # q'", "c": "f(x) ? y : z", "d": "last"}
    assert [(problem.path, problem.line) for problem in document.problems] == [("c", 3), ("b", 2), ("c", 4)]
    assert "bridge.yaml:3: not YAML" in refusal(tmp_path, end.join(["a: 1", "b: 2", 'c: "x', "d: 4"]))
    assert "bridge.yaml:3: a character" in refusal(tmp_path, end.join(["a: 1", "b: 2", "c: \x07", "d: 4"]))
    (tmp_path / "bridge.yaml").write_bytes(end.join(["a: 1", "b: 2", "c: "]).encode() + b"\xff")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "bridge.yaml")
    assert [problem.line for problem in caught.value.problems] == [3]


def test_a_break_before_the_first_value_is_a_line(tmp_path: Path) -> None:
    """A text that begins with a carriage return is read, and refused for what it is: no mapping."""
    assert refusal(tmp_path, "\r${body") == "bridge.yaml:1: a configuration is a mapping of names to values"


PIECES = [
    "a: ",
    "- ",
    "{",
    "}",
    "[",
    "]",
    ", ",
    '"',
    "'",
    "b: ",
    "${body",
    "(x, y)",
    " #",
    " ? ",
    "!",
    "\n",
    '"k": ',
    "1",
    "\r",
    "\r\n",
    "\x85",
    "\u2028",
    "\u2029",
]
PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
TREES = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(max_size=8), TREES, max_size=5), st.booleans())
def test_what_a_yaml_writer_writes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory,
    value: dict[str, object],
    flow: bool,  # noqa: FBT001  hypothesis gives it
) -> None:
    """Any tree, in block or flow style, comes back equal and without a problem."""
    value.pop("include", None)
    folder = tmp_path_factory.mktemp("yaml")
    text = yaml.safe_dump(value, default_flow_style=flow, default_style='"', allow_unicode=False)
    document = read(folder, text)
    assert document.problems == []
    assert document.value == value


@given(
    st.text("ab:-[]{}#&*!|>'\"%@`, \n\t?1.$", max_size=60) | st.lists(st.sampled_from(PIECES), max_size=20).map("".join)
)
@example(text="${body\r- ")  # YAML ends a line at a lone return too
def test_any_text_is_a_document_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """Nothing but ConfigError comes out."""
    try:
        read(tmp_path_factory.mktemp("yaml"), text)
    except ConfigError as error:
        assert error.problems  # noqa: PT017  it may also be read
