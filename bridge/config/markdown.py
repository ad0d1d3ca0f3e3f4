"""The reference of all settings, ``config/README.md``, made from the models that read them; the table of metrics."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from bridge.config.conformance import FILES, MISSES
from bridge.config.environment import variable
from bridge.config.schema import Schema, json_schema, shapes
from bridge.metrics import TABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

INTRODUCTION = """\
# The configuration

<!-- Made by `workflow-bridge schema --markdown`; a test compares the two. -->

One YAML file, and more where it says `include: rules/*.yaml`. `workflow-bridge check --config FILE` names everything
that is wrong with it, with path and line, warns of what looks unlike what was meant, and says what it promises; with
`--online` it asks the brokers and the API whether all that it names is there. `workflow-bridge schema` prints the JSON
Schema: save it beside the file, and editors complete and check while one types (the examples begin with the line that
asks for it). `workflow-bridge init kafka` (or `rabbitmq`) writes a file to begin with.

- YAML is read by the core types of version 1.2: `no`, `on` and `12:30` are words, a name given twice is an error.
- Every setting can come from the environment, which goes over the file: `WORKFLOW_BRIDGE_` and the path, with two
  underscores between its parts, such as `WORKFLOW_BRIDGE_TARGETS__MAIN__ACCOUNT_ID`. Lists and mappings are JSON there.
- Secrets come from a file (`…_file`) or from the environment. One that stands in the configuration itself is refused;
  an address without a password is no secret.
- `${ENV:NAME}` is replaced inside `vars`, and an error elsewhere: rules say what they mean without looking around.
- Files are looked for from the folder in which the process runs; those of `include` and `shadow` from that of the file
  that names them.
- Durations are texts such as `10s`, `15m`, `1h30m`, `7d`. Settings that end in `_seconds` are numbers.

Examples: [`kafka.yaml`](kafka.yaml), [`rabbitmq.yaml`](rabbitmq.yaml), [`sidecar.yaml`](sidecar.yaml) (no disk),
[`demo.yaml`](demo.yaml) (what `make demo` runs).

- **[rules.md](rules.md)** is the guide to rules: actions, templates, expressions, ids, dead letters, with examples.
- **[testing.md](testing.md)** is about trying rules out: `explain`, rule tests, `record`, `backtest`.
- **[operations.md](operations.md)** is about what operators do: dead letters, and how commands reach a bridge.
- **[metrics.md](metrics.md)** lists the metrics, the probes and the lines of the log.
"""

EXPRESSIONS = """
## Expressions

