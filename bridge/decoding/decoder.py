"""Which codec a source uses; the codecs themselves are in the files beside this one.

A codec's packages are imported only when a source uses it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from bridge.decoding.base import BodyDecoder
from bridge.decoding.cloudevents import CloudEventDecoder
from bridge.decoding.json import decode_json
from bridge.decoding.plain import decode_raw, decode_text
from bridge.decoding.settings import Decode
from bridge.errors import ConfigError, Problem, Undecodable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from bridge.decoding.base import Decoder
    from bridge.decoding.settings import DecodingSettings

MAX_SCHEMA_BYTES = 16 * 1024 * 1024

_BODIES: Mapping[Decode, Callable[[bytes | None], object]] = {
    Decode.JSON: decode_json,
    Decode.TEXT: decode_text,
    Decode.RAW: decode_raw,
}


def decoder(settings: DecodingSettings, seconds: Callable[[], float] = lambda: 0.0) -> Decoder:
    """The codec of one source.

    seconds: a monotonic clock, for how long a registry's answer is believed. Raises ConfigError, with paths from the
    source on, where a file cannot be used or packages are not installed.
    """
    if settings.decode is Decode.CLOUDEVENTS:
        return CloudEventDecoder()
    if settings.registry is not None:
        return _of_registry(settings, seconds)
    if settings.schema_file is not None:
        return BodyDecoder(_of_file(settings, settings.schema_file))
    return BodyDecoder(_BODIES[settings.decode])


def _of_registry(settings: DecodingSettings, seconds: Callable[[], float]) -> Decoder:
    codec = load_codec(settings.decode)
    compile_schema = codec.compile_avro if settings.decode is Decode.AVRO else codec.compile_protobuf
    registry = import_module("bridge.decoding.schema_registry").SchemaRegistry(settings.registry)
    made: Decoder = import_module("bridge.decoding.schemas").SchemaDecoder(
        registry, settings.decode.upper(), compile_schema, seconds
    )
    return made


def _of_file(settings: DecodingSettings, file: Path) -> Callable[[bytes | None], object]:
    codec, content = load_codec(settings.decode), read_schema(file)
    try:
        if settings.decode is Decode.PROTOBUF:
            return _or_none(codec.compile_file(content, settings.message))
        text = content.decode(errors="replace")
        if settings.decode is Decode.AVRO:
            return _or_none(codec.compile_avro(text))
        read: Callable[[bytes | None], object] = codec.compile_json(text)
    except Undecodable as error:
        raise ConfigError([Problem("schema_file", f"{file}: {error}")]) from None
    return read


def _or_none(read: Callable[[bytes], object]) -> Callable[[bytes | None], object]:
    return lambda body: None if body is None else read(body)


def read_schema(file: Path) -> bytes:
    """The content of a schema file. Raises ConfigError."""
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_SCHEMA_BYTES + 1)
    except OSError as error:
        raise ConfigError([Problem("schema_file", f"{file} cannot be read: {error.strerror}")]) from None
    if len(content) > MAX_SCHEMA_BYTES:
        raise ConfigError([Problem("schema_file", f"{file} is larger than {MAX_SCHEMA_BYTES} bytes")])
    return content


def load_codec(decode: str) -> Any:  # noqa: ANN401  a module
    """The module behind a codec's schemas, whose packages may be missing. Raises ConfigError."""
    module, extra = ("json_schema", "jsonschema") if decode == Decode.JSON else (decode, decode)
    try:
        return import_module(f"bridge.decoding.{module}")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("bridge"):
            raise
        what = f"{extra} needs the package {error.name}: pip install 'workflow-bridge[{extra}]'"
        raise ConfigError([Problem("decode", what)]) from error
