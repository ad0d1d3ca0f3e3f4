"""Bodies that begin with a schema's id, with a real registry behind HTTP and HTTPS."""

from __future__ import annotations

import time
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import pytest

from bridge.decoding import Decoder, DecodingSettings, decoder
from bridge.decoding.schemas import UNKNOWN_SECONDS
from bridge.errors import ConfigError, SchemasUnavailable, Undecodable
from tests.decoding.messages import message
from tests.decoding.schemas import CUSTOMER_FILE, MONEY, ORDER, ORDER_FILE, avro, message_class, text
from tests.services.certificates import make_certificates
from tests.services.schema_registry import Answer, SchemaRegistryServer, framed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LIST_SCHEMA = {"type": "array", "items": "int"}
VALUE = avro(LIST_SCHEMA, [1, 2])


@pytest.fixture
def registry() -> Iterator[SchemaRegistryServer]:
    with SchemaRegistryServer() as server:
        yield server


class Clock:
    """Stands still until it is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def made(registry: SchemaRegistryServer, decode: str = "avro", clock: Clock | None = None, **more: Any) -> Decoder:
    settings = {"decode": decode, "registry": {"url": registry.url, "timeout_seconds": 2, **more}}
    return decoder(DecodingSettings.model_validate(settings), clock or Clock())


async def all_of(codec: Decoder, *bodies: bytes | None) -> tuple[list[object], dict[int, str]]:
    messages = [message(body) for body in bodies]
    await codec.prepare(messages)
    _, values, failed = codec.decode(messages)
    return values, dict(failed)


async def one_of(codec: Decoder, body: bytes) -> object:
    (value,), failed = await all_of(codec, body)
    for why in failed.values():
        raise Undecodable(why)
    return value


async def reason(codec: Decoder, body: bytes = framed(1, VALUE)) -> str:
    """Why the registry's schemas cannot be had."""
    with pytest.raises(SchemasUnavailable) as caught:
        await codec.prepare([message(body)])
    return caught.value.reason


async def test_each_schema_is_fetched_once(registry: SchemaRegistryServer) -> None:
    """Whatever the number of messages, in one batch or later ones."""
    first, second = registry.register("a", text(LIST_SCHEMA)), registry.register("a", '"string"')
    codec = made(registry)
    bodies = [framed(first, VALUE), framed(second, b"\x04hi"), framed(first, b"\0"), None]
    for _ in range(3):
        assert await all_of(codec, *bodies) == ([[1, 2], "hi", [], None], {})
    assert sorted(registry.requests) == ["/schemas/ids/1?format=serialized", "/schemas/ids/2?format=serialized"]
    await codec.close()


async def test_data_is_read_with_the_schema_that_it_was_written_with(registry: SchemaRegistryServer) -> None:
    """A topic whose schema has changed holds messages of both; each is what its writer meant."""
    old = {"type": "record", "name": "O", "fields": [{"name": "n", "type": "int"}]}
    new = {"type": "record", "name": "O", "fields": [{"name": "s", "type": "string"}, {"name": "n", "type": "long"}]}
    bodies = [framed(registry.register("o", text(one)), data) for one, data in ((old, b"\x02"), (new, b"\x02x\x02"))]
    assert (await all_of(made(registry), *bodies))[0] == [{"n": 1}, {"s": "x", "n": 1}]


async def test_references_of_avro(registry: SchemaRegistryServer) -> None:
    """A schema that is spread over subjects is put together, references of references and twice used ones included."""
    currency = {"type": "enum", "name": "shop.Currency", "symbols": ["EUR", "USD"]}
    money = {**MONEY, "fields": [*MONEY["fields"], {"name": "currency", "type": "shop.Currency"}]}
    order = {**ORDER, "fields": [*ORDER["fields"], {"name": "paid_in", "type": "shop.Currency"}]}
    registry.register("shop/currency", text(currency))
    registry.register("money", text(money), references=[("shop.Currency", "shop/currency", 1)])
    references = [("shop.Money", "money", 1), ("shop.Currency", "shop/currency", 1)]
    number = registry.register("orders-value", text(order), references=references)
    value = {"id": 17, "note": None, "total": {"amount": b"\x04\xe2", "currency": "EUR"}, "paid_in": "USD"}
    plain = {
        "type": "record",
        "name": "shop.Money",
        "fields": [{"name": "amount", "type": "bytes"}, money["fields"][1]],
    }
    data = avro(order, value, currency, plain)
    expected = {**value, "total": {"amount": "12.50", "currency": "EUR"}}
    assert await one_of(made(registry), framed(number, data)) == expected


