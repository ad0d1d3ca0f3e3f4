"""Messages of Protocol Buffers as values of the rules, by their descriptors.

Fields have the names of the .proto file. What has no presence (a proto3 scalar without ``optional``) is always there,
with its default; lists and maps are always there; what has presence and is not set is not there, except for the
wrapper types, which are then null. Enums are the names of their values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from bridge.errors import RuleError, Undecodable
from bridge.routing.times import SECOND, checked_duration, checked_timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

MAX_VALUES = 1 << 20  # in one body
MAX_DEPTH = 64  # of Any within Any; messages within messages have a limit in the parser

Classes = Any  # name of a message type -> its class, or None
Convert = Any  # Callable[[message or scalar, Budget], value]

_WRAPPERS = frozenset(
    f"google.protobuf.{kind}Value"
    for kind in ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")
)


class Budget:
    """What is left of the values that one body may make."""

    def __init__(self) -> None:
        self.left = MAX_VALUES
        self.depth = 0

    def take(self, values: int) -> None:
        """Raises Undecodable when it is used up."""
        self.left -= values
        if self.left < 0:
            raise Undecodable(f"a body of more than {MAX_VALUES} values")


class Converters:
    """The functions that make values of the messages of one schema, each built once."""

    def __init__(self, class_of: Callable[[str], Any]) -> None:
        """class_of: the class of a message type by its full name, None where the schema has no such type."""
        self._class_of = class_of
        self._made: dict[str, Convert] = {}

    def of(self, descriptor: Descriptor) -> Convert:
        """Message -> value."""
        name = descriptor.full_name
        if name not in self._made:
            # Types may contain themselves: what asks for this one while it is being built finds it when it is used.
            self._made[name] = lambda message, budget: self._made[name](message, budget)  # noqa: PLW0108
            self._made[name] = self._known(name) or self._fields(descriptor)
        return self._made[name]

    def _known(self, name: str) -> Convert | None:
        if name in _WRAPPERS:
            return lambda message, _: message.value
        known: Mapping[str, Convert] = {
            "google.protobuf.Timestamp": _timestamp,
            "google.protobuf.Duration": _duration,
            "google.protobuf.Struct": _struct,
            "google.protobuf.ListValue": _list,
            "google.protobuf.Value": _value,
            "google.protobuf.Any": self._any,
        }
        return known.get(name)

    def _fields(self, descriptor: Descriptor) -> Convert:
        parts = [(field.name, _is_optional(field), self._field(field)) for field in descriptor.fields]
        nullable = {field.name for field in descriptor.fields if _is_wrapper(field)}

        def convert(message: Any, budget: Budget) -> dict[str, Any]:  # noqa: ANN401  classes are made at run time
            budget.take(len(parts))
            found = {}
            for name, optional, part in parts:
                if not optional or message.HasField(name):
                    found[name] = part(getattr(message, name), budget)
                elif name in nullable:
                    found[name] = None
            return found

        return convert

    def _field(self, field: FieldDescriptor) -> Convert:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            return self._map(field.message_type.fields_by_name["value"])
        one = self._single(field)
        if not field.is_repeated:
            return one

        def convert(items: Any, budget: Budget) -> list[Any]:  # noqa: ANN401
            budget.take(len(items))
            return [one(item, budget) for item in items]

        return convert

    def _map(self, field: FieldDescriptor) -> Convert:
        one = self._single(field)

        def convert(items: Any, budget: Budget) -> dict[Any, Any]:  # noqa: ANN401
            budget.take(len(items))
            return {key: one(items[key], budget) for key in items}

        return convert

    def _single(self, field: FieldDescriptor) -> Convert:
        if field.message_type is not None:
            return self.of(field.message_type)
        return _enum(field.enum_type) if field.enum_type is not None else _itself

    def _any(self, message: Any, budget: Budget) -> dict[str, Any]:  # noqa: ANN401
        """The message within, with its type as ``@type``; its bytes where the schema does not have the type."""
        budget.depth += 1
        if budget.depth > MAX_DEPTH:
            raise Undecodable(f"google.protobuf.Any more than {MAX_DEPTH} levels deep")
        kind = self._class_of(message.type_url.rpartition("/")[2])
        if kind is None:
            found: Any = {"value": message.value}
        else:
            inner = parsed(kind, message.value)
            found = self.of(kind.DESCRIPTOR)(inner, budget)
            if type(found) is not dict:
                found = {"value": found}
        budget.depth -= 1
        return {"@type": message.type_url, **found}


def parsed(kind: Any, data: bytes) -> Any:  # noqa: ANN401  classes are made at run time
    """A message of this class. Raises Undecodable."""
    try:
        return kind.FromString(data)
    except (DecodeError, ValueError) as error:
        raise Undecodable(f"not a {kind.DESCRIPTOR.full_name}: {type(error).__name__}") from None


def _is_optional(field: FieldDescriptor) -> bool:
    return bool(field.has_presence) and not field.is_repeated


def _is_wrapper(field: FieldDescriptor) -> bool:
    return field.message_type is not None and not field.is_repeated and field.message_type.full_name in _WRAPPERS


def _itself(value: object, _: Budget) -> object:
    return value


def _enum(descriptor: EnumDescriptor) -> Convert:
    names = {value.number: value.name for value in reversed(descriptor.values)}  # of aliases the first counts
    return lambda number, _: names.get(number, number)


def _timestamp(message: Any, _: Budget) -> object:  # noqa: ANN401
    try:
        return checked_timestamp(message.seconds * SECOND + message.nanos)
    except RuleError:
        raise Undecodable("a timestamp outside of the years 1 to 9999") from None


def _duration(message: Any, _: Budget) -> object:  # noqa: ANN401
    try:
        return checked_duration(message.seconds * SECOND + message.nanos)
    except RuleError:
        raise Undecodable("a duration of more than 292 years") from None


def _struct(message: Any, budget: Budget) -> dict[str, Any]:  # noqa: ANN401
    budget.take(len(message.fields))
    return {key: _value(message.fields[key], budget) for key in message.fields}


def _list(message: Any, budget: Budget) -> list[Any]:  # noqa: ANN401
    budget.take(len(message.values))
    return [_value(item, budget) for item in message.values]


def _value(message: Any, budget: Budget) -> Any:  # noqa: ANN401
    kind = message.WhichOneof("kind")
    if kind == "struct_value":
        return _struct(message.struct_value, budget)
    if kind == "list_value":
        return _list(message.list_value, budget)
    return None if kind in {None, "null_value"} else getattr(message, kind)
