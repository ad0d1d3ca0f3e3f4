"""Templates: strings, maps and lists with ``${…}`` in them, compiled to functions that give text or JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson

from bridge.errors import RuleError
from bridge.routing.conversions import to_string
from bridge.routing.expression import ExpressionError, function_of
from bridge.routing.jsontext import encode
from bridge.routing.parser import parse_in_template
from bridge.routing.syntax import Index, Literal, Name, Select
from bridge.routing.values import Value, type_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from bridge.routing.generator import Generator
    from bridge.routing.names import Names
    from bridge.routing.syntax import Node

Path = tuple[str | int, ...]


class TemplateError(ExpressionError):
    """A template that cannot be compiled; ``path`` is where in the value, such as ``.order.lines[0]``."""

    def __init__(self, error: ExpressionError, path: str) -> None:
        super().__init__(error.message, error.text, error.position)
        self.path = path


def pieces_of(text: str) -> list[str | Node]:
    """A string's literal parts and expressions, in order; ``$${`` is a literal ``${``. Raises ExpressionError."""
    pieces: list[str | Node] = []
    literal, position = "", 0
    while (found := text.find("$", position)) >= 0:
        literal += text[position:found]
        if text.startswith("$${", found):
            literal, position = literal + "${", found + 3
        elif text.startswith("${", found):
            if literal:
                pieces.append(literal)
            node, position = parse_in_template(text, found + 2)
            pieces.append(node)
            literal = ""
        else:
            literal, position = literal + "$", found + 1
    literal += text[position:]
    return [*pieces, literal] if literal or not pieces else pieces


def compile_text(text: str, names: Names) -> Callable[..., str]:
    """A template whose value is always text, for ids and names. The function raises RuleError.

    null has no text; a double has one only if it is whole. Raises ExpressionError.
    """
    pieces = pieces_of(text)
    constants = {"h_strict": _strict_text}
    extended = names._replace(constants={**names.constants, **constants})
    return function_of(text, extended, lambda generator: _text(generator, pieces, "h_strict"))


def compile_json(value: Value, names: Names) -> Callable[..., bytes]:
    """A template of any shape whose value is JSON; the function gives its bytes, raises RuleError.

    Raises TemplateError, and RuleError for a constant that JSON has no form for.
    """
    if is_plain(value):
        encoded = encode(_unescaped(value))
        return lambda *_: encoded
    extended = names._replace(constants={**names.constants, **_CONSTANTS})
    return function_of("", extended, lambda generator: _bytes(generator, value))


def is_plain(value: Value, path: str = "") -> bool:
    """Whether a value holds no expression anywhere. Raises TemplateError."""
    if isinstance(value, str):
        return all(isinstance(piece, str) for piece in _pieces_at(value, path))
    if isinstance(value, dict):
        return all(is_plain(key, path) and is_plain(item, f"{path}.{key}") for key, item in value.items())
    if isinstance(value, list):
        return all(is_plain(item, f"{path}[{place}]") for place, item in enumerate(value))
    return True


def _pieces_at(text: str, path: str) -> list[str | Node]:
    try:
        return pieces_of(text)
    except ExpressionError as error:
        raise TemplateError(error, path) from None


def _unescaped(value: Value) -> Value:
    """A plain value with its ``$${`` resolved."""
    if isinstance(value, str):
        return "".join(piece for piece in pieces_of(value) if isinstance(piece, str))
    if isinstance(value, dict):
        return {_unescaped(key): _unescaped(item) for key, item in value.items()}
    return [_unescaped(item) for item in value] if isinstance(value, list) else value


def _strict_text(value: Value) -> str:
    """A value inside an id."""
    if type(value) is float and not value.is_integer():
        raise RuleError("a double that is not whole cannot stand in an id")
    if type(value) is bytes:
        raise RuleError("bytes cannot stand in an id; use safe_id(x) or hash(x)")
    return _text_of(value)


def _text_of(value: Value) -> str:
    """A value inside a longer string."""
    if value is None or type(value) is list or type(value) is dict:
        raise RuleError(f"{type_name(value)} has no text; use json(x) for its JSON")
    return to_string(value)


def _text(generator: Generator, pieces: Sequence[str | Node], convert: str) -> str:
    """The source of a text made of pieces."""
    sources = []
    for piece in pieces:
        if isinstance(piece, str):
            sources.append(generator.constant(piece))
            continue
        local = generator.fresh()
        # Most are text already, and then no function is called.
        sources.append(f"({local} if type({local} := {generator.source(piece)}) is str else {convert}({local}))")
    return f"({' + '.join(sources)})"


