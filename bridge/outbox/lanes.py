"""What a lane holds back: pure rules over the lowest ``seq`` of each kind of row that a lane has in ``later``.

    RETRY          settled so and not yet delivered or dead: nothing after it in its lane may go
    PARK           the same, except that a create may go: it may be the one that the parked event waits for
    READY          was held back and may go now: ``due`` gives it before ``pending`` gives anything after it
    BEHIND_CREATE  a create that is held back
    BEHIND_OTHER   an event or a status change that is held back; behind a parked one it holds back no create

Five lookups decide about an entry, however deep its lane is.
"""

from __future__ import annotations

from typing import NamedTuple

RETRY, PARK, READY, BEHIND_CREATE, BEHIND_OTHER = 1, 2, 3, 4, 5
NONE = 1 << 63  # above every seq

# How many of a lane are released at once: enough that a lane never waits for its outbox, few enough that the
# transaction that frees a lane of a million entries stays short.
RELEASED_AT_ONCE = 16


class Heads(NamedTuple):
    """The lowest seq of each kind in one lane; NONE where there is none."""

    retry: int = NONE
    park: int = NONE
    ready: int = NONE
    behind_create: int = NONE
    behind_other: int = NONE

    def holding_back(self, seq: int, *, create: bool) -> Heads:
        """These heads after ``seq`` was held back, too."""
        if create:
            return self._replace(behind_create=min(self.behind_create, seq))
        return self._replace(behind_other=min(self.behind_other, seq))


FREE = Heads()


def behind(*, create: bool) -> int:
    """The kind of an entry that is held back."""
    return BEHIND_CREATE if create else BEHIND_OTHER


def blocked(heads: Heads, seq: int, *, create: bool) -> bool:
    """Whether an entry has to wait for one before it in its lane."""
    if not create:
        return min(heads) < seq
    if min(heads.retry, heads.ready, heads.behind_create) < seq:
        return True
    return heads.behind_other < seq and heads.behind_other < heads.park


def bound(heads: Heads, *, create: bool) -> int:
    """What is held back of this sort may go when its seq is below this; 0 when none of the sort is held back."""
    if create:
        queued = heads.behind_other if heads.behind_other < heads.park else NONE
        limit, first = min(heads.retry, queued), heads.behind_create
    else:
        limit, first = min(heads.retry, heads.park, heads.behind_create), heads.behind_other
    return limit if first < limit else 0
