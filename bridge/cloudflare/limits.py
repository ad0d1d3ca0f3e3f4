"""What the API accepts as names, ids and sizes; pure checks that give a reason, or None where all is well.

Names and ids: https://developers.cloudflare.com/workflows/build/workers-api/ and the API reference.
Sizes: https://developers.cloudflare.com/workflows/reference/limits/.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_WORKFLOW_NAME = 64
MAX_ID = 100
MAX_EVENT_TYPE = 100
MAX_PARAMS_BYTES = 1 << 20  # params of a create, payload of an event: each
MAX_BATCH = 100  # instances that one request may create
MAX_BATCH_BYTES = 1 << 20  # https://developers.cloudflare.com/workflows/build/workers-api/#createbatch

_NAME = "[a-zA-Z0-9_][a-zA-Z0-9_-]*"
_RESERVED = "cf_[0-9a-f]{64}|batch|terminate|terminateAll"
NAME = re.compile(_NAME)
RESERVED_ID = re.compile(_RESERVED)
_IDS = re.compile(rf"(?:(?!(?:{_RESERVED})\n)[a-zA-Z0-9_][a-zA-Z0-9_-]{{0,{MAX_ID - 1}}}\n)*")

_FORM = "letters, digits, '_' and '-', not beginning with '-'"


def check_workflow_name(name: str) -> str | None:
    """1 to 64 characters."""
    return _check_name(name, MAX_WORKFLOW_NAME)


def check_event_type(name: str) -> str | None:
    """1 to 100 characters."""
    return _check_name(name, MAX_EVENT_TYPE)


def check_instance_id(name: str) -> str | None:
    """1 to 100 characters, and none of the ids that the API keeps for itself."""
    return _check_name(name, MAX_ID) or ("is reserved by the API" if RESERVED_ID.fullmatch(name) else None)


def check_body(body: bytes) -> str | None:
    """The body of a create or an event: at most 1 MiB.

    The API counts the params alone; what else a create carries is some hundred bytes, so this is the safe side of it.
    """
    if len(body) > MAX_PARAMS_BYTES:
        return f"is {len(body)} bytes long, the API takes {MAX_PARAMS_BYTES}"
    return None


def bad_ids(ids: Sequence[str]) -> Sequence[int]:
    """The places of the ids that ``check_instance_id`` refuses.

    One match over all of them, which is what the hot path needs; one by one only if that fails.
    """
    text = "\n".join(ids) + "\n"
    if text.count("\n") == len(ids) and _IDS.fullmatch(text):
        return ()
    return [place for place, name in enumerate(ids) if check_instance_id(name) is not None]


def _check_name(name: str, longest: int) -> str | None:
    if not name:
        return "is empty"
    if len(name) > longest:
        return f"is {len(name)} characters long, the API takes {longest}"
    return None if NAME.fullmatch(name) else f"must be {_FORM}"