async def test_references_and_paths_of_protobuf(registry: SchemaRegistryServer) -> None:
    """The file is put together with what it imports; the body says which type it is, nested ones included."""
    registry.register("customer", descriptor=CUSTOMER_FILE.SerializeToString())
    references = [("shop/customer.proto", "customer", 1)]
    number = registry.register("orders", descriptor=ORDER_FILE.SerializeToString(), references=references)
    order = message_class("shop.Order", CUSTOMER_FILE, ORDER_FILE)
    data = order(order_id=2**64 - 1, customer={"full_name": "Ada"}, tags={"a": 1}).SerializeToString()
    codec = made(registry, "protobuf")
    expected = {"order_id": 2**64 - 1, "customer": {"full_name": "Ada"}, "tags": {"a": 1}}
    assert await one_of(codec, framed(number, b"\x02\x02" + data)) == expected
    assert await one_of(codec, framed(number, b"\0")) == {}  # the first type of the file
    line = b"\x04\x02\x00" + b"\x0a\x02a1"  # the first type within the second: the map's entries do not count
    assert await one_of(codec, framed(number, line)) == {"sku": "a1"}
    values, failed = await all_of(
        codec, *(framed(number, data) for data in (b"", b"\x02\x08", b"\x02\x03", b"\x80" * 9))
    )
    assert values == [None] * 4
    assert len(failed) == 4


async def test_an_unknown_id_is_its_messages_own_problem(registry: SchemaRegistryServer) -> None:
    """The others go on. It is asked for again after a while, for somebody may have registered it meanwhile."""
    clock, known = Clock(), registry.register("a", text(LIST_SCHEMA))
    codec = made(registry, clock=clock)
    bodies = (framed(7, VALUE), framed(known, VALUE))
    for _ in range(2):
        assert await all_of(codec, *bodies) == ([None, [1, 2]], {0: "the registry has no schema 7"})
    assert len(registry.requests) == 2
    for _ in range(6):
        registry.register("a", text(LIST_SCHEMA))
    clock.now = UNKNOWN_SECONDS
    assert await all_of(codec, *bodies) == ([[1, 2], [1, 2]], {})


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "does not begin with a zero byte"),
        (b"\0\0\0\0", "does not begin with a zero byte"),
        (b'{"a": 1}', "does not begin with a zero byte"),
        (framed(1, b"\x04\x02"), "not Avro of this schema"),
        (framed(1, VALUE + b"x"), "bytes are left over"),
        (framed(2, b""), "schema 2 is of the kind PROTOBUF, not AVRO"),
        (framed(3, b""), "not an Avro schema"),
        (framed(4, b""), "version 3 of a, to which the schema refers"),
        (framed(5, b""), "version 1 of nobody, to which the schema refers"),
    ],
)
async def test_what_cannot_be_decoded(registry: SchemaRegistryServer, body: bytes, why: str) -> None:
    """A body without an id, with data of another schema, or with a schema that is none, stops only itself."""
    registry.register("a", text(LIST_SCHEMA))
    registry.register("p", descriptor=CUSTOMER_FILE.SerializeToString())
    registry.register("broken", '{"type": "recod"}')
    registry.register("b", text(ORDER), references=[("shop.Money", "a", 3)])
    registry.register("c", text(ORDER), references=[("shop.Money", "nobody", 1)])
    values, failed = await all_of(made(registry), framed(1, VALUE), body, framed(1, VALUE))
    assert values == [[1, 2], None, [1, 2]]
    assert list(failed) == [1]
    assert why in failed[1]


async def test_an_id_that_no_registry_can_have_is_not_asked_for(registry: SchemaRegistryServer) -> None:
    """Registries answer ids beyond Java's int like a wrong address: waiting that out would stop the source for ever."""
    good = registry.register("a", text(LIST_SCHEMA))
    codec = made(registry)
    values, failed = await all_of(codec, framed(2**32 - 1, VALUE), framed(good, VALUE))
    assert (values, list(failed)) == ([None, [1, 2]], [0])
    assert "no registry can have" in failed[0]
    assert len(registry.requests) == 1
    await codec.close()


async def test_a_registry_that_is_down_says_nothing_about_messages(registry: SchemaRegistryServer) -> None:
    """What is known goes on; what is not waits, and is decoded when the registry is back."""
    registry.register("a", text(LIST_SCHEMA))
    registry.register("a", '"int"')
    codec = made(registry)
    assert await one_of(codec, framed(1, VALUE)) == [1, 2]
    registry.stop()
    assert await one_of(codec, framed(1, VALUE)) == [1, 2]
    assert await reason(codec, framed(2, b"\x02")) == "connect"
    registry.start()
    assert await one_of(codec, framed(2, b"\x02")) == 1


