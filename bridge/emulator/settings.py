"""What an emulator can be told: where it listens, whom it lets in, which workflows it has."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, field_validator

from bridge.cloudflare.limits import check_workflow_name
from bridge.emulator.quota import CreationSettings, QuotaSettings

ANY = "*"  # as a workflow's name: every name that is not listed
EXAMPLE_ACCOUNT = "0123456789abcdef0123456789abcdef"
EXAMPLE_TOKEN = "emulator-token"  # noqa: S105  it guards nothing: everybody may know it

Behaviour = Annotated[str, StringConstraints(pattern=r"^(completes|fails|waits: ?[a-zA-Z0-9_][a-zA-Z0-9_-]{0,99})$")]


class EmulatorSettings(BaseModel):
    """One emulated account.

    A workflow ``completes`` as soon as it is created, ``fails`` likewise, or ``waits: TYPE``: it completes when an
    event of that type has arrived.
    """

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
    workflows: dict[str, Behaviour] = Field(
        default={ANY: "completes"}, description='Name to behaviour; "*" stands for every other name'
    )
    journal_file: Path | None = Field(default=None, description="Also append the journal to this file, as JSON lines")

    @field_validator("workflows")
    @classmethod
    def _names(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            problem = None if name == ANY else check_workflow_name(name)
            if problem:
                raise ValueError(f"the workflow name {name!r} {problem}")
        return value
