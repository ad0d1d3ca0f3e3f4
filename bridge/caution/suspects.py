"""Which messages may have killed the process, and how they are taken when the broker gives them again. No file here.

A process that dies at its work leaves behind what it was at work on. After one death nothing changes; when a second
process has died on some of the same messages, those are taken one by one; and what a process then dies on alone is a
killer: it is not looked into again.
"""

from __future__ import annotations

from hashlib import blake2b
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from bridge.message import Position
from bridge.outbox.bindable import plain

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from bridge.message import Message

DEATHS = 2  # on the same messages: from then on they are taken one by one
MOST_NAMES = 10_000  # kept of messages without positions: more than a channel of RabbitMQ usually holds


class Part(NamedTuple):
    """Messages that are decoded, routed and stored at once: a batch, or a piece of one."""

    messages: Sequence[Message]
    positions: Mapping[str, Position]  # as of a Batch
    alone: bool = False  # one message, because it may be a killer
    kills: bool = False  # one message that is one: it must not be looked into


class Work(NamedTuple):
    """What a process was at work on when it died."""

    positions: Mapping[str, int]  # "topic/partition" -> the last offset, that it had reached
    names: Collection[str]  # of messages without positions
    alone: bool


class Suspects(NamedTuple):
    """Messages that some process died on, and that have not got through since."""

    positions: Mapping[str, int]  # "topic/partition" -> every message up to this offset is one
    names: frozenset[str]
    deaths: int  # of processes, on some of the same messages
    killers: tuple[str, ...] = ()  # names of messages that a process died on alone


NOBODY = Suspects({}, frozenset(), 0)


def name_of(message: Message) -> str:
    """By which a message is recognised when it comes again: its id, else a hash of what it holds."""
    if message.has_identity:
        return plain(message.id)
    content = repr((message.channel, message.key, message.headers)).encode("utf-8", "backslashreplace")
    return "#" + blake2b(content + b"\0" + (message.body or b""), digest_size=16).hexdigest()


def work_on(part: Part) -> Work:
    """What is written down before it begins. Cheap: it is done for every batch."""
    if part.alone:
        return Work({}, [name_of(part.messages[0])], alone=True)
    if part.positions:
        return Work({partition: position[0] for partition, position in part.positions.items()}, (), alone=False)
    # By its place: an attribute costs more, and this is done for every message.
    names = [message[1] if message[9] and message[1].isascii() else name_of(message) for message in part.messages]
    return Work({}, names, alone=False)


def after(suspects: Suspects, work: Work | None) -> Suspects:
    """Whom the next process suspects. work: what this one died on; None: on nothing, or it ended as it should."""
    if work is None:
        return suspects
    if work.alone:
        return suspects._replace(killers=(*suspects.killers, *work.names))
    again = not suspects.names.isdisjoint(work.names) or not suspects.positions.keys().isdisjoint(work.positions)
    known = suspects.positions.items()
    return Suspects(
        dict(work.positions) | {name: max(offset, work.positions.get(name, 0)) for name, offset in known},
        frozenset([*work.names, *suspects.names][:MOST_NAMES]),
        suspects.deaths + 1 if again else max(suspects.deaths, 1),
        suspects.killers,
    )


def parts(suspects: Suspects, messages: Sequence[Message], positions: Mapping[str, Position]) -> Iterator[Part]:
    """The batch in pieces, in its order: suspects alone, what lies between them together."""
    if suspects.deaths < DEATHS and not suspects.killers:
        yield Part(messages, positions)
        return
    for alone, run in groupby(messages, lambda message: _is_suspect(suspects, message, positions)):
        some = list(run)
        for piece in [[message] for message in some] if alone else [some]:
            kills = alone and name_of(piece[0]) in suspects.killers
            yield Part(piece, _positions(piece) if positions else {}, alone=alone, kills=kills)


def piece_of(part: Part, first: int, end: int) -> Part:
    """The messages from one place to before another, with the positions of the last of them in each partition."""
    if first == 0 and end == len(part.messages):
        return part
    messages = part.messages[first:end]
    return part._replace(messages=messages, positions=_positions(messages) if part.positions else {})


def passed(suspects: Suspects, messages: Sequence[Message], positions: Mapping[str, Position]) -> Suspects:
    """These have got through: nobody has to die of them any more."""
    reached = {partition: position.offset for partition, position in positions.items()}
    left = {name: last for name, last in suspects.positions.items() if reached.get(name, -1) < last}
    names = suspects.names - {name_of(message) for message in messages} if suspects.names else suspects.names
    if not left and not names:
        return NOBODY._replace(killers=suspects.killers)
    return suspects._replace(positions=left, names=names)


def buried(suspects: Suspects, message: Message) -> Suspects:
    """This killer's dead letter is safe; the broker forgets it, and so may we."""
    name = name_of(message)
    return suspects._replace(killers=tuple(killer for killer in suspects.killers if killer != name))


def _is_suspect(suspects: Suspects, message: Message, positions: Mapping[str, Position]) -> bool:
    name = name_of(message)
    if name in suspects.killers:
        return True
    if suspects.deaths < DEATHS:
        return False
    if not positions:
        return name in suspects.names
    partition, offset = _place(message)
    return offset <= suspects.positions.get(partition, -1)


def _positions(messages: Sequence[Message]) -> dict[str, Position]:
    """Of the last message of each partition among these."""
    found = {}
    for message in messages:
        partition, offset = _place(message)
        found[partition] = Position(offset, -1 if message.timestamp_ms is None else message.timestamp_ms)
    return found


def _place(message: Message) -> tuple[str, int]:
    """A message with a position has the id "topic/partition/offset"."""
    partition, _, offset = message.id.rpartition("/")
    return partition, int(offset)
