"""Where dead letters go that the outbox does not keep; no broker's package is needed to read this."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from bridge.sources.kafka_settings import KafkaConnection
from bridge.sources.rabbitmq_settings import RabbitConnection


class KafkaDeadLetterSettings(KafkaConnection):
    """A Kafka topic."""

    type: Literal["kafka"] = Field(description="The broker.")
    topic: str = Field(min_length=1, description="Name of the topic; it has to exist, or the broker has to make it.")
    max_message_bytes: int = Field(
        default=16 * 1024 * 1024,
        ge=1024,
        description="Largest letter; the topic's `max.message.bytes` has to allow it.",
    )


class RabbitDeadLetterSettings(RabbitConnection):
    """A RabbitMQ exchange."""

    type: Literal["rabbitmq"] = Field(description="The broker.")
    exchange: str = Field(default="", description="Name of an exchange that exists; empty is the default exchange.")
    routing_key: str = Field(
        default="", max_length=255, description="Routing key; for the default exchange the name of the queue."
    )


DeadLetterSettings = Annotated[KafkaDeadLetterSettings | RabbitDeadLetterSettings, Field(discriminator="type")]
