"""Where the bridge answers: about its health, and to its operators."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from bridge.addresses import is_loopback


class HealthSettings(BaseModel):
    """The listener for probes and metrics. It shows no message, no secret and changes nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field(
        default="0.0.0.0",  # noqa: S104  probes come from the node, not from this machine # nosec B104
        min_length=1,
        description="Address to listen on; `127.0.0.1` where nobody else may ask.",
    )
    port: int = Field(default=8080, ge=0, le=65_535, description="Port to listen on; 0 takes a free one.")
    stuck_seconds: float = Field(
        default=30.0,
        ge=1,
        le=3600,
        description="How long the event loop may be busy without a pause before `/livez` fails. An outage of a broker "
        "or of the API never makes it fail.",
    )


SHORTEST_TOKEN = 16  # characters; a shorter one could be guessed


class AdminSettings(BaseModel):
    """The listener for operators: an API and a web page that show messages and can act.

    On loopback without tokens whoever is on this machine may do everything. With tokens everybody needs one, there too.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    enabled: bool = Field(default=True, description="`false`: nobody listens.")
    host: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="Address to listen on. Anything but loopback needs a token; the listener speaks plain HTTP, so let "
        "`kubectl port-forward`, a VPN or a proxy with TLS carry it.",
    )
    port: int = Field(
        default=8081,
        ge=0,
        le=65_535,
        description="Port to listen on; 0 takes a free one. Where it is taken the bridge works without this listener.",
    )
    hosts: list[str] = Field(
        default_factory=list,
        description="Names under which it is asked for, besides loopback's and addresses: a request with another "
        "`Host` is refused, because a foreign page could have made a name of its own lead here.",
    )
    read_token_file: Path | None = Field(
        default=None, description="File with the token of who may look; read again when it changes."
    )
    read_token: SecretStr | None = Field(
        default=None, min_length=SHORTEST_TOKEN, description="That token itself, by the environment."
    )
    operator_token_file: Path | None = Field(
        default=None, description="File with the token of who may look and act; read again when it changes."
    )
    operator_token: SecretStr | None = Field(
        default=None, min_length=SHORTEST_TOKEN, description="That token itself, by the environment."
    )

    @model_validator(mode="after")
    def _guarded(self) -> AdminSettings:
        for name in ("read_token", "operator_token"):
            if getattr(self, name) is not None and getattr(self, f"{name}_file") is not None:
                raise ValueError(f"give {name} or {name}_file, not both")
        if self.enabled and not is_loopback(self.host) and not self.has_tokens:
            raise ValueError(
                "an address that others reach needs a token: give operator_token_file, read_token_file, or both; "
                "or listen on 127.0.0.1"
            )
        return self

    @property
    def has_tokens(self) -> bool:
        """Whether somebody has to show who they are."""
        return any((self.read_token, self.read_token_file, self.operator_token, self.operator_token_file))
