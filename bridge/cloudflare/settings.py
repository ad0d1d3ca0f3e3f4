"""What the configuration says about one target: the account, the token, and how to reach the API."""

from __future__ import annotations

from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from bridge.addresses import is_loopback

API_URL = "https://api.cloudflare.com/client/v4"


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
    http: Literal["fast", "httpx"] = Field(
        default="fast", description="HTTP client; httpx costs ten times the CPU and is there for when fast will not do"
    )

    @field_validator("base_url")
    @classmethod
    def _encrypted(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.query or parts.fragment or parts.username is not None or not parts.hostname:
            raise ValueError("must be a plain URL: scheme, host, optional port and path")
        if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname)):
            raise ValueError("must begin with https:// (http:// is for loopback only)")
        return value.rstrip("/")

    @field_validator("proxy")
    @classmethod
    def _proxy_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parts = urlsplit(value.get_secret_value())
            if parts.scheme not in {"http", "https"} or not parts.hostname:
                raise ValueError("must be a URL that begins with http:// or https://")
        return value

    @model_validator(mode="after")
    def _one_token(self) -> TargetSettings:
        if (self.api_token is None) == (self.api_token_file is None):
            raise ValueError("give api_token_file, or api_token (by the environment); exactly one of them")
        return self
