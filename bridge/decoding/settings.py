"""What a source's configuration says about its bodies."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from bridge.addresses import is_loopback


class Decode(StrEnum):
    """The codecs, as they are written in the configuration."""

    JSON = "json"
    TEXT = "text"
    RAW = "raw"
    CLOUDEVENTS = "cloudevents"
    AVRO = "avro"
    PROTOBUF = "protobuf"


BINARY = (Decode.AVRO, Decode.PROTOBUF)
_ALLOWED = {"registry": BINARY, "schema_file": (*BINARY, Decode.JSON), "message": (Decode.PROTOBUF,)}


class RegistrySettings(BaseModel):
    """A schema registry with the interface of Confluent's (Apicurio, Karapace and Redpanda have it too)."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    url: str = Field(description="Its address, such as `https://registry.example.com`; without user and password.")
    auth: Literal["basic", "bearer"] = Field(
        default="basic", description="What `auth_file` holds: `user:password` (`basic`), or a token (`bearer`)."
    )
    auth_file: Path | None = Field(
        default=None, description="File with the credentials, read at each request; left out, none are sent."
    )
    ca_file: Path | None = Field(
        default=None, description="PEM file of certificate authorities to trust besides the usual ones."
    )
    timeout_seconds: float = Field(
        default=10.0, gt=0, le=600, description="How long one request may take, from connecting to the last byte."
    )

    @field_validator("url")
    @classmethod
    def _plain(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("must begin with https:// or http://, and name a host")
        if parts.query or parts.fragment or parts.username is not None:
            raise ValueError("must be a plain URL: scheme, host, optional port and path; credentials go into auth_file")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _credentials_are_encrypted(self) -> Self:
        parts = urlsplit(self.url)
        if self.auth_file and parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            raise ValueError("auth_file needs an https:// address: over http:// anybody could read the credentials")
        if "auth" in self.model_fields_set and self.auth_file is None:
            raise ValueError("auth says what auth_file holds, and there is none")
        return self


class DecodingSettings(BaseModel):
    """How a source's bodies become values."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    decode: Decode = Field(
        default=Decode.JSON,
        description="What a body is: `json`, `text` (UTF-8), `raw` (bytes as they are), `cloudevents` (structured or "
        "binary mode; the rules see the data as `body`, the attributes as `ce`), `avro` or `protobuf`. "
        "A body that is something else becomes a dead letter.",
    )
    registry: RegistrySettings | None = Field(
        default=None,
        description="For `avro` and `protobuf`: where the schema is found whose id each body begins with.",
    )
    schema_file: Path | None = Field(
        default=None,
        description="For `avro`: the schema of all bodies, which then have no id. For `protobuf` the same, as a "
        "descriptor set (`protoc --include_imports --descriptor_set_out=FILE`). For `json`: a JSON Schema; a body that "
        "is not as it says becomes a dead letter.",
    )
    message: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$",
        description="For `protobuf` with `schema_file`: the full name of the message type, such as `shop.Order`.",
    )

    @field_validator("registry", "schema_file", "message")
    @classmethod
    def _belongs_to_the_codec(cls, value: object, info: ValidationInfo) -> object:
        decode = info.data.get("decode")
        allowed = _ALLOWED[info.field_name or ""]
        if value is not None and decode is not None and decode not in allowed:
            raise ValueError(f"has no meaning with decode: {decode}; it is for {', '.join(allowed)}")
        return value

    @model_validator(mode="after")
    def _one_schema(self) -> Self:
        if self.decode in BINARY and (self.registry is None) == (self.schema_file is None):
            raise ValueError(f"decode: {self.decode} needs one of registry and schema_file")
        if self.message and self.registry:
            raise ValueError("message goes with schema_file; with a registry each body says its own type")
        if self.decode is Decode.PROTOBUF and self.schema_file and not self.message:
            raise ValueError("decode: protobuf with schema_file needs message, the full name of the type")
        return self
