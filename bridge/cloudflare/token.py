"""The API token: where it comes from, and how it stays out of every text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import structlog

from bridge.errors import ConfigError, Problem
from bridge.secrecy import read_secret

if TYPE_CHECKING:
    from bridge.cloudflare.settings import TargetSettings

log = structlog.get_logger(__name__)

MAX_TOKEN_BYTES = 8192  # more is not a token, but the wrong file
_TOKEN = re.compile(r"[\x21-\x7e]+")  # what a header value may carry


class Token:
    """One bearer token. Its text is only ever in ``header``."""

    __slots__ = ("_settings", "header")

    def __init__(self, settings: TargetSettings) -> None:
        """Raises ConfigError when the token cannot be read or cannot be one."""
        self._settings = settings
        self.header = _header(settings)

    def reread(self) -> bool:
        """Read the file again; True when the token is another one now. A file that cannot be read changes nothing."""
        try:
            header = _header(self._settings)
        except ConfigError as error:
            log.warning("token_unreadable", problem=str(error))
            return False
        changed = header != self.header
        self.header = header
        return changed

    def __repr__(self) -> str:
        return "Token(…)"


def _header(settings: TargetSettings) -> str:
    if settings.api_token is not None:
        return _checked(settings.api_token.get_secret_value(), "api_token")
    assert settings.api_token_file is not None  # noqa: S101  the settings' own validator has seen to it
    try:
        text = read_secret(settings.api_token_file)
    except OSError as error:
        raise ConfigError([Problem("api_token_file", f"cannot be read: {error.strerror}")]) from None
    return _checked(text, "api_token_file")


def _checked(text: str, path: str) -> str:
    token = text.strip()
    if not token:
        raise ConfigError([Problem(path, "is empty; it must hold an API token")])
    if len(token) > MAX_TOKEN_BYTES or not _TOKEN.fullmatch(token):
        raise ConfigError([Problem(path, "does not hold an API token: one word of printable ASCII characters")])
    return f"Bearer {token}"
