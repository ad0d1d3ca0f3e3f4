"""What goes out: a call of the Workflows API, rendered to the bytes that will be sent."""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

import orjson


class Operation(StrEnum):
    """What a call does; also the metric label."""

    CREATE = "create"
    EVENT = "event"
    STATUS = "status"


class IfExists(StrEnum):
    """What a create does when its instance id is already used."""

    SKIP = "skip"
    FAIL = "fail"
    RESTART = "restart"
    EVENT = "event"
    NEW = "new"


class IfMissing(StrEnum):
    """What an event or a status change does when its instance does not exist."""

    WAIT = "wait"
    CREATE = "create"
    DROP = "drop"
    DEAD_LETTER = "dead-letter"


class Policy(NamedTuple):
    """How a rule wants its calls treated; one constant per rule, stored with each of its calls."""

    rule: str
    if_exists: IfExists = IfExists.SKIP
    if_missing: IfMissing = IfMissing.WAIT
    wait_seconds: float = 900.0  # how long IfMissing.WAIT parks an event before it is a dead letter
    resend_unknown: bool = True  # an event whose outcome is unknown is sent again, else dead-lettered
    give_up_after_seconds: float = 86_400.0
    max_attempts: int = 0  # 0: no bound
    config: str = ""  # digest of the configuration whose rule it is; "" where nobody needs to know
    blocks_lane: bool = False  # a dead letter holds its lane until somebody has seen to it
    redriven: int = 0  # how often an operator has sent the call again after it had died

    def encode(self) -> str:
        """The text that is stored; only what differs from the defaults, after the rule's name."""
        changed = {
            name: value
            for name, value in self._asdict().items()
            if name == "rule" or value != self._field_defaults[name]
        }
        return orjson.dumps(changed).decode()

    @staticmethod
    @lru_cache(maxsize=4096)
    def decode(text: str) -> Policy:
        """The inverse of ``encode``; unknown names (a newer version's) are ignored."""
        stored = orjson.loads(text)
        known = {name: value for name, value in stored.items() if name in Policy._fields}
        if "if_exists" in known:
            known["if_exists"] = IfExists(known["if_exists"])
        if "if_missing" in known:
            known["if_missing"] = IfMissing(known["if_missing"])
        return Policy(**known)


@lru_cache(maxsize=4096)
def without_config(policy: str) -> str:
    """The same encoded policy, whichever configuration it is from."""
    return Policy.decode(policy)._replace(config="").encode()


HIGH, NORMAL, LOW = 0, 1, 2

_BETWEEN = b"\0"  # no JSON holds it: inside of a string it is escaped


def two_bodies(first: bytes, second: bytes) -> bytes:
    """The body of a call that may take a second request of its own: the one that is sent first stands first."""
    return first + _BETWEEN + second


def first_body(body: bytes) -> bytes:
    """What the call itself sends."""
    return body.partition(_BETWEEN)[0] if _BETWEEN in body else body


def second_body(body: bytes) -> bytes:
    """What is sent where the instance turns out to exist (by a create), or not to exist (by an event); b"": nothing."""
    return body.partition(_BETWEEN)[2]


class Call(NamedTuple):
    """One call, rendered by a rule. A batch is a way to send creates, never a stored thing.

    A named tuple because one is made per call on the hot path.
    """

    operation: Operation
    target: str  # configured name of the account and token that the call belongs to
    workflow: str
    instance_id: str
    event_type: str  # "" unless ``operation`` is EVENT, or a create sends an event to an instance that exists
    # JSON as it is sent. CREATE: one element of a batch, which is also the body of a single create. With a policy of
    # IfExists.EVENT the payload of that event follows, with IfMissing.CREATE that create: see ``two_bodies``.
    body: bytes
    policy: str  # an encoded Policy; the same object for all calls of a rule
    # Order key within the target; "" is the default lane: workflow + instance id. One that begins with "\x01" has this
    # call alone, so that it waits for no other.
    lane: str = ""
    priority: int = NORMAL
    not_before_ms: int = 0  # Unix epoch, milliseconds; 0: at once
