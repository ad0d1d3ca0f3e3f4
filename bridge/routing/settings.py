"""What a user writes in ``rules:``, one pydantic model per shape; what it means for a message is in ``rule.py``."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator

from bridge.call import IfExists, IfMissing
from bridge.routing.words import Duration, Missing, MissingText, RetentionTime


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Retention(_Settings):
    """How long Cloudflare keeps a finished instance, and with it the use of its id."""

    success: RetentionTime | None = Field(None, description="After completion or termination.")
    error: RetentionTime | None = Field(None, description="After an error.")


class _Action(_Settings):
    workflow: str = Field(min_length=1, description="The Workflow's name. A template.")
    target: str | None = Field(None, description="The configured target; needed where there are several.")


class Creation(_Settings):
    """How to create an instance."""

    params: JsonValue = Field(None, description="What the instance gets: any value, templates inside.")
    retention: Retention | None = Field(None, description="Left out: the Workflow's own.")
    location_hint: (
        Literal["wnam", "weur", "enam", "eeur", "apac", "apac-ne", "apac-se", "oc", "sam", "afr", "me"] | None
    ) = Field(None, description="Where to run the instance, if possible.")
    metadata: bool = Field(default=False, description="Add `_bridge: {id, source, rule}` to params that are an object.")
    params_encoding: Literal["json", "string"] = Field(
        "json", description="string: send params as a string that holds JSON, for APIs that want it so."
    )


class Payload(_Settings):
    """An event."""

    type: str = Field(min_length=1, description="The event type that the instance waits for, a template.")
    payload: JsonValue = Field(default_factory=dict, description="What the event carries: any value, templates inside.")
    on_unknown: Literal["resend", "dead-letter"] = Field(
        "resend", description="What to do when it is not known whether the event arrived."
    )
    metadata: bool = Field(
        default=True, description="Add `_bridge: {id, source, rule}` to a payload that is an object."
    )


class Signal(Payload):
    """The event that a create sends to the instance that exists already."""


class CreateAction(Creation, _Action):
    """Create an instance."""

    id: str | None = Field(
        None,
        min_length=1,
        description="The instance id, a template. Left out: a hash of source, message, rule and element.",
    )
    if_exists: IfExists = Field(
        IfExists.SKIP,
        description="What it means that another call has used the id: skip, nothing to do; fail, a dead letter; "
        "restart, the instance; event, send it the one below; new, make one under an id of its own (sqlite outbox).",
    )
    event: Signal | None = Field(None, description="The event of `if_exists: event`.")

    @model_validator(mode="after")
    def _event_fits(self) -> CreateAction:
        if (self.event is not None) != (self.if_exists is IfExists.EVENT):
            raise ValueError("if_exists: event and event: {type, payload} go together")
        if self.if_exists is not IfExists.SKIP and "metadata" in self.model_fields_set and not self.metadata:
            raise ValueError(f"if_exists: {self.if_exists} needs metadata: by it a call knows what it made itself")
        return self


class EventAction(Payload, _Action):
    """Send an event to an instance."""

    id: str = Field(min_length=1, description="The instance id, a template.")
    if_missing: MissingText = Field(
        Missing(kind=IfMissing.WAIT),
        description="What an absent instance means: wait 15m, create, drop or dead-letter.",
    )
    create: Creation | None = Field(
        None, description="How `if_missing: create` makes the instance that then gets the event; its id is `id`."
    )

    @model_validator(mode="after")
    def _create_fits(self) -> EventAction:
        if self.create is not None and self.if_missing.kind is not IfMissing.CREATE:
            raise ValueError("create inside event goes with `if_missing: create` only")
        return self


class RestartFrom(_Settings):
    """The step from which a restarted instance goes on."""

    name: str = Field(min_length=1, description="The step's name, a template.")
    count: int | None = Field(None, ge=1, description="Which of several steps of this name; 1 by default.")
    type: Literal["do", "sleep", "waitForEvent"] | None = Field(None, description="The kind of step; do by default.")


class StatusAction(_Action):
    """Change the status of an instance."""

    id: str = Field(min_length=1, description="The instance id, a template.")
    to: Literal["pause", "resume", "terminate", "restart"] = Field(description="What to do with the instance.")
    rollback: bool | None = Field(None, description="Roll back the steps done; only with `to: terminate`.")
    from_: RestartFrom | None = Field(None, alias="from", description="Only with `to: restart`.")
    if_missing: MissingText = Field(
        Missing(kind=IfMissing.DEAD_LETTER),
        description="What an absent instance means: dead-letter, wait 15m or drop.",
    )

    @model_validator(mode="after")
    def _options_fit(self) -> StatusAction:
        if self.rollback is not None and self.to != "terminate":
            raise ValueError("rollback goes with `to: terminate` only")
        if self.if_missing.kind is IfMissing.CREATE:
            raise ValueError("if_missing: create is for events: there is no status to change of what did not exist")
        if self.from_ is not None and self.to != "restart":
            raise ValueError("from goes with `to: restart` only")
        return self


class Watch(_Settings):
    """Look now and then whether instances that the rule has made ended in an error; each is counted once."""

    every: Duration = Field(
        timedelta(minutes=5), description="How often, `1m` to `1d`. A look is one request, more where many errored."
    )
    span: Duration = Field(
        timedelta(days=1),
        alias="for",
        description="Instances that were created longer ago are not looked at; `ledger.keep` at most.",
    )

    @model_validator(mode="after")
    def _is_sparing(self) -> Watch:
        if not timedelta(minutes=1) <= self.every <= timedelta(days=1):
            raise ValueError("every: from 1m to 1d: a look takes from the quota that deliveries need")
        if self.span < self.every:
            raise ValueError("for: at least as long as every, or instances end unseen between two looks")
        return self


ABOUT_CALLS = ("for_each", "lane", "on_dead", "priority", "delay", "not_before", "give_up_after", "max_attempts")
_SWITCHES = {"yes", "no", "on", "off", "true", "false"}
ACTIONS = ("create", "event", "status", "drop", "dead_letter")


class RuleSettings(_Settings):
    """One rule: which messages it is for, and the one thing it does with each."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$", description="Unique; a metric label and part of default ids."
    )
    from_: str | list[str] | None = Field(
        None, alias="from", description="The source or sources; left out: all of them."
    )
    when: str | None = Field(None, description="The condition, CEL; left out: always.")
    for_each: str | None = Field(
        None, description="A CEL list: the action is done once per element, as `item` with its `index`."
    )
    create: CreateAction | None = Field(None, description="Create an instance.")
    event: EventAction | None = Field(None, description="Send an event.")
    status: StatusAction | None = Field(None, description="Change an instance's status.")
    drop: str | None = Field(
        None, min_length=1, max_length=100, description="Drop the message; the text is the reason counted."
    )
    dead_letter: str | None = Field(
        None, min_length=1, description="Put the message to the dead letters; the text, a template, is the detail."
    )
    final: bool = Field(default=False, description="No later rule sees a message that this one matched.")
    lane: str | None = Field(
        None, description="The order key, CEL giving text, or `none`: no order; left out: workflow and instance id."
    )
    on_dead: Literal["go-on", "block"] = Field(
        "go-on",
        description="Whether a dead letter of this rule lets its lane go on, or blocks it until somebody releases or "
        "discards it (sqlite outbox).",
    )
    priority: Literal["high", "normal", "low"] = Field("normal", description="Which calls go first.")
    delay: Duration | None = Field(None, description="Make the call this long after the message's arrival.")
    not_before: str | None = Field(None, description="CEL giving a timestamp: make the call then.")
    give_up_after: Duration = Field(
        timedelta(hours=24), description="A call that could be tried for so long in vain is a dead letter."
    )
    max_attempts: int | None = Field(
        None, ge=1, description="A call tried so often is a dead letter; no bound by default."
    )
    watch: Watch | None = Field(
        None, description="With `create`: count its instances that ended in an error (sqlite outbox with a ledger)."
    )

    @model_validator(mode="after")
    def _one_action(self) -> RuleSettings:
        given = [name for name in ACTIONS if getattr(self, name) is not None]
        if len(given) != 1:
            what = "has none" if not given else f"has {' and '.join(given)}"
            raise ValueError(f"a rule does exactly one of {', '.join(ACTIONS)}; this one {what}")
        if self.delay is not None and self.not_before is not None:
            raise ValueError("delay and not_before say the same thing twice; keep one")
        idle = [name for name in ABOUT_CALLS if name in self.model_fields_set]
        if idle and (self.drop is not None or self.dead_letter is not None):
            raise ValueError(f"{' and '.join(idle)}: about calls, and {given[0]} makes none; leave it out")
        if self.lane == "none" and self.on_dead == "block":
            raise ValueError("on_dead: block has nothing to block with lane: none")
        if self.watch is not None and (self.create is None or "${" in self.create.workflow):
            raise ValueError("watch goes with create, and with a workflow that is named outright")
        if self.drop is not None and "${" in self.drop:
            raise ValueError("the reason of drop is counted by name, so it cannot hold ${…}")
        return self

    @field_validator("drop", mode="before")
    @classmethod
    def _reason_is_no_switch(cls, value: object) -> object:
        if isinstance(value, bool) or (isinstance(value, str) and value.lower() in _SWITCHES):
            raise ValueError(
                'drop takes the reason that is counted, such as drop: "test message"; to keep messages, leave it out'
            )
        return value

    @property
    def sources(self) -> tuple[str, ...]:
        """The names in ``from``; empty: all sources."""
        if self.from_ is None:
            return ()
        return (self.from_,) if isinstance(self.from_, str) else tuple(self.from_)
