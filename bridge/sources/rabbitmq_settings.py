"""The settings of a RabbitMQ source; no AMQP package is needed to read them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from bridge.sources.sizes import MessageSizes

SINGLE_ACTIVE = "x-single-active-consumer"


def check_address(text: str) -> None:
    """Raises ValueError without repeating the text: there is a password in it."""
    try:
        url = urlsplit(text)
        usable = url.scheme in ("amqp", "amqps") and bool(url.hostname) and url.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ValueError("the address has to look like amqp://user:password@host:5672/vhost")


class RabbitTls(BaseModel):
    """Files for an ``amqps`` address; the broker's name is always checked."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    ca_file: Path | None = Field(
        default=None, description="PEM file of the authorities to trust; the system's by default."
    )
    cert_file: Path | None = Field(default=None, description="PEM file of our certificate, for mutual TLS.")
    key_file: Path | None = Field(default=None, description="PEM file of its key; not needed if in `cert_file`.")

    @model_validator(mode="after")
    def _key_belongs_to_a_certificate(self) -> Self:
        if self.key_file and not self.cert_file:
            raise ValueError("`key_file` needs `cert_file`")
        return self


class RabbitConnection(BaseModel):
    """What every client of a broker needs."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    url: SecretStr | None = Field(
        default=None, description="`amqp://user:password@host:5672/vhost` or `amqps://…`; prefer the file."
    )
    url_file: Path | None = Field(
        default=None, description="File with the address; read at each connect, so that a new password is taken up."
    )
    tls: RabbitTls = Field(default_factory=RabbitTls, description="TLS files for an `amqps` address.")
    name: str = Field(
        default="workflow-bridge", max_length=200, description="The name of the connection on the broker's pages."
    )
    timeout_seconds: float = Field(
        default=20.0, gt=0, le=600, description="Seconds to wait for the broker: to connect, and for each answer."
    )
    heartbeat_seconds: int = Field(
        default=10, ge=1, le=600, description="Seconds between heartbeats; a broker silent for three of them is lost."
    )

    @model_validator(mode="after")
    def _one_address(self) -> Self:
        if (self.url is None) == (self.url_file is None):
            raise ValueError("give one of `url_file` and `url`")
        if self.url is not None:
            check_address(self.url.get_secret_value())
        return self


class RabbitDeclare(BaseModel):
    """Declare the queues instead of only looking whether they are there."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    type: Literal["classic", "quorum"] = Field(default="quorum", description="Kind of queue.")
    durable: bool = Field(default=True, description="The queue outlives a restart of the broker; quorum queues always.")
    arguments: dict[str, str | int | float | bool] = Field(
        default_factory=dict, description="Further arguments, such as `x-dead-letter-exchange`."
    )

    @model_validator(mode="after")
    def _quorum_queues_are_durable(self) -> Self:
        if self.type == "quorum" and not self.durable:
            raise ValueError("a quorum queue is always durable")
        return self

    def all_arguments(self) -> dict[str, str | int | float | bool]:
        """With the type among them."""
        return {"x-queue-type": self.type, **self.arguments}


class RabbitBind(BaseModel):
    """One binding of each queue to an exchange that exists."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    exchange: str = Field(min_length=1, description="Name of the exchange.")
    routing_key: str = Field(default="", max_length=255, description="Routing key or pattern.")


class RabbitSettings(RabbitConnection, MessageSizes):
    """A consumer of RabbitMQ queues."""

    queue: str | None = Field(default=None, description="Name of the queue to read; or …")
    queues: list[str] = Field(default_factory=list, description="… names of several.")
    declare: RabbitDeclare | None = Field(
        default=None, description="Declare the queues; left out, they have to exist and are not changed."
    )
    bind: list[RabbitBind] = Field(default_factory=list, description="Bind each queue to these exchanges.")
    prefetch: int = Field(
        default=1000,
        ge=1,
        le=65_535,
        description="Most messages of each queue held unacknowledged; bounds memory, and repetition after a crash.",
    )
    max_records: int = Field(default=1000, ge=1, le=65_535, description="Most messages of one batch of intake.")
    single_active_consumer: bool = Field(
        default=False,
        description="The queues give their messages to one consumer at a time (`x-single-active-consumer`), which "
        "keeps their order across a restart. With `declare` they are declared so; without, this says that they are.",
    )
    identity: Literal["message-id", "body-hash"] = Field(
        default="message-id",
        description="How a message without `message_id` is known: not at all, or by the hash of its body.",
    )

    @model_validator(mode="after")
    def _names_its_queues(self) -> Self:
        if (self.queue is None) == (not self.queues):
            raise ValueError("give one of `queue` and `queues`")
        if len(set(self.queues)) != len(self.queues):
            raise ValueError("`queues` names a queue twice")
        return self

    @property
    def arguments(self) -> dict[str, str | int | float | bool]:
        """What the queues are declared with."""
        given = {} if self.declare is None else self.declare.all_arguments()
        return {**given, SINGLE_ACTIVE: True} if self.single_active_consumer else given

    @property
    def names(self) -> list[str]:
        """The queues."""
        return self.queues or [self.queue or ""]
