"""Protocol Buffers: compiled schemas to functions that read messages. Registries and files are elsewhere.

A schema comes as descriptors, the compiled form of a .proto file; nothing here reads .proto text.
"""

from __future__ import annotations

from base64 import b64decode
from typing import TYPE_CHECKING, Any

from google.protobuf import (
    any_pb2,
    api_pb2,
    descriptor_pb2,
    duration_pb2,
    empty_pb2,
    field_mask_pb2,
    source_context_pb2,
    struct_pb2,
    timestamp_pb2,
    type_pb2,
    wrappers_pb2,
)
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from bridge.decoding.protobuf_values import Budget, Converters, parsed
from bridge.errors import SchemasUnavailable, Undecodable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from google.protobuf.descriptor import Descriptor

MAIN = "workflow-bridge/body.proto"  # what a file without a name of its own is called
_OPTIONS_ONLY = frozenset(("confluent/meta.proto",))  # has nothing that a field could be of
_MAX_INDEXES = 64
_VARINT_BYTES = 5
_WELL_KNOWN: Mapping[str, bytes] = {
    module.DESCRIPTOR.name: module.DESCRIPTOR.serialized_pb
    for module in (
        *(any_pb2, api_pb2, descriptor_pb2, duration_pb2, empty_pb2, field_mask_pb2, source_context_pb2),
        *(struct_pb2, timestamp_pb2, type_pb2, wrappers_pb2),
    )
}


class _Types:
    """The message types of some files."""

    def __init__(self, files: Iterable[FileDescriptorProto]) -> None:
        """Raises Undecodable where one does not fit the others."""
        self._pool = DescriptorPool()
        self._waiting = {file.name: file for file in files}
        self._added: set[str] = set()
        for name in list(self._waiting):
            self._add(name)
        self._converters = Converters(self.class_of)

    def descriptor(self, name: str) -> Descriptor:
        """Raises KeyError."""
        return self._pool.FindMessageTypeByName(name)

    def class_of(self, name: str) -> Any:  # noqa: ANN401  made at run time
        """The class of a type; None where there is none."""
        try:
            return GetMessageClass(self._pool.FindMessageTypeByName(name))
        except KeyError:
            return None

    def reader(self, descriptor: Descriptor) -> Callable[[bytes], object]:
        """A function that reads messages of this type. It raises Undecodable."""
        kind, convert = GetMessageClass(descriptor), self._converters.of(descriptor)

        def read(data: bytes) -> object:
            try:
                return convert(parsed(kind, data), Budget())
            except RecursionError:
                raise Undecodable("messages within messages, too deep") from None
            except (AttributeError, TypeError):  # such as a Timestamp of its own, or a field called HasField
                raise Undecodable("the schema gives names of Protobuf's own another meaning") from None

        return read

    def _add(self, name: str) -> None:
        if name in self._added:
            return
        self._added.add(name)
        file = self._waiting.get(name)
        if file is None:
            if name not in _WELL_KNOWN:
                raise Undecodable(f"not a Protobuf schema: it imports {name}, which is not there")
            file = FileDescriptorProto.FromString(_WELL_KNOWN[name])
        kept = [needed for needed in file.dependency if needed not in _OPTIONS_ONLY or needed in self._waiting]
        if len(kept) < len(file.dependency):
            del file.dependency[:], file.public_dependency[:], file.weak_dependency[:]
            file.dependency.extend(kept)
        for needed in kept:
            self._add(needed)
        try:
            self._pool.AddSerializedFile(file.SerializeToString())
        except Exception as error:  # noqa: BLE001  the pool names no error of its own
            raise Undecodable(f"not a Protobuf schema: {str(error)[:200]}") from None


def compile_file(content: bytes, message: str) -> Callable[[bytes], object]:
    """A function that reads messages of this type.

    content: a FileDescriptorSet with everything that it imports. message: a full name. Raises Undecodable.
    """
    types, descriptor = load_file(content, message)
    return types.reader(descriptor)


def load_file(content: bytes, message: str) -> tuple[_Types, Descriptor]:
    """The types of a descriptor set, and one of them. Raises Undecodable."""
    try:
        files = FileDescriptorSet.FromString(content).file
    except DecodeError:
        files = FileDescriptorSet().file
    if not files or not all(file.name for file in files):
        make = "make one with protoc --include_imports --descriptor_set_out=FILE"
        raise Undecodable(f"is no Protobuf descriptor set; {make}")
    types = _Types(files)
    try:
        return types, types.descriptor(message)
    except KeyError:
        raise Undecodable(f"has no message type {message}") from None


def compile_protobuf(text: str, references: Sequence[tuple[str, str]] = ()) -> Callable[[bytes], object]:
    """A function that reads what follows a schema's id: the path to the message type, and the message.

    text, and the texts of references: FileDescriptorProto in Base64, as a registry gives it for ``format=serialized``.
    Raises Undecodable where this is no schema, SchemasUnavailable where the registry does not have that format.
    """
    main = _file(text, MAIN)
    types = _Types([*(_file(used, name) for name, used in references), main])
    readers: dict[tuple[int, ...], Callable[[bytes], object]] = {}

    def read(data: bytes) -> object:
        indexes, start = _indexes(data)
        if indexes not in readers:
            readers[indexes] = types.reader(types.descriptor(_name_at(main, indexes)))
        return readers[indexes](data[start:])

    return read


def _file(text: str, name: str) -> FileDescriptorProto:
    try:
        file = FileDescriptorProto.FromString(b64decode(text, validate=True))
    except (ValueError, DecodeError):
        why = "the registry gives Protobuf schemas as text only (it ignores format=serialized); use schema_file"
        raise SchemasUnavailable(why, "bad_answer") from None
    file.name = name  # by which those that import it know it
    return file


def _name_at(file: FileDescriptorProto, indexes: Sequence[int]) -> str:
    """The full name of the type at this path: a place among the file's types, then among the types inside it.

    Entries of maps, which the compiled form has among those, are not counted: the .proto text has none.
    """
    types, names = list(file.message_type), [file.package] if file.package else []
    for index in indexes:
        if not 0 <= index < len(types):
            raise Undecodable("the body's message type is not in its schema")
        names.append(types[index].name)
        types = [nested for nested in types[index].nested_type if not nested.options.map_entry]
    return ".".join(names)


def _indexes(data: bytes) -> tuple[tuple[int, ...], int]:
    """The path to the type, and where the message begins. One zero byte stands for the first type of the file."""
    count, at = _varint(data, 0)
    if count == 0:
        return (0,), at
    if not 0 < count <= _MAX_INDEXES:
        raise Undecodable("the body does not say which message type it is")
    indexes = []
    for _ in range(count):
        index, at = _varint(data, at)
        indexes.append(index)
    return tuple(indexes), at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    for place in range(at, min(at + _VARINT_BYTES, len(data))):
        value |= (data[place] & 0x7F) << shift
        if data[place] < 0x80:  # noqa: PLR2004  the bit that says that more follows
            return (value >> 1) ^ -(value & 1), place + 1
        shift += 7
    raise Undecodable("the body does not say which message type it is")
