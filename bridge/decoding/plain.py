"""Bodies that are text, or nothing that the bridge should look into."""

from __future__ import annotations

from bridge.errors import Undecodable


def decode_text(body: bytes | None) -> str | None:
    """UTF-8, strictly. Raises Undecodable."""
    if body is None:
        return None
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        # from None: the original error carries the body
        raise Undecodable(f"not UTF-8: {error.reason} at byte {error.start}") from None


def decode_raw(body: bytes | None) -> bytes | None:
    """The bytes as they came."""
    return body