@pytest.mark.parametrize(
    ("broken", "expected"),
    [
        (Answer(500, {"error_code": 50001, "message": "Error in the backend data store"}), "server_error"),
        (Answer(503, b"<html>"), "server_error"),
        (Answer(429, {}), "server_error"),
        (Answer(401, {"error_code": 401, "message": "Unauthorized"}), "unauthorized"),
        (Answer(403, {}), "unauthorized"),
        (Answer(404, b"<html>no such page</html>"), "bad_answer"),
        (Answer(404, {"error_code": 404, "message": "HTTP 404 Not Found"}), "bad_answer"),
        (Answer(301, {}), "bad_answer"),
        (Answer(200, b"<html>sign in</html>"), "bad_answer"),
        (Answer(200, []), "bad_answer"),
        (Answer(200, {"schema": 5}), "bad_answer"),
        (Answer(200, {"schema": '"int"', "references": [{"name": "x"}]}), "bad_answer"),
        (Answer(200, b" " * (17 * 1024 * 1024)), "bad_answer"),
        (b"220 smtp.example.com ready\r\n", "connect"),
        (b"", "connect"),
    ],
    ids=lambda value: value if isinstance(value, str) else "answer",
)
async def test_any_other_answer_is_waited_out(
    registry: SchemaRegistryServer, broken: Answer | bytes, expected: str
) -> None:
    """Only the registry's own "not found" says that a schema is not there: a proxy's page or an outage does not."""
    registry.register("a", text(LIST_SCHEMA))
    codec = made(registry)
    registry.broken = broken
    assert await reason(codec) == expected
    registry.broken = None
    assert await one_of(codec, framed(1, VALUE)) == [1, 2]


async def test_a_registry_that_does_not_answer_is_given_up_in_time(registry: SchemaRegistryServer) -> None:
    """The limit is for the whole request."""
    registry.stalled.set()
    codec = made(registry, timeout_seconds=0.2)
    begin = time.monotonic()
    assert await reason(codec) == "timeout"
    assert time.monotonic() - begin < 20  # it would never answer


async def test_a_registry_without_compiled_protobuf_is_waited_out(registry: SchemaRegistryServer) -> None:
    """Its messages are not lost: the reason says what to do, and the source waits until that is done."""
    registry.serializes = False
    registry.register("p", descriptor=CUSTOMER_FILE.SerializeToString())
    with pytest.raises(SchemasUnavailable, match="use schema_file"):
        await made(registry, "protobuf").prepare([message(framed(1, b"\0"))])


async def test_a_closed_decoder_fetches_nothing(registry: SchemaRegistryServer) -> None:
    """Whoever still waits with it is told to try again, with a newer one."""
    codec = made(registry)
    await codec.close()
    await codec.close()
    assert await reason(codec) == "closed"
    assert registry.requests == []


@pytest.mark.parametrize(
    ("auth", "secret", "header"),
    [
        ("basic", "user:pass:word\n", "Basic " + b64encode(b"user:pass:word").decode()),
        ("bearer", "eyJhbGci.x\n", "Bearer eyJhbGci.x"),
    ],
)
async def test_credentials_over_tls(tmp_path: Path, auth: str, secret: str, header: str) -> None:
    """The file is read at each request, so that a new secret is taken up; the server's authority is checked."""
    certificates, file = make_certificates(tmp_path), tmp_path / "auth"
    file.write_text("wrong:one")
    with SchemaRegistryServer(certificates=certificates, authorization=header) as server:
        server.register("a", text(LIST_SCHEMA))
        codec = made(server, auth=auth, auth_file=str(file), ca_file=str(certificates.ca_file))
        assert await reason(codec) == "unauthorized"
        file.write_text(secret)
        assert await one_of(codec, framed(1, VALUE)) == [1, 2]
        stranger = made(server, auth=auth, auth_file=str(file))
        assert await reason(stranger) == "connect"
        for content in ("", "two\nlines"):
            file.write_text(content)
            assert await reason(codec, framed(9, b"")) == "unauthorized"
        file.unlink()
        assert await reason(codec, framed(9, b"")) == "unauthorized"


async def test_no_secret_in_what_is_said(tmp_path: Path, registry: SchemaRegistryServer) -> None:
    """The reason names the address, and nothing of the credentials."""
    file = tmp_path / "auth"
    file.write_text("user:hunter2")
    registry.broken = Answer(401, {})
    with pytest.raises(SchemasUnavailable) as caught:
        await made(registry, auth_file=str(file)).prepare([message(framed(1, b""))])
    assert registry.url in str(caught.value)
    assert "hunter2" not in repr(caught.value)


def test_a_ca_file_without_certificates_is_a_problem_of_the_configuration(
    tmp_path: Path, registry: SchemaRegistryServer
) -> None:
    """It is found when the configuration is loaded."""
    file = tmp_path / "ca.pem"
    file.write_text("no certificate")
    with pytest.raises(ConfigError) as caught:
        made(registry, ca_file=str(file))
    assert [problem.path for problem in caught.value.problems] == ["registry.ca_file"]
