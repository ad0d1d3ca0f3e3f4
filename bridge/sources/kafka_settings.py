"""The settings of a Kafka source; no Kafka package is needed to read them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, field_validator, model_validator

Address = Annotated[str, StringConstraints(pattern=r"^[^\s,]+:\d{1,5}$")]
Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"]


class KafkaTls(BaseModel):
    """Encrypt the connection and check the broker's name; ``tls: {}`` trusts the system's authorities."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    ca_file: Path | None = Field(
        default=None, description="PEM file of the authorities to trust; the system's by default."
    )
    cert_file: Path | None = Field(
        default=None, description="PEM file of our certificate and its chain, for mutual TLS."
    )
    key_file: Path | None = Field(
        default=None, description="PEM file of its private key; not needed if it is in `cert_file`."
    )

    @model_validator(mode="after")
    def _key_belongs_to_a_certificate(self) -> Self:
        if self.key_file and not self.cert_file:
            raise ValueError("`key_file` needs `cert_file`")
        return self


class KafkaSasl(BaseModel):
    """Who we are. Files are read at each connect, so that a rotated secret is taken up."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    mechanism: Mechanism = Field(description="How to authenticate; the broker's listener must have it enabled.")
    username: str | None = Field(default=None, description="User name, for PLAIN and SCRAM.")
    password: SecretStr | None = Field(
        default=None, description="Password; from the environment only, prefer the file."
    )
    password_file: Path | None = Field(
        default=None, description="File with the password; white space around it is ignored."
    )
    token_file: Path | None = Field(
        default=None, description="File with the OAUTHBEARER token, read again for each connection."
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.mechanism == "OAUTHBEARER":
            if self.token_file is None:
                raise ValueError("OAUTHBEARER needs `token_file`")
        elif self.username is None or (self.password is None) == (self.password_file is None):
            raise ValueError(f"{self.mechanism} needs `username` and one of `password_file` and `password`")
        return self


class KafkaConnection(BaseModel):
    """What every client of a cluster needs."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    bootstrap_servers: list[Address] = Field(
        min_length=1, description="`host:port` of brokers to begin with; the others are learned from them."
    )
    client_id: str = Field(
        default="workflow-bridge", description="The name of this client in the broker's logs and quotas."
    )
    tls: KafkaTls | None = Field(default=None, description="TLS; left out, the connection is not encrypted.")
    sasl: KafkaSasl | None = Field(
        default=None, description="Authentication; left out, none (or by the TLS certificate)."
    )
    request_timeout_seconds: float = Field(
        default=20.0,
        gt=0,
        le=600,
        description="Seconds to wait for the answer to one request before the connection is closed.",
    )


class KafkaAssign(BaseModel):
    """Fixed partitions: of ``of`` replicas, number ``index`` takes the partitions ``p`` with ``p mod of = index``."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    index: int = Field(ge=0, description="This replica's number, from 0 (a StatefulSet's ordinal).")
    of: int = Field(ge=1, description="How many replicas share the partitions; the same in each of them.")

    @model_validator(mode="after")
    def _index_is_below_of(self) -> Self:
        if self.index >= self.of:
            raise ValueError("`index` counts from 0 and must be below `of`")
        return self


class KafkaFetch(BaseModel):
    """How much is read at once; bounds the memory that unread messages take."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    max_records: int = Field(default=2000, ge=1, le=100_000, description="Most messages of one batch of intake.")
    min_bytes: int = Field(default=1, ge=1, description="The broker answers a fetch when it has so many bytes …")
    max_wait_ms: int = Field(default=500, ge=1, le=60_000, description="… or after so many milliseconds.")
    max_bytes: int = Field(
        default=16 * 1024 * 1024,
        ge=1024,
        description="Most bytes of one answer of one broker; a larger message still comes.",
    )
    max_partition_bytes: int = Field(
        default=1024 * 1024, ge=1024, description="Most bytes of one partition in one answer."
    )
    check_crcs: bool = Field(default=True, description="Check the checksum of each record batch; costs a little time.")


class KafkaSettings(KafkaConnection):
    """A consumer of Kafka topics."""

    topics: list[str] = Field(default_factory=list, description="Names of the topics to read.")
    topics_pattern: str | None = Field(
        default=None,
        description="Instead of `topics`: a regular expression for the whole name; new topics that match are added.",
    )
    group_id: str = Field(min_length=1, description="Consumer group: its members share the partitions and the offsets.")
    group_instance_id: str | None = Field(
        default=None, min_length=1, description="Static membership: a restart under the same name causes no rebalance."
    )
    assign: KafkaAssign | None = Field(
        default=None,
        description="Fixed partitions instead of group rebalancing; offsets are still committed to the group.",
    )
    start_from: Literal["earliest", "latest"] = Field(
        default="earliest", description="Where to begin in a partition that neither the group nor the outbox knows."
    )
    read_committed: bool = Field(
        default=True, description="Leave out the messages of transactions that were aborted or are open."
    )
    fetch: KafkaFetch = Field(default_factory=KafkaFetch, description="Sizes of fetches and batches.")
    session_timeout_seconds: float = Field(
        default=10.0,
        ge=1,
        le=1800,
        description="Without heartbeats for so long the group takes this member's partitions away.",
    )
    rebalance_timeout_seconds: float = Field(
        default=60.0,
        ge=1,
        le=1800,
        description="How long the group waits for calls in flight when partitions are taken away.",
    )
    metadata_refresh_seconds: float = Field(
        default=30.0, gt=0, le=3600, description="How often to look for new partitions and topics."
    )
    lost_after_seconds: float = Field(
        default=30.0,
        gt=0,
        le=3600,
        description="A broker that is silent for so long is given up, and the source opened anew.",
    )

    @field_validator("topics_pattern")
    @classmethod
    def _is_a_regular_expression(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"not a regular expression: {error}") from error
        return pattern

    @model_validator(mode="after")
    def _names_its_topics(self) -> Self:
        if bool(self.topics) == bool(self.topics_pattern):
            raise ValueError("give one of `topics` and `topics_pattern`")
        if self.assign and self.group_instance_id:
            raise ValueError("`assign` fixes the partitions by itself; `group_instance_id` has no meaning beside it")
        return self

    @property
    def pattern(self) -> str | None:
        """``topics_pattern``, matching whole names only (the client would match from the start)."""
        return f"(?:{self.topics_pattern})\\Z" if self.topics_pattern else None
