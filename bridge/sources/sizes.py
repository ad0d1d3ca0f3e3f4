"""How large a message of a source may be; what becomes of larger ones is in bridge.admission."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

LARGEST = 128 * 1024 * 1024  # RabbitMQ's own most (3.x: https://www.rabbitmq.com/docs/3.13/configure, max_message_size)


class MessageSizes(BaseModel):
    """Part of every source's settings."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    max_message_bytes: int = Field(
        default=4 * 1024 * 1024,
        ge=1024,
        le=LARGEST,
        description="Most bytes of a body. A message with more becomes a dead letter, `too_large`, with the first 16 "
        "KiB of it; RabbitMQ is told to reject it, so that the queue's dead letter exchange, if it has one, keeps all.",
    )