[rules.md](rules.md#expressions) has every operator, macro and function. Against the cases of the CEL specification
([google/cel-spec](https://github.com/google/cel-spec), `tests/simple/testdata`), which the tests run:

| file | passed | of those that apply | left out |
|---|---|---|---|
"""
ABSENT = """
Left out is what asks for something that rules do not have, told by the data of a case alone: protobuf messages
(wrappers and `Any` among them), enums, and the type checker. Files that hold nothing else are not in the table
(`dynamic`, `enums`, `proto2`, `proto2_ext`, `proto3`, `type_deduction`, `unknowns`, `wrappers`), nor are the extensions
`block_ext` and `network_ext`. What is refused, and with which words, is in
[rules.md](rules.md#what-of-cel-is-not-here).
"""

METRICS_HEAD = "| name | type | labels | unit | meaning |\n|---|---|---|---|---|\n"
TABLE_HEAD = "\n| setting | type | default | meaning |\n|---|---|---|---|\n"


def reference() -> str:
    """The whole page."""
    return INTRODUCTION + "".join(_sections()) + _conformance()


def _conformance() -> str:
    rows = (f"| `{row.name}` | {row.passed} | {row.applicable} | {row.left_out} |\n" for row in FILES)
    misses = (f"- `{name}`: {reason}.\n" for name, reason in MISSES.items())
    return "".join([EXPRESSIONS, *rows, "\nNot passed:\n\n", *misses, ABSENT])


def metrics_table() -> str:
    """The table of ``config/metrics.md``."""
    rows = (
        (f"`{row.name}`", row.type, ", ".join(f"`{label}`" for label in row.labels), row.unit, row.meaning)
        for row in TABLE
    )
    return METRICS_HEAD + "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


def _sections() -> Iterator[str]:
    root = json_schema()
    yield "\n## The file\n" + TABLE_HEAD + "".join(_rows(root))
    for name, schema in root["properties"].items():
        for shape in _objects(schema):
            yield from _section(_path(name, schema), shape, 2)


def _path(name: str, schema: Schema) -> str:
    """How to write an element of a mapping or list."""
    if any("patternProperties" in shape for shape in shapes(schema)):
        return f"{name}.NAME"
    return f"{name}[]" if any(shape.get("type") == "array" for shape in shapes(schema)) else name


def _objects(schema: Schema) -> Iterator[Schema]:
    """The shapes with settings of their own, also those of the elements of a list or mapping."""
    for shape in shapes(schema):
        if shape.get("properties"):
            yield shape
        elements = [shape.get("items"), *shape.get("patternProperties", {}).values()]
        for element in elements:
            if isinstance(element, dict):
                yield from _objects(element)


def _section(path: str, schema: Schema, level: int) -> Iterator[str]:
    kind = schema["properties"].get("type", {}).get("const")
    title = f"`{path}`" + (f" with `type: {kind}`" if kind else "")
    variables = f"Environment: `{variable(tuple(path.split('.')))}__…`\n" if "[]" not in path else ""
    text = _prose(schema)
    yield "\n" + "\n\n".join(filter(None, [f"{'#' * level} {title}", text, variables.strip()])) + "\n"
    yield TABLE_HEAD + "".join(_rows(schema))
    for name, inner in schema["properties"].items():
        for shape in _objects(inner):
            yield from _section(f"{path}.{_path(name, inner)}", shape, min(level + 1, 4))


def _rows(schema: Schema) -> Iterator[str]:
    needed = set(schema.get("required", ()))
    for name, setting in schema["properties"].items():
        default = "needed" if name in needed else _default(setting)
        cells = (f"`{name}`", _type(setting), default, " ".join([_prose(setting), *_bounds(setting)]).strip())
        yield "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |\n"


def _prose(schema: Schema) -> str:
    """A description, as Markdown has code, and ended."""
    text = str(schema.get("description", "")).strip().replace("``", "`")
    return text + "." if text and text[-1] not in ".…?" else text


def _default(setting: Schema) -> str:
    value = setting.get("default")
    if value is None:
        return ""
    return f"`{_written(value)}`"


def _written(value: object) -> str:
    """As a configuration has it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _type(setting: Schema) -> str:
    names = dict.fromkeys(name for shape in shapes(setting) if (name := _type_name(shape)))
    return " or ".join(names) or "any"


def _type_name(shape: Schema) -> str:
    if "const" in shape:
        return f"`{_written(shape['const'])}`"
    if "enum" in shape:
        return ", ".join(f"`{_written(value)}`" for value in shape["enum"])
    if shape.get("type") == "array":
        return f"list of {_type(shape.get('items', {}))}"
    return _NAMES.get(shape.get("format", ""), _NAMES.get(shape.get("type", ""), ""))


_NAMES = {
    "path": "path",
    "password": "secret",
    "string": "text",
    "integer": "integer",
    "number": "number",
    "boolean": "`true`, `false`",
    "object": "mapping",
}


def _bounds(setting: Schema) -> list[str]:
    """The limits that a value is held to, in words."""
    found: list[str] = []
    for shape in shapes(setting):
        low = _bound(shape, "minimum", "exclusiveMinimum")
        high = _bound(shape, "maximum", "exclusiveMaximum").removeprefix("from ")
        if low or high:
            found.append(f"({', '.join(filter(None, [low, high and f'to {high}']))})")
        if shape.get("examples"):
            found.append(f"Such as `{shape['examples'][0]}`.")
    return list(dict.fromkeys(found))


def _bound(shape: Schema, closed: str, opened: str) -> str:
    value: Any = shape.get(closed)
    if value is not None:
        return "from " + re.sub(r"\.0$", "", str(value))
    value = shape.get(opened)
    return "" if value is None else f"above {value}"
