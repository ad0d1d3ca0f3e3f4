"""Avro and Protobuf schemas, and data written with them, for the tests of decoding."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import fastavro
from google.protobuf import descriptor_pb2, text_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

MONEY = {
    "type": "record",
    "name": "shop.Money",
    "fields": [{"name": "amount", "type": {"type": "bytes", "logicalType": "decimal", "precision": 18, "scale": 2}}],
}
ORDER: dict[str, Any] = {
    "type": "record",
    "name": "shop.Order",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "note", "type": ["null", "string"], "default": None},
        {"name": "total", "type": "shop.Money"},
    ],
}


def avro(schema: Any, value: object, *used: Any) -> bytes:
    """A value written with a schema."""
    named: dict[str, Any] = {}
    for one in used:
        fastavro.parse_schema(one, named_schemas=named)
    stream = BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(schema, named_schemas=named), value)
    return stream.getvalue()


def text(schema: object) -> str:
    """A schema as JSON."""
    return json.dumps(schema)


def descriptor(source: str) -> descriptor_pb2.FileDescriptorProto:
    """A .proto file's descriptor, from Protobuf's own text form."""
    return text_format.Parse(source, descriptor_pb2.FileDescriptorProto())


def descriptor_set(*files: descriptor_pb2.FileDescriptorProto) -> bytes:
    """What protoc writes with ``--include_imports``."""
    return descriptor_pb2.FileDescriptorSet(file=files).SerializeToString()


def message_class(name: str, *files: descriptor_pb2.FileDescriptorProto) -> Any:
    """The class of a message type, to write messages with; files before those that use them."""
    pool = DescriptorPool()
    for file in files:
        pool.AddSerializedFile(file.SerializeToString())
    return GetMessageClass(pool.FindMessageTypeByName(name))


CUSTOMER_FILE = descriptor("""
name: "shop/customer.proto" package: "shop" syntax: "proto3"
message_type { name: "Customer" field { name: "full_name" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL } }
""")
ORDER_FILE = descriptor("""
name: "shop/order.proto" package: "shop" syntax: "proto3" dependency: "shop/customer.proto"
message_type { name: "Ignored" }
message_type {
  name: "Order"
  field { name: "order_id" number: 1 type: TYPE_UINT64 label: LABEL_OPTIONAL }
  field { name: "customer" number: 2 type: TYPE_MESSAGE type_name: ".shop.Customer" label: LABEL_OPTIONAL }
  field { name: "tags" number: 3 type: TYPE_MESSAGE type_name: ".shop.Order.TagsEntry" label: LABEL_REPEATED }
  nested_type {
    name: "TagsEntry" options { map_entry: true }
    field { name: "key" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
    field { name: "value" number: 2 type: TYPE_INT32 label: LABEL_OPTIONAL }
  }
  nested_type { name: "Line" field { name: "sku" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL } }
}
""")
