"""Takes out of messages what nobody is to see who looks at them: the values under the configuration's ``redact`` paths.

A path is names with dots between them, ``*`` for any one name or place in a list; it is found at any depth, so that it
holds for a message's body and for the params that a rule made of it. ``headers.NAME`` and ``key`` are paths too. Where
anything is to be redacted, a body that is not JSON cannot be looked into, and is left out as a whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MASK: Final = "[redacted]"
ANY: Final = "*"
_Place = tuple[str, ...]


class Redaction:
    """Some paths; without any nothing is taken out."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = tuple(tuple(path.split(".")) for path in paths)

    def __bool__(self) -> bool:
        return bool(self._paths)

    def letter(self, letter: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
        """A dead letter in the form of bridge.dead_letters.kept.plain without what is redacted; whether anything is."""
        shown = dict(letter)
        if not self._paths:
            return shown, False
        shown["message"] = self._message(letter["message"])
        if letter["call"] is not None:
            bodies = {name: self._body(letter["call"][name]) for name in ("body", "then") if name in letter["call"]}
            shown["call"] = {**letter["call"], **bodies}
        return shown, shown["message"] != letter["message"] or shown["call"] != letter["call"]

    def _message(self, message: Mapping[str, Any]) -> dict[str, Any]:
        headers = [
            {"name": header["name"], "type": "text", "value": MASK}
            if self._hits(("headers", header["name"]))
            else header
            for header in message["headers"]
        ]
        key = {"text": MASK} if message["key"] is not None and self._hits(("key",)) else message["key"]
        return {**message, "headers": headers, "key": key, "body": self._body(message["body"])}

    def _body(self, body: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """Of bytes as bridge.recorded.writing.body_with_json has them."""
        if body is None:
            return None
        if "json" not in body:
            return {"text": MASK}
        value = self.value(body["json"])
        return dict(body) if value == body["json"] else {"text": orjson.dumps(value).decode(), "json": value}

    def value(self, value: Any, place: _Place = ()) -> Any:  # noqa: ANN401  any JSON
        """The same without what is redacted."""
        if place and self._hits(place):
            return MASK
        if isinstance(value, dict):
            return {name: self.value(held, (*place, name)) for name, held in value.items()}
        if isinstance(value, list):
            return [self.value(held, (*place, str(number))) for number, held in enumerate(value)]
        return value

    def restored(self, edited: Any, original: Any, place: _Place = ()) -> Any:  # noqa: ANN401  any JSON
        """What was edited without having been seen: a mask that still stands where it was put is what it hid."""
        if edited == MASK and place and self._hits(place):
            return original
        if isinstance(edited, dict) and isinstance(original, dict):
            return {
                name: self.restored(held, original[name], (*place, name)) if name in original else held
                for name, held in edited.items()
            }
        if isinstance(edited, list) and isinstance(original, list):
            return [
                self.restored(held, original[number], (*place, str(number))) if number < len(original) else held
                for number, held in enumerate(edited)
            ]
        return edited

    def _hits(self, place: _Place) -> bool:
        return any(
            len(path) <= len(place)
            and all(part in {ANY, name} for part, name in zip(path, place[-len(path) :], strict=True))
            for path in self._paths
        )
