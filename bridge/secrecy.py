"""What must not be shown: the values that are known, and the one way in which a file with a secret is read.

Text that is foreign (an answer of the API, an error of a broker's client) goes through ``redact`` where it comes in,
log lines where they go out: it does not matter then how a secret got into them.
"""

from __future__ import annotations

import errno
import json
from base64 import b64encode
from collections import deque
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

MASK = "[secret]"
SHORTEST_SECRET = 4  # characters; taking out shorter ones would make every line unreadable
MAX_SECRET_BYTES = 65_536  # more is not a secret, but the wrong file
VALUES_PER_FILE = 8  # of a file that is rotated for ever, the newest so many stay masked


class Redactor:
    """Takes known secret values out of a text, in the spellings they may have there."""

    def __init__(self) -> None:
        self._given: set[str] = set()
        self._read: dict[Path, deque[str]] = {}
        self._spellings: list[str] = []

    def add(self, secrets: Iterable[str]) -> None:
        """From now on these are masked too, and what is secret within them: the password of an address."""
        self._given.update(secrets)
        self._spell()

    def add_read(self, file: Path, secret: str) -> None:
        """From now on what a file holds is masked too; what it held before stays so, VALUES_PER_FILE long."""
        values = self._read.setdefault(file, deque(maxlen=VALUES_PER_FILE))
        if secret not in values:
            values.append(secret)
            self._spell()

    def clear(self) -> None:
        """Forget every secret (between two tests)."""
        self._given.clear()
        self._read.clear()
        self._spellings = []

    def __call__(self, text: str) -> str:
        """The text without any of them."""
        for spelling in self._spellings:
            if spelling in text:
                text = text.replace(spelling, MASK)
        return text

    def _spell(self) -> None:
        secrets = self._given.union(*self._read.values())
        known: set[str] = set()
        for secret in set().union(*map(parts, secrets)):
            if len(secret) >= SHORTEST_SECRET:
                known.update(_spellings(secret))
        # The longest first: a secret may contain another one.
        self._spellings = sorted(known, key=len, reverse=True)


def parts(secret: str) -> set[str]:
    """A secret; its password where it is an address, or a user's name and password; these two as HTTP sends them."""
    if "://" in secret:
        password = password_of(secret)
        return {secret, password, unquote(password)}
    user, _, password = secret.partition(":")
    sent = {b64encode(secret.encode(errors="surrogateescape")).decode()} if user and password else set()
    return {secret, password, unquote(password)} | sent


def password_of(address: str) -> str:
    """The password in an address as it stands there; "" where there is none."""
    try:
        return urlsplit(address).password or ""
    except ValueError:  # not an address at all
        return ""


def read_secret(file: Path) -> str:
    """What a file holds, without white space around it; masked wherever it turns up from now on.

    Raises OSError where it cannot be read, is not UTF-8 text, or is larger than MAX_SECRET_BYTES.
    """
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_SECRET_BYTES + 1)
    except ValueError:  # a null character in its name
        raise OSError(errno.EINVAL, "is no name of a file", str(file)) from None
    if len(content) > MAX_SECRET_BYTES:
        raise OSError(errno.EFBIG, f"is larger than {MAX_SECRET_BYTES} bytes", str(file))
    try:
        secret = content.decode().strip()
    except UnicodeDecodeError:
        raise OSError(errno.EILSEQ, "is not UTF-8 text", str(file)) from None
    redact.add_read(file, secret)
    return secret


def _spellings(secret: str) -> set[str]:
    """As it is, and as JSON, a repr or a URL writes it; also such a text inside another one."""
    once = _escapes(secret) | {quote(secret, errors="replace"), quote(secret, safe="", errors="replace")}
    once.add(quote_plus(secret, errors="replace"))
    return once.union(*map(_escapes, once))


def _escapes(text: str) -> set[str]:
    return {
        text,
        json.dumps(text)[1:-1],
        json.dumps(text, ensure_ascii=False)[1:-1],
        repr(text)[1:-1],
        repr(text.encode(errors="surrogateescape"))[2:-1],
    }


redact = Redactor()
"""The secrets of this process; whatever shows text to people goes through it."""
