"""What the configuration says about one target: the account, the token, and how to reach the API."""

from __future__ import annotations

from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from bridge.addresses import is_loopback

API_URL = "https://api.cloudflare.com/client/v4"


class BudgetSettings(BaseModel):
    """How much of the token's quota the bridge uses. Where answers tell of no quota there is none, and no limit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reserve: float = Field(
        default=0.1,
        ge=0.01,
        le=0.9,
        description="Part of the quota that is left alone: for people and programs on the same token, and for what "
        "they have in flight unseen. Also how bold the bridge is: near the end a tenth of it is in flight at most",
    )
    share: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="Part of the rest that is for this process: 0.2 for each of five bridges on one token. With 1 "
        "they find out by themselves, by how fast the quota falls",
    )
    creations_per_second: int = Field(
        default=300, ge=1, description="Instances that the account may create, restarts included; the API's own limit"
    )
    creations_per_second_per_workflow: int = Field(
        default=100, ge=1, description="The same for each workflow. A refusal by the API slows it down for a minute"
    )


class TargetSettings(BaseModel):
    """One account of the Workflows API, or a server that speaks like it (the gateway, the emulator)."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    account_id: str = Field(
        pattern=r"^[A-Za-z0-9_-]{1,64}$",
        description="The account. Cloudflare's are 32 hexadecimal digits; a gateway may have a name of its own",
    )
    api_token_file: Path | None = Field(
        default=None, description="File with the API token; read again when the API refuses the token"
    )
    api_token: SecretStr | None = Field(
        default=None, description="The API token itself; for the environment, not for files that people share"
    )
    base_url: str = Field(default=API_URL, description="Where the API is; https only, except on loopback")
    ca_file: Path | None = Field(
        default=None, description="PEM file of certificate authorities to trust besides the usual ones"
    )
    proxy: SecretStr | None = Field(
        default=None, description="URL of an HTTP proxy; the proxy variables of the environment are not read"
    )
    timeout_seconds: float = Field(
        default=30.0, gt=0, le=600, description="How long one request may take, from connecting to the last byte"
    )
    concurrency: int = Field(default=8, ge=1, le=1024, description="Requests in flight at once")
    budget: BudgetSettings = Field(
        default_factory=BudgetSettings, description="How much of the token's quota of requests is used"
    )
    http: Literal["fast", "httpx"] = Field(
        default="fast", description="HTTP client; httpx costs ten times the CPU and is there for when fast will not do"
    )

    @field_validator("base_url")
    @classmethod
    def _encrypted(cls, value: str) -> str:
        parts = _parts(value)
        if parts.query or parts.fragment or parts.username is not None or not parts.hostname:
            raise ValueError("must be a plain URL: scheme, host, optional port and path")
        if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname)):
            raise ValueError("must begin with https:// (http:// is for loopback only)")
        return value.rstrip("/")

    @field_validator("proxy")
    @classmethod
    def _proxy_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parts = _parts(value.get_secret_value())
            if parts.scheme not in {"http", "https"} or not parts.hostname:
                raise ValueError("must be a URL that begins with http:// or https://")
        return value

    @model_validator(mode="after")
    def _one_token(self) -> TargetSettings:
        if (self.api_token is None) == (self.api_token_file is None):
            raise ValueError("give api_token_file, or api_token (by the environment); exactly one of them")
        return self


def _parts(url: str) -> SplitResult:
    """Raises ValueError, which does not show the URL; ``urlsplit`` leaves some of that to whoever sends something."""
    if not url.isprintable() or " " in url:
        raise ValueError("must be a URL, without white space or line breaks in it or around it")
    parts = urlsplit(url)
    _ = parts.port  # raises what is wrong with it
    return parts
