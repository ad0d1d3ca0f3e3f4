"""Settings of the outboxes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class SqliteSettings(BaseModel):
    """Keeps calls in a file: acknowledged when written and synced, survives kill -9 and a reboot."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["sqlite"] = "sqlite"
    path: Path = Field(
        default=Path("workflow-bridge.db"),
        description="The outbox file, on a disk that outlives the process. One process owns it at a time; a missing "
        "folder is created for this user only.",
    )
    max_entries: int = Field(
        default=0,
        ge=0,
        description="Calls kept at most; intake waits above it. 0: as many as the disk holds.",
    )
    max_bytes: int = Field(
        default=0,
        ge=0,
        description="Bytes of the file in use at most, dead letters included; intake waits above it. 0: no bound.",
    )
    queued_entries: int = Field(
        default=20_000,
        ge=1,
        description="Calls that may wait in memory for the next transaction; intake waits above it.",
    )
    queued_bytes: int = Field(
        default=64 * 1024 * 1024,
        ge=1,
        description="Bytes of calls and messages that may wait in memory for the next transaction; intake waits above "
        "it.",
    )
    seen_ids: int = Field(
        default=100_000,
        ge=0,
        description="Message ids remembered per source without positions (RabbitMQ), to recognise what is redelivered.",
    )

    generations_days: int = Field(
        default=400,
        ge=0,
        description="How long the outbox knows which instance of an id is the newest (`if_exists: new`), in days since "
        "it was made; then events and status changes of the id go to the id itself again. 0: for ever. A Workflow "
        "waits 365 days at once at most, and its instance is kept for 30 more.",
    )

    @property
    def marks_folder(self) -> Path | None:
        """Where readers say what they are at work on: beside the file."""
        return self.path.with_name(self.path.name + ".marks")


class MemorySettings(BaseModel):
    """Keeps calls in memory: acknowledged when delivered, the broker keeps the messages until then."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["memory"] = "memory"
    max_entries: int = Field(
        default=10_000,
        ge=1,
        description="Calls kept at most; intake waits above it, and the broker keeps the rest.",
    )
    max_bytes: int = Field(
        default=64 * 1024 * 1024,
        ge=1,
        description="Bytes of calls and their messages kept at most, and of dead letters that are not published yet; "
        "intake waits when there are as many, so that one batch may go beyond.",
    )
    marks_folder: Path | None = Field(
        default=None,
        description="A folder of this process alone that outlives it (an emptyDir does, for a container that is "
        "restarted), for a few bytes a source: what it is at work on, so that a message that kills the process is "
        "found. Left out: such a message kills it again and again.",
    )


OutboxSettings = Annotated[SqliteSettings | MemorySettings, Field(discriminator="type")]
