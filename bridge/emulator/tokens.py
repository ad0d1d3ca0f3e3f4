"""Who may call: tokens by name, each with a quota of its own, taken away and given back from outside."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from bridge.emulator.answers import Refusal, Refused
from bridge.emulator.quota import Quota

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridge.emulator.quota import QuotaSettings

MAIN = "main"  # the name of the first token


class TokenChange(BaseModel):
    """What is to become of a token; what is left out stays."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: str = Field(pattern=r"^[^!].{0,99}$")
    token: str | None = Field(default=None, min_length=1)
    revoked: bool | None = None


class Token:
    """One token of the account."""

    def __init__(self, name: str, secret: str, quota: QuotaSettings | None) -> None:
        self.name = name
        self.secret = secret.encode()
        self.quota = None if quota is None else Quota(quota)
        self.revoked = False


class Tokens:
    """All tokens. The API counts requests per user or token; here each has its own count."""

    def __init__(self, secrets: Mapping[str, str], quota: QuotaSettings | None) -> None:
        self._quota = quota
        self._by_name = {name: Token(name, secret, quota) for name, secret in secrets.items()}

    def caller(self, authorization: bytes) -> str:
        """The name of the token that a request carries; "!" and the name of a Refusal when it carries none."""
        scheme, _, secret = authorization.partition(b" ")
        if scheme.lower() != b"bearer" or not secret:
            return f"!{Refusal.HEADER.name}"
        for token in self._by_name.values():
            if hmac.compare_digest(secret, token.secret):
                return token.name
        return f"!{Refusal.TOKEN.name}"

    def named(self, caller: str) -> Token:
        """The token that ``caller`` gave the name of, revoked or not. Raises Refused."""
        if caller.startswith("!"):
            raise Refused(Refusal[caller[1:]])
        return self._by_name[caller]

    def change(self, change: TokenChange) -> None:
        """Add a token, give one another secret, take it away or give it back. Raises Refused: new, without a secret."""
        token = self._by_name.get(change.name)
        if token is None:
            if change.token is None:
                raise Refused(Refusal.BODY)
            token = self._by_name[change.name] = Token(change.name, change.token, self._quota)
        if change.token is not None:
            token.secret = change.token.encode()
        if change.revoked is not None:
            token.revoked = change.revoked

    def state(self, now_ms: int) -> dict[str, dict[str, Any]]:
        """By name: whether it is revoked, and what is left of its quota; never the token itself."""
        return {
            token.name: {
                "revoked": token.revoked,
                "blocks": 0 if token.quota is None else token.quota.blocks,
                "quota": None if token.quota is None else token.quota.state(now_ms),
            }
            for token in self._by_name.values()
        }
