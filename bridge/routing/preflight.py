"""What the API accepts as names, ids and sizes, checked before a call costs anything; patterns for the hot path."""

from __future__ import annotations

import re
from typing import Final

from bridge.errors import RenderError

LARGEST_BODY: Final = 1 << 20  # bytes of params or payload
_NAME = "[a-zA-Z0-9_][a-zA-Z0-9_-]"

# ``fullmatch`` of each, bound once: a call costs a fifth of a microsecond. The first also keeps out what the API has
# for itself: cf_ with a hash, and the words that stand where an id stands in its paths.
is_instance_id: Final = re.compile(
    rf"(?!(?:cf_[0-9a-f]{{64}}|batch|terminate|terminateAll)\Z){_NAME}{{0,99}}"
).fullmatch
is_workflow: Final = re.compile(_NAME + "{0,63}").fullmatch
is_event_type: Final = re.compile(_NAME + "{0,99}").fullmatch

_FORM = "letters, digits, _ and -, not beginning with -"
_SHOWN = 120


def bad_id(instance_id: str) -> RenderError:
    """Why an instance id cannot be used."""
    return RenderError(
        f"the instance id {instance_id[:_SHOWN]!r} is not 1 to 100 {_FORM}, or reserved; safe_id(x) makes any text one",
        "invalid_id",
    )


def bad_written_id(instance_id: str) -> RenderError:
    """The same of one that a rule makes, where braces are mostly a forgotten ``$``."""
    error = bad_id(instance_id)
    found = re.search(r"\{[^{}]+\}", instance_id)
    return error if found is None else RenderError(f"{error}; is ${found[0]} meant?", "invalid_id")


def bad_workflow(name: str) -> RenderError:
    """Why a Workflow's name cannot be used."""
    return RenderError(f"the Workflow's name {name[:_SHOWN]!r} is not 1 to 64 {_FORM}", "invalid_name")


def bad_event_type(name: str) -> RenderError:
    """Why an event type cannot be used."""
    return RenderError(f"the event type {name[:_SHOWN]!r} is not 1 to 100 {_FORM}", "invalid_name")


def too_large(size: int) -> RenderError:
    """Why a body cannot be sent."""
    return RenderError(f"the body has {size} bytes, the API takes {LARGEST_BODY}", "too_large")
