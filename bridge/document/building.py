"""Nodes of one YAML file to values, with their places; what YAML took apart without an error is found here."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml  # noqa: TID251  this package is the border of PyYAML

from bridge.document.lines import rest_at
from bridge.document.mending import quoted
from bridge.document.model import Place, dotted, may_be_secret
from bridge.errors import ConfigError, Problem

if TYPE_CHECKING:
    from bridge.document.model import Document, Keys

MAX_NODES = 200_000  # of one file, each use of an alias counted anew

STR, NULL, BOOL, INT, FLOAT = (f"tag:yaml.org,2002:{name}" for name in ("str", "null", "bool", "int", "float"))
OLD_BOOLEANS = {"yes", "no", "on", "off", "y", "n"}  # of YAML 1.1
MAP, SEQ = "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"


class Builder:
    """Builds the values of one file into its document."""

    def __init__(self, document: Document, text: str) -> None:
        self._document = document
        self._text = text
        self._left = MAX_NODES
        self._open: set[int] = set()  # the collections that are being built: an alias to one of them has no end

    def build(self, node: yaml.Node, path: Keys) -> Any:  # noqa: ANN401  any value of a document
        """The value of a node and of all below it. Raises ConfigError when they are too many."""
        self._left -= 1
        if self._left < 0 or id(node) in self._open:
            self._report(node, path, "an alias that contains itself" if self._left >= 0 else f"over {MAX_NODES} values")
            raise ConfigError(self._document.problems)
        self._document.places.setdefault(path, self._place(node))
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if node.tag not in {MAP, SEQ}:
            self._report(node, path, f"the tag {node.tag} is not known here")
            return None
        self._open.add(id(node))
        value = self._mapping(node, path) if isinstance(node, yaml.MappingNode) else self._sequence(node, path)
        self._open.discard(id(node))
        return value

    def _sequence(self, node: yaml.Node, path: Keys) -> list[Any]:
        return [self.build(item, (*path, number)) for number, item in enumerate(node.value)]

    def _mapping(self, node: yaml.MappingNode, path: Keys) -> dict[str, Any]:
        value: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for key_node, value_node in self._rejoined(node, path):
            if not isinstance(key_node, yaml.ScalarNode):
                self._report(key_node, path, "a name is a text, not a list or a mapping")
                continue
            key = self._characters(key_node, path)
            if key in lines:
                self._report(key_node, (*path, key), f"given twice; the first is on line {lines[key]}: keep one")
                continue
            lines[key] = key_node.start_mark.line + 1
            self._document.places.setdefault((*path, key), self._place(key_node))
            value[key] = self.build(value_node, (*path, key))
        return value

    def _rejoined(self, node: yaml.MappingNode, path: Keys) -> list[tuple[yaml.Node, yaml.Node]]:
        """The pairs of a mapping. In ``{a: f(x, y)}`` YAML ends the value at the comma: that is reported and mended."""
        pairs: list[tuple[yaml.Node, yaml.Node]] = []
        split: dict[int, yaml.Node] = {}  # number of a pair -> the last piece of its value
        for key, value in node.value:
            if pairs and node.flow_style and _is_lone(key, value) and _is_open(self._up_to(pairs[-1][1], split, pairs)):
                split[len(pairs) - 1] = key
            else:
                pairs.append((key, value))
        for number, last in split.items():
            key, first = pairs[number]
            whole = self._text[first.start_mark.index : last.end_mark.index]
            keys = (*path, key.value)
            self._report(first, keys, f"the comma ends the value here; put it in quotes: {_shown(keys, whole)}")
            pairs[number] = (key, yaml.ScalarNode(STR, whole, first.start_mark, last.end_mark, style="'"))
        return pairs

    def _up_to(self, first: yaml.Node, split: dict[int, yaml.Node], pairs: list[tuple[yaml.Node, yaml.Node]]) -> str:
        """What of the last pair's value has been read so far; "" where it is no plain text."""
        if not isinstance(first, yaml.ScalarNode) or first.tag != STR or first.style is not None:
            return ""
        return self._text[first.start_mark.index : split.get(len(pairs) - 1, first).end_mark.index]

    def _scalar(self, node: yaml.ScalarNode, path: Keys) -> Any:  # noqa: ANN401  any scalar of a document
        written = self._text[node.start_mark.index : node.end_mark.index].rstrip()
        if written.startswith("!") and not written.startswith("!!"):
            self._report(
                node, path, f"YAML takes what begins with ! for a tag; put it in quotes: {_shown(path, written)}"
            )
            return written
        if node.tag == STR:
            return self._whole(node, path) if node.style is None else self._characters(node, path)
        self._document.texts[path] = node.value
        try:
            return _CONVERT[node.tag](node.value)
        except (KeyError, ValueError):
            self._report(node, path, f"{_shown(path, written[:40])} is not a value that can be written here")
            return None

    def _characters(self, node: yaml.ScalarNode, path: Keys) -> str:
        r"""A text; what JSON writes as two escapes (``\ud83d\ude00``) is one character, and half of one is reported."""
        text = str(node.value)
        if text.isascii():
            return text
        try:
            return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
        except UnicodeDecodeError:
            self._report(node, path, "half of a character: escapes from \\ud800 to \\udfff stand in pairs")
            return text.encode("utf-8", "replace").decode()

    def _whole(self, node: yaml.ScalarNode, path: Keys) -> str:
        """A plain text; where a `` #`` has cut it inside a quote, that is reported and mended."""
        if node.value.lower() in OLD_BOOLEANS:
            self._document.words[path] = node.value
        rest = rest_at(self._text, node.end_mark.index).rstrip()
        quote = _open_quote(node.value)
        if quote and rest.lstrip().startswith("#") and quote in rest:
            whole = f"{node.value}{rest}"
            self._report(
                node, path, f"YAML takes what follows ` #` for a comment; put it in quotes: {_shown(path, whole)}"
            )
            return whole
        return str(node.value)

    def _place(self, node: yaml.Node) -> Place:
        return Place(self._document.file, node.start_mark.line + 1)

    def _report(self, node: yaml.Node, path: Keys, message: str) -> None:
        place = self._place(node)
        self._document.problems.append(Problem(dotted(path), message, place.file, place.line))


def _shown(path: Keys, text: str) -> str:
    return "'…'" if path and may_be_secret(path[-1]) else quoted(text)


def _is_lone(key: yaml.Node, value: yaml.Node) -> bool:
    """``key`` stands in a flow mapping without any value."""
    return isinstance(key, yaml.ScalarNode) and value.tag == NULL and value.start_mark.index == value.end_mark.index


def _is_open(text: str) -> bool:
    """A text with more brackets opened than closed."""
    return sum(text.count(mark) for mark in "([{") > sum(text.count(mark) for mark in ")]}")


def _open_quote(text: str) -> str:
    """The quote that is open at the end of a text; "" when none is."""
    quote = ""
    for character in text:
        if character == quote:
            quote = ""
        elif not quote and character in "\"'":
            quote = character
    return quote


def _integer(text: str) -> int:
    base = {"0o": 8, "0x": 16}.get(text[:2], 10)
    return int(text if base == 10 else text[2:], base)  # noqa: PLR2004  decimal has no prefix


def _float(text: str) -> float:
    return float(re.sub(r"\.(inf|nan)$", r"\1", text.lower()))


_CONVERT = {
    NULL: lambda _text: None,
    BOOL: lambda text: text.lower() == "true",
    INT: _integer,
    FLOAT: _float,
}
