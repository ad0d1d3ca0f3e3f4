"""What an emulator can be told: where it listens, whom it lets in, which workflows it has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, cast

from pydantic import BaseModel, ConfigDict, Field, GetPydanticSchema, SecretStr, field_validator

from bridge.cloudflare.limits import MAX_BATCH_BYTES, check_workflow_name
from bridge.emulator.answers import Problem
from bridge.emulator.behaviour import WorkflowSettings
from bridge.emulator.faults import Fault
from bridge.emulator.quota import CreationSettings, QuotaSettings

ANY = "*"  # as a workflow's name: every name that is not listed
EXAMPLE_ACCOUNT = "0123456789abcdef0123456789abcdef"
EXAMPLE_TOKEN = "emulator-token"  # noqa: S105  it guards nothing: everybody may know it

Behaves = Annotated[WorkflowSettings | str, GetPydanticSchema(lambda _, schema_of: schema_of(WorkflowSettings))]
_ESSENTIAL = {
    "account_id",
    "workflows",
    "quota",
    "creation",
    "concurrency",
    "list_lag_seconds",
    "batch_bytes",
    "ended_event",
    "faults",
    "seed",
}
NOT_RUNNING = "workflows.api.error.instance.not_running"  # no source for the text either


class EndedEvent(BaseModel):
    """How an event for an instance that has ended is refused.

    https://developers.cloudflare.com/workflows/build/workers-api/ says that it is; with which status and code over
    REST, no source says. The open engine accepts it and loses it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: int = Field(default=400, ge=400, le=599)
    code: int = 10402

    @property
    def problem(self) -> Problem:
        """The refusal on the wire."""
        return Problem(self.status, self.code, NOT_RUNNING)


class EmulatorSettings(BaseModel):
    """One emulated account and who may call it. With nothing said, every workflow exists and nothing is limited."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field(default="127.0.0.1", description="Address to listen on")
    port: int = Field(default=0, ge=0, le=65_535, description="TCP port; 0 is any free one")
    account_id: str = Field(default=EXAMPLE_ACCOUNT, pattern=r"^[A-Za-z0-9_-]{1,64}$")
    token: SecretStr = Field(default=SecretStr(EXAMPLE_TOKEN), description="The bearer token that requests must carry")
    more_tokens: dict[str, SecretStr] = Field(
        default={}, description="Further tokens of the account by name, each with a quota of its own"
    )
    quota: QuotaSettings | None = Field(
        default=None, description="Requests per token; off unless given, so that no test waits for a block by surprise"
    )
    creation: CreationSettings | None = Field(default=None, description="Instances per second; off unless given")
    speed: float = Field(default=1.0, gt=0, le=10_000, description="How many seconds its clock counts in one")
    workflows: Mapping[str, Behaves] = Field(
        default={ANY: WorkflowSettings()}, description='By name; "*" stands for every other name'
    )
    concurrency: int | None = Field(default=None, ge=1, description="Instances that run at once in the whole account")
    list_lag_seconds: float = Field(default=0, ge=0, description="How long a list does not show a new instance")
    batch_bytes: int = Field(default=MAX_BATCH_BYTES, ge=2, description="The largest body of a batch")
    ended_event: EndedEvent | None = Field(
        default=EndedEvent(), description="How an event for an ended instance is refused; null accepts and loses it"
    )
    faults: list[Fault] = Field(default=[], description="What goes wrong from the start")
    seed: int = Field(default=0, description="The same seed and the same requests have the same faults")
    journal_file: Path | None = Field(default=None, description="Also append the journal to this file, as JSON lines")
    journal_records: int = Field(
        default=1_000_000, ge=1, description="Records kept in memory; older ones are in the file alone"
    )
    state_dir: Path | None = Field(
        default=None, description="Everything is on disk here too, so that it goes on where it was after its own kill"
    )

    @field_validator("workflows")
    @classmethod
    def _names(cls, value: Mapping[str, WorkflowSettings]) -> Mapping[str, WorkflowSettings]:
        for name in value:
            problem = None if name == ANY else check_workflow_name(name)
            if problem:
                raise ValueError(f"the workflow name {name!r} {problem}")
        return value

    @property
    def behaviours(self) -> Mapping[str, WorkflowSettings]:
        """The workflows; what was written as a text is settings now."""
        return cast("Mapping[str, WorkflowSettings]", self.workflows)

    @property
    def journal_path(self) -> Path | None:
        """Where the journal is, with a ``state_dir`` beside the state."""
        beside = None if self.state_dir is None else self.state_dir / "journal.jsonl"
        return self.journal_file or beside

    @property
    def essence(self) -> Mapping[str, object]:
        """What answers depend on, as JSON: of two emulators with the same, the same requests make the same state."""
        return self.model_dump(mode="json", include=_ESSENTIAL)
