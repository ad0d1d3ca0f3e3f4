"""Who may look and who may act: tokens, and the names under which the listener may be asked for."""

from __future__ import annotations

import hmac
import ipaddress
import re
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

import structlog

from bridge.admin.settings import SHORTEST_TOKEN
from bridge.secrecy import read_secret

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from bridge.admin.settings import AdminSettings

log = structlog.get_logger(__name__)

REREAD_SECONDS = 5.0  # how long a rotated token may still be the old one
LOOPBACK_NAMES = frozenset({"localhost"})
_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[^:\[\]/@\s]+)(?::[0-9]{1,5})?")


class Role(IntEnum):
    """What somebody may do."""

    READ = 1
    OPERATE = 2


class _Known(NamedTuple):
    role: Role
    token: bytes


class Tokens:
    """The tokens that are valid now. seconds: a monotonic clock."""

    def __init__(self, settings: AdminSettings, seconds: Callable[[], float]) -> None:
        self._settings = settings
        self._seconds = seconds
        self._known: tuple[_Known, ...] = ()
        self._read_at = -REREAD_SECONDS
        self._unreadable: set[Path] = set()

    def role(self, authorization: str) -> Role | None:
        """Of who sends this header; None: nobody that is known. Takes as long for every wrong token."""
        if not self._settings.has_tokens:
            return Role.OPERATE
        self._reread()
        scheme, _, given = authorization.partition(" ")
        if scheme.lower() != "bearer":
            return None
        said = given.strip().encode(errors="surrogateescape")
        found = [known.role for known in self._known if hmac.compare_digest(known.token, said)]
        return max(found, default=None)

    def _reread(self) -> None:
        now = self._seconds()
        if now - self._read_at >= REREAD_SECONDS:
            self._read_at = now
            self._known = tuple(self._current())

    def _current(self) -> Iterator[_Known]:
        settings = self._settings
        for role, secret, file in (
            (Role.READ, settings.read_token, settings.read_token_file),
            (Role.OPERATE, settings.operator_token, settings.operator_token_file),
        ):
            token = secret.get_secret_value() if secret is not None else self._of(file)
            if token:
                yield _Known(role, token.encode(errors="surrogateescape"))

    def _of(self, file: Path | None) -> str:
        """What is in the file; "", which nobody can say, where it holds no token."""
        if file is None:
            return ""
        try:
            token = read_secret(file)
            why = "" if len(token) >= SHORTEST_TOKEN else f"holds fewer than {SHORTEST_TOKEN} characters"
        except OSError as error:
            token, why = "", f"cannot be read: {error.strerror}"
        if why and file not in self._unreadable:
            log.warning("admin_token_unusable", file=str(file), reason=why)
        (self._unreadable.add if why else self._unreadable.discard)(file)
        return "" if why else token


def is_known_host(host: str, names: Collection[str]) -> bool:
    """Whether a ``Host`` header can be meant for this listener.

    An address is: a foreign page can make a name of its own lead to any address, and cannot change what the browser
    then sends as the name.
    """
    match = _HOST.fullmatch(host)
    if match is None:
        return False
    name = match["name"].strip("[]").rstrip(".").lower()
    if name in LOOPBACK_NAMES or name in {known.lower() for known in names}:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