def _bytes(generator: Generator, value: Value) -> str:
    """The source of the JSON of a whole template."""
    if generator.names.raw and isinstance(value, str):
        node = _whole(value)
        if node is not None and path_of(node) == ("body",):
            return f"h_body({generator.names.raw}, {generator.source(node)})"
    source = _json(generator, value, "")
    return f"{generator.operator('h_encode')}({source})"


def _json(generator: Generator, value: Value, path: str) -> str:
    """The source of a Python value whose encoding is the template's JSON."""
    try:
        if isinstance(value, str):
            return _json_string(_placed(generator, value), value)
    except ExpressionError as error:
        raise TemplateError(error, path) from None
    if is_plain(value):
        return generator.constant(orjson.Fragment(encode(_unescaped(value))))
    if isinstance(value, dict):
        keys = (_json_key(generator, key, path) for key in value)
        items = (_json(generator, item, f"{path}.{key}") for key, item in value.items())
        return f"{{{', '.join(f'{key}: {item}' for key, item in zip(keys, items, strict=True))}}}"
    return f"[{', '.join(_json(generator, item, f'{path}[{place}]') for place, item in enumerate(value))}]"


def _placed(generator: Generator, text: str) -> Generator:
    """The generator, from now on speaking of this text in its errors."""
    generator.text = text
    return generator


def _json_key(generator: Generator, key: str, path: str) -> str:
    try:
        return _text(_placed(generator, key), pieces_of(key), "h_shown")
    except ExpressionError as error:
        raise TemplateError(error, path) from None


def _json_string(generator: Generator, value: str) -> str:
    node = _whole(value)
    if node is None:
        return _text(generator, pieces_of(value), "h_shown")
    source, place = generator.source(node), _place_in_body(generator, node)
    if not place:
        return source
    local = generator.fresh()
    return f"({local} if type({local} := {source}) is str else part_of({generator.names.raw}, {place}, {local}))"


def _whole(value: Value) -> Node | None:
    """The expression of a string that is one ``${…}``."""
    if not isinstance(value, str):
        return None
    pieces = pieces_of(value)
    return pieces[0] if len(pieces) == 1 and not isinstance(pieces[0], str) else None


def is_whole(value: Value) -> bool:
    """Whether it is one ``${…}`` alone, which keeps the type of its value. Raises ExpressionError."""
    return _whole(value) is not None


def path_of(node: Node) -> Path | None:
    """What an expression that only reads reads: the variable, then fields and places. None for any other."""
    if isinstance(node, Name):
        return (node.name,)
    if isinstance(node, Select | Index) and not node.optional:
        before, step = path_of(node.operand), _step_of(node)
        return None if before is None or step is None else (*before, step)
    return None


def _step_of(node: Select | Index) -> str | int | None:
    if isinstance(node, Select):
        return node.field
    key = node.key.value if isinstance(node.key, Literal) else None
    return key if type(key) is str or type(key) is int else None


def _place_in_body(generator: Generator, node: Node) -> str:
    """The source of the way from the body to what the expression reads; "" where it is no part of the body."""
    path = path_of(node)
    if path is None or not generator.names.raw:
        return ""
    if path[0] == "body":
        return generator.constant(path[1:])
    if path[0] == "item" and generator.names.item_path is not None:
        return f"(*{generator.constant(generator.names.item_path)}, index, *{generator.constant(path[1:])})"
    return ""


def _whole_body(raw: bytes | None, body: Value) -> bytes:
    """The JSON of ``${body}``: the message's own text."""
    kind = type(body)
    return raw if raw is not None and (kind is dict or kind is list or kind is float) else encode(body)


_CONSTANTS: Final[Mapping[str, Value]] = {"h_body": _whole_body, "h_shown": _text_of}


def constant_text(text: str) -> str | None:
    """The value of a template without expressions; None where it has any. Raises ExpressionError."""
    pieces = pieces_of(text)
    return "".join(map(str, pieces)) if all(isinstance(piece, str) for piece in pieces) else None


def leaves_of(value: Value, path: str = "") -> Iterator[tuple[str, Value]]:
    """Every key and string of a template, with its path."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield f"{path}.{key}", key
            yield from leaves_of(item, f"{path}.{key}")
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from leaves_of(item, f"{path}[{place}]")
