"""Which calls a window has to give back to the outbox so that others find room; pure, gives nothing back itself.

A window is full of what is first in its queue. Where that may not be sent and what comes after it may, most of it has
to go: what is kept of it is tried now and then, as its pause wants it. What has become due comes in whether there is
room or not, or a queue would hold up all others; so the window may have too much of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from bridge.dispatch.window import Heads, Kind, Window

WINDOW_ENTRIES = 4_000  # of one queue: room for many full batches in flight and as many waiting
CHUNK_ENTRIES = 1_000  # read at once
HELD_BACK_ENTRIES = WINDOW_ENTRIES // 2  # that wait behind a retry or a parked event; more go back
KEPT_ENTRIES = CHUNK_ENTRIES  # of what may not be sent while others may


def has_room(window: Window) -> bool:
    """Whether it may be given as many as are read at once."""
    return window.size <= WINDOW_ENTRIES - CHUNK_ENTRIES


def stopped(window: Window, stops: Callable[[Kind], bool]) -> dict[Kind, Heads]:
    """What stands here and may not be sent."""
    return {kind: heads for kind, heads in window.groups() if heads and stops(kind)}


def lanes(window: Window, stopped: Collection[Heads], *, wanted: bool) -> list[str]:
    """The lanes that have to go, by their keys; none: all may stay.

    stopped: what may not be sent. wanted: there are others that want to come in.
    """
    too_many = window.size > WINDOW_ENTRIES + CHUNK_ENTRIES
    if stopped and (too_many or (wanted and not has_room(window))):
        most = max(KEPT_ENTRIES // len(stopped), 1)
        going = [key for heads in stopped for key in _beyond(window, heads, most)]
        if going:
            return going
    return list(_newest(window, window.size - WINDOW_ENTRIES)) if too_many else []


def _beyond(window: Window, heads: Heads, most: int) -> Iterator[str]:
    """Lanes for which so many entries leave no room; a lane that is too long by itself comes back one by one."""
    kept = 0
    for head in heads:
        weight = window.weight(head)
        if kept + weight > most:
            yield head.lane_key
        else:
            kept += weight


def _newest(window: Window, count: int) -> Iterator[str]:
    """Lanes of so many entries that are not in flight: of the lowest priority first, and those that came last."""
    standing = window.standing()
    lanes_here = ((lane.here(standing), key) for key, lane in window.lanes())
    found = [(here[0].priority, here[0].seq, len(here), key) for here, key in lanes_here if here]
    for _, _, many, key in sorted(found, reverse=True):
        if count <= 0:
            return
        yield key
        count -= many
