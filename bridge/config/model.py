"""What a configuration consists of; each part's own settings are beside that part."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, PrivateAttr, StringConstraints
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from bridge.admin.settings import AdminSettings, HealthSettings
from bridge.cloudflare.settings import TargetSettings
from bridge.config.cases import Case
from bridge.config.contents import Contents, contents_of
from bridge.config.ledger import LedgerSettings
from bridge.config.sources import SourceSettings, source_info
from bridge.dead_letters.settings import DeadLetterSettings
from bridge.logs import Format, Level
from bridge.outbox.settings import OutboxSettings, SqliteSettings
from bridge.routing.router import Router
from bridge.routing.settings import RuleSettings
from bridge.routing.words import Duration
from bridge.tracing.settings import TracingSettings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ENV_PREFIX = "WORKFLOW_BRIDGE_"
ENV_DELIMITER = "__"
FURTHER_FILES = ("shadow",)  # settings that name a file like the configuration itself

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
"""Of a source or target: a metric label, part of ids and of log lines."""


RedactPath = Annotated[str, StringConstraints(pattern=r"^[^.]+(\.[^.]+)*$", max_length=200)]


class LogSettings(BaseModel):
    """What is logged, and how; to standard error."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    level: Level = Field(default=Level.INFO, description="The least important lines that are still written.")
    format: Format = Field(
        default=Format.AUTO, description="`json`, `console`, or `auto`: console on a terminal, else json."
    )


class DeadLettersSettings(BaseModel):
    """Where dead letters go, and how many of them the sqlite outbox keeps, and for how long."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    to: DeadLetterSettings | None = Field(
        default=None,
        description="A topic or exchange; every letter is confirmed by its broker. The memory outbox needs it, or "
        "`discard`. With sqlite each letter that is kept is copied there, too.",
    )
    keep: Duration | None = Field(
        default=None,
        description="How long sqlite keeps a dead letter, such as `30d`; then it is deleted, counted and logged, but "
        "not one that blocks its lane. Left out: for ever.",
    )
    max_bytes: int = Field(
        default=0,
        ge=0,
        description="Bytes of dead letters that sqlite keeps at most: when there are so many, intake waits until "
        "somebody has seen to them. 0: no bound but the outbox's own.",
    )


class DispatchSettings(BaseModel):
    """The half that calls the Workflows API; the other half, intake, goes on without it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = Field(
        default=True, description="`false`: only take messages in; the outbox keeps the calls for a later start."
    )


class ShutdownSettings(BaseModel):
    """What SIGTERM begins: intake stops, calls in flight end, the outbox closes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    grace_seconds: float = Field(
        default=20.0,
        ge=0,
        le=3600,
        description="How long calls in flight may take; keep it below the Pod's terminationGracePeriodSeconds. "
        "What is cut off then is sent again after the next start.",
    )


class ShadowRules(BaseModel):
    """Another set of rules, in the file that ``shadow`` names."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rules: list[RuleSettings] = Field(min_length=1)
    vars: dict[str, JsonValue] = Field(default_factory=dict)  # over those of the configuration


