"""Text of one YAML file to nodes, within bounds; a value that must be quoted is read as if it were, and reported."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import yaml  # noqa: TID251  this package is the border of PyYAML

from bridge.document.building import BOOL, FLOAT, INT, NULL, Builder
from bridge.document.lines import line_at, number_at, with_line
from bridge.document.mending import mended
from bridge.document.model import Document, dotted, may_be_secret
from bridge.errors import ConfigError, Problem

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 4 * 1024 * 1024  # of one file
MAX_DEPTH = 64
UNCLOSED = "the quote that is opened here is not closed"


def read(path: Path) -> Document:
    """One file, without its includes."""
    document = Document(str(path))
    root, text = _compose(document, _text(path))
    if root is not None and not _is_null(root):
        forgotten, document.problems[:] = document.problems[:], []
        value = Builder(document, text).build(root, ())
        document.problems[:0] = [_named(document, problem) for problem in forgotten]
        if not isinstance(value, dict):
            raise ConfigError([Problem("", "a configuration is a mapping of names to values", document.file, 1)])
        document.value.update(value)
    return document


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == NULL


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ConfigError([Problem("", f"larger than {MAX_BYTES // 1024 // 1024} MiB", str(path))])
        return content.decode("utf-8-sig")
    except OSError as error:
        raise ConfigError([Problem("", f"cannot be read: {error.strerror}", str(path))]) from error
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode()
        line = number_at(before, len(before))
        raise ConfigError([Problem("", "not UTF-8 text", str(path), line)]) from error


class _TooDeep(yaml.MarkedYAMLError):
    """No quotes help against this."""


class _Loader(yaml.SafeLoader):
    """Composes nodes; the types of plain scalars are those of YAML 1.2's core schema, nesting is bounded."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  PyYAML's own registry
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """One node and everything below it."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # PyYAML has no types here
            raise _TooDeep(problem=f"nested deeper than {MAX_DEPTH} levels", problem_mark=mark)
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node


for _tag, _pattern, _first in (
    (NULL, r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    (BOOL, r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    (INT, r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        FLOAT,
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
):
    _Loader.add_implicit_resolver(_tag, re.compile(f"(?:{_pattern})\\Z"), _first)


def _compose(document: Document, text: str) -> tuple[yaml.Node | None, str]:
    """The nodes of a file, and the text they are from: a line that needs quotes is a problem, and is read with them."""
    while True:
        try:
            return yaml.compose(text, Loader=_Loader), text
        except yaml.reader.ReaderError as error:
            line = number_at(text, error.position)
            what = f"a character that YAML does not allow: U+{ord(text[error.position]):04X}"
            raise ConfigError([*document.problems, Problem("", what, document.file, line)]) from error
        except yaml.MarkedYAMLError as error:
            text = _mended(document, text, error)


def _mended(document: Document, text: str, error: yaml.MarkedYAMLError) -> str:
    """The text with quotes where they were forgotten. Raises ConfigError where that is not what is wrong."""
    number, message = _complaint(error)
    if message != UNCLOSED and not isinstance(error, _TooDeep):
        for place in dict.fromkeys((number, _opened(error))):
            written = line_at(text, place)
            found = mended(written) if written is not None else None
            if found is None:
                continue
            whole = with_line(text, place, found.line)
            after = _first_complaint(whole)
            if after > ((number, math.inf) if place == number else _place(error)):
                document.problems.extend(_forgotten(document, place, message, *value) for value in found.values)
                return whole
    raise ConfigError([*document.problems, Problem("", f"not YAML: {message}", document.file, number + 1)]) from error


def _opened(error: yaml.MarkedYAMLError) -> int:
    """The line on which the braces begin that YAML did not find the end of; -1: it is not about braces."""
    return error.context_mark.line if error.context_mark and "flow mapping" in str(error.context) else -1


def _forgotten(document: Document, line: int, message: str, key: str, value: str) -> Problem:
    hint = f"YAML reads this in its own way ({message}); put it in quotes: {key}: {value}"
    if may_be_secret(key):
        hint = "YAML reads this in its own way; put the value in quotes"
    return Problem(key, hint, document.file, line + 1)


def _named(document: Document, problem: Problem) -> Problem:
    """A problem of a line, with the path to the value that it is about, now that there are paths."""
    found = (
        keys for keys, place in document.places.items() if place.line == problem.line and keys[-1:] == (problem.path,)
    )
    return problem._replace(path=dotted(next(found, ())))


def _first_complaint(text: str) -> tuple[float, float]:
    """Line and column; beyond every line where there is none."""
    try:
        yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        return _place(error)
    return math.inf, 0


def _place(error: yaml.MarkedYAMLError) -> tuple[float, float]:
    line, _ = _complaint(error)
    return line, error.problem_mark.column if error.problem_mark else 0


def _complaint(error: yaml.MarkedYAMLError) -> tuple[int, str]:
    """Line (from 0) and text."""
    if error.context == "while scanning a quoted scalar" and error.context_mark:
        return error.context_mark.line, UNCLOSED
    mark = error.problem_mark or error.context_mark
    place = mark.line if mark else 0
    if "'\\t'" in (error.problem or ""):
        return place, "a tab; YAML is indented by spaces"
    if str(error.context).endswith(("flow sequence", "flow mapping")) and "<stream end>" in (error.problem or ""):
        return error.context_mark.line if error.context_mark else place, "the bracket that is opened here is not closed"
    return place, error.problem or str(error.context)
