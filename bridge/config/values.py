"""A configuration as its single values, each with its path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bridge.document import Keys


def settings_of(settings: BaseModel, path: Keys = ()) -> Iterator[tuple[Keys, object]]:
    """Every single value of a configuration, with its path."""
    for name, field in type(settings).model_fields.items():
        yield from _values(getattr(settings, name), (*path, field.alias or name))


def _values(value: object, path: Keys) -> Iterator[tuple[Keys, object]]:
    if isinstance(value, BaseModel):
        yield from settings_of(value, path)
    elif isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _values(item, (*path, key))
    else:
        yield path, value