class ReloadSettings(BaseModel):
    """How the bridge notices that its configuration has changed; SIGHUP reloads it in any case."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    watch: bool = Field(
        default=True, description="Look at the configuration's files, and load them when their content has changed."
    )
    interval_seconds: float = Field(
        default=2.0,
        ge=0.05,
        le=3600,
        description="How often to look; a change is loaded when two looks in a row saw the same, so that no file is "
        "read that is still being written.",
    )


def _sqlite_unless_said(value: object) -> object:
    return {"type": "sqlite", **value} if isinstance(value, dict) else value


class Config(BaseSettings):
    """The whole configuration; ``load_config`` makes one from a file and the environment."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        env_prefix=ENV_PREFIX,
        env_nested_delimiter=ENV_DELIMITER,
        hide_input_in_errors=True,
    )

    targets: dict[Name, TargetSettings] = Field(
        default_factory=dict, description="Accounts of the Workflows API that rules call, by name."
    )
    sources: dict[Name, SourceSettings] = Field(min_length=1, description="Where messages come from, by name.")
    rules: list[RuleSettings] = Field(
        min_length=1, description="What messages mean; every rule that matches fires, in order."
    )
    vars: dict[str, JsonValue] = Field(
        default_factory=dict, description="Constants for rules, as `vars.name`. `${ENV:NAME}` is allowed here only."
    )
    tests: list[Case] = Field(
        default_factory=list, description="Rule tests, for `workflow-bridge test`; `run` does not look at them."
    )
    outbox: Annotated[OutboxSettings, BeforeValidator(_sqlite_unless_said)] = Field(
        default_factory=SqliteSettings, description="Where calls wait until the API has them; `sqlite` by default."
    )
    dead_letters: DeadLettersSettings | Literal["discard"] | None = Field(
        default=None,
        description="The sqlite outbox keeps dead letters in its file: how many, how long, and where copies go. "
        "For the memory outbox, which keeps none: where they go, or `discard`.",
    )
    ledger: LedgerSettings = Field(
        default_factory=LedgerSettings, description="What became of which message, and for how long it is known."
    )
    dispatch: DispatchSettings = Field(default_factory=DispatchSettings, description="The half that calls the API.")
    health: HealthSettings = Field(default_factory=HealthSettings, description="The listener for probes and metrics.")
    admin: AdminSettings = Field(
        default_factory=AdminSettings, description="The listener for operators: an API and a web page."
    )
    redact: list[RedactPath] = Field(
        default_factory=list,
        description="What people do not see of messages and calls, on the web page, by the admin API and by "
        "`dead-letters list` and `show`: names with dots between, such as `customer.email`, `*` for any one, found at "
        "any depth; `headers.NAME`, `key`. With any, a body that is not JSON is not shown at all.",
    )
    log: LogSettings = Field(default_factory=LogSettings, description="What is logged, and how.")
    tracing: TracingSettings = Field(
        default_factory=TracingSettings, description="Spans of messages and requests, for OpenTelemetry."
    )
    reload: ReloadSettings = Field(
        default_factory=ReloadSettings, description="How a changed configuration comes into use while the bridge runs."
    )
    shadow: Path | None = Field(
        default=None,
        description="A file with other rules (`rules`, `vars`, `include`), relative to this one. They are asked about "
        "every message, too; what they would do otherwise is counted and logged, and none of it is done.",
    )
    shutdown: ShutdownSettings = Field(default_factory=ShutdownSettings, description="How the bridge stops.")

    _shadow: ShadowRules | None = PrivateAttr(default=None)  # what is in that file
    _contents: Contents = PrivateAttr(default_factory=dict)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  the signature is pydantic's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what it is given: ``load_config`` reads the environment, and knows the place of each value."""
        return (init_settings,)

    def router(self) -> Router:
        """The rules, compiled at the first call. Raises ConfigError listing every mistake."""
        return self.compiled

    @cached_property
    def compiled(self) -> Router:
        """See ``router``."""
        return self._compile(self.rules, self.vars)

    def _compile(self, rules: Sequence[RuleSettings], constants: Mapping[str, JsonValue]) -> Router:
        return Router(
            rules,
            vars=constants,
            sources=[source_info(name, source) for name, source in self.sources.items()],
            targets=tuple(self.targets),
            config=self.digest(),
        )

    def another_router(self) -> Router:
        """The rules, compiled once more: a router is for one thread."""
        return self._compile(self.rules, self.vars)

    def give_shadow(self, rules: ShadowRules) -> None:
        """What the file of ``shadow`` holds; before the digest is asked for the first time."""
        self._shadow = rules

    def shadow_router(self) -> Router | None:
        """The shadow's rules, compiled at the first call; None without a shadow. Raises ConfigError."""
        return self.compiled_shadow

    @cached_property
    def compiled_shadow(self) -> Router | None:
        """See ``shadow_router``."""
        return None if self._shadow is None else self._compile(self._shadow.rules, {**self.vars, **self._shadow.vars})

    @property
    def shadow_text(self) -> str:
        """What is in the shadow's file, as one text that changes when it does."""
        return "" if self._shadow is None else self._shadow.model_dump_json()

    def look_into_files(self) -> None:
        """Remember what is in the files that are read once; before any of them is."""
        self._contents = contents_of(self)

    @property
    def contents(self) -> Contents:
        """What was in those files."""
        return self._contents

    def digest(self) -> str:
        """Twelve characters that change when a setting does; neither secrets nor rule tests go into it."""
        return self.hash

    @cached_property
    def hash(self) -> str:
        """See ``digest``."""
        return hashlib.sha256((self.model_dump_json(exclude={"tests"}) + self.shadow_text).encode()).hexdigest()[:12]
