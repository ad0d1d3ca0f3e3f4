"""JSON bodies checked with a JSON Schema: a body is a value only if it is as the schema says.

Patterns are matched without backtracking, so that no body can make a match take long; a pattern that needs it is
refused with the schema. A reference leads to a place in the same file: nothing is fetched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import jsonschema_rs
import orjson

from bridge.decoding.json import decode_json
from bridge.errors import Undecodable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_PLACE_LENGTH = 100


def compile_json(text: str) -> Callable[[bytes | None], object]:
    """A function that decodes JSON and checks it; it raises Undecodable. Raises Undecodable where this is no schema."""
    try:
        validator: Any = jsonschema_rs.validator_for(
            orjson.loads(text), retriever=_nothing, pattern_options=jsonschema_rs.RegexOptions()
        )
    except (ValueError, TypeError) as error:  # a ValidationError is a ValueError
        first = str(error).partition("\n")[0]
        raise Undecodable(f"not a JSON Schema: {first[:200]}") from None

    def read(body: bytes | None) -> object:
        value = decode_json(body)
        try:
            if body is not None and not validator.is_valid(value):
                raise Undecodable(_reason(validator, value))
        except (ValueError, RecursionError):  # the validator goes less deep than the parser
            raise Undecodable("nested too deeply to be checked with a JSON Schema") from None
        return value

    return read


def _nothing(uri: str) -> NoReturn:
    raise ValueError(f"{uri[:200]} is not in the schema's file, and nothing is fetched")


def _reason(validator: Any, value: object) -> str:  # noqa: ANN401  one of several classes
    """Where the value is not as it should be, and by which word of the schema; quotes no value."""
    error = next(iter(validator.iter_errors(value)))
    words = [step for step in error.schema_path if isinstance(step, str)]
    return f"not as its JSON Schema says: {words[-1] if words else 'false'} at {_place(error.instance_path)}"


def _place(path: Sequence[str | int]) -> str:
    text = "body" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text if len(text) <= _PLACE_LENGTH else f"{text[:_PLACE_LENGTH]}…"
