"""Rows of the ledger packed into the blobs of a chunk, and back; no SQL and no file here.

A chunk is what some transactions settled: what its rows have in common stands once, what is their own in columns, and
it is compressed where that pays. Beside it stand four bytes for each id in it, so that a look-up is one pass of
SQLite's ``instr`` over eight bytes a row; whoever finds them looks into the chunk itself.
"""

from __future__ import annotations

import zlib
from array import array
from itertools import chain, groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from bridge.call import Policy
from bridge.outbox.overview import LedgerRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from bridge.outbox.base import DeadLetter, Dropped, Settlement

    # source, rule, config, target, workflow, operation, event type, outcome, reason, code
    Shape = tuple[str, str, str, str, str, str, str, str, str, int]
    # a shape, attempts, arrived_ms, settled_ms, and how many rows in a row have them
    Run = tuple[Shape, int, int, int, int]

_COMPRESSED_FROM = 512  # bytes: below it deflate's own set-up costs more than it saves
_LEVEL = 1
_PLAIN = b"["  # what a blob begins with that is not compressed; zlib's begin with "x"


class Lines(NamedTuple):
    """Some rows of the ledger, in order, in columns."""

    runs: Sequence[Run]
    messages: Sequence[str]
    instances: Sequence[str]
    made: Mapping[int, str]  # place of a row -> the instance that was made, where its id is not the call's


class Packed(NamedTuple):
    """The columns of a chunk."""

    rows: int
    first_ms: int  # when the first of them was settled
    last_ms: int  # when the last of them was
    rules: str  # every rule in it, each between line feeds
    keys: bytes
    content: bytes

    @property
    def weight(self) -> int:
        """Its bytes, as sql.LEDGER_BYTES counts them."""
        return len(self.keys) + len(self.content)


def lines_settled(settlements: Sequence[Settlement]) -> Lines:
    """The rows of verdicts that are final. Its cost is one of each message's: everything is done by columns."""
    (entries, verdicts, reasons, _, _, settled, attempted, codes, made, _) = zip(*settlements, strict=True)
    (_, operations, targets, workflows, instances, types, _, policies, _, _, _, sources, messages, _, arrived, attempts,
     *_) = zip(*entries, strict=True)  # fmt: skip
    alike = zip(sources, policies, targets, workflows, operations, types, verdicts, reasons, codes, attempts, attempted,
                arrived, settled, strict=True)  # fmt: skip
    runs = [_run_of(key, len(list(run))) for key, run in groupby(alike)]
    return Lines(
        runs, messages, instances, {place: name for place, name in enumerate(made) if name} if any(made) else {}
    )


def _run_of(key: tuple[Any, ...], many: int) -> Run:
    source, policy, target, workflow, operation, kind, verdict, reason, code, attempts, attempted, arrived, settled = (
        key
    )
    known = Policy.decode(policy)
    shape = (source, known.rule, known.config, target, workflow, str(operation), kind, str(verdict), reason, code)
    return shape, attempts + attempted, arrived, settled, many


def lines_buried(letters: Sequence[DeadLetter], arrived_ms: int) -> Lines:
    """The rows of messages, or calls of them, that died at intake."""
    return Lines(
        [_grave(letter, arrived_ms) for letter in letters],
        [letter.message.id for letter in letters],
        [letter.call.instance_id if letter.call else "" for letter in letters],
        {},
    )


def _grave(letter: DeadLetter, arrived_ms: int) -> Run:
    call = letter.call
    about = (call.target, call.workflow, str(call.operation), call.event_type) if call else ("", "", "", "")
    shape = (letter.message.source, letter.rule, letter.config, *about, "dead", letter.reason, 0)
    return shape, letter.attempts, arrived_ms, letter.died_ms, 1


def lines_dropped(drops: Sequence[Dropped], arrived_ms: int) -> Lines:
    """The rows of messages that a rule has dropped."""
    runs = [
        ((source, "", config, "", "", "", "", "dropped", reason, 0), 0, arrived_ms, arrived_ms, len(list(run)))
        for (source, config, reason), run in groupby((d.message.source, d.config, d.reason) for d in drops)
    ]
    return Lines(runs, [drop.message.id for drop in drops], [""] * len(drops), {})


def lines_errored(rows: Sequence[LedgerRow], now_ms: int) -> Lines:
    """Rows of instances that ended in an error, by the rows of the calls that have made them.

    None is earlier than its instance, however the clock was set between: who looks for what is known of the instance
    looks at rows from about its making on.
    """
    runs = [
        ((r.source, r.rule, r.config, r.target, r.workflow, r.operation, "", "errored", "errored", 0),
         r.attempts, r.arrived_ms, max(now_ms, r.settled_ms), 1)
        for r in rows
    ]  # fmt: skip
    made = {place: row.made for place, row in enumerate(rows) if row.made}
    return Lines(runs, [row.message_id for row in rows], [row.instance_id for row in rows], made)


def joined(parts: Iterable[Lines]) -> Lines:
    """The rows of some, in order, as one."""
    parts = list(parts)
    if len(parts) == 1:
        return parts[0]
    made, before = {}, 0
    for part in parts:
        made.update({place + before: name for place, name in part.made.items()})
        before += len(part.messages)
    return Lines(
        list(chain.from_iterable(part.runs for part in parts)),
        list(chain.from_iterable(part.messages for part in parts)),
        list(chain.from_iterable(part.instances for part in parts)),
        made,
    )


def packed(lines: Lines) -> Packed:
    """As it is stored."""
    runs, messages, instances, made = lines
    numbers: dict[Shape, int] = {}
    stored = [(numbers.setdefault(shape, len(numbers)), *rest) for shape, *rest in runs]
    content = orjson.dumps((list(numbers), stored, messages, instances, list(made.items())))
    if len(content) >= _COMPRESSED_FROM:
        content = zlib.compress(content, _LEVEL)
    rules = "\n".join(sorted({shape[1] for shape in numbers}))
    keys = _keys([*messages, *instances, *made.values()])
    times = [run[3] for run in runs]
    return Packed(len(messages), min(times), max(times), f"\n{rules}\n", keys, content)


def unpacked(content: bytes) -> Lines:
    """The inverse, as far as it is of rows."""
    plain = content if content.startswith(_PLAIN) else zlib.decompress(content)
    shapes, stored, messages, instances, made = orjson.loads(plain)
    return Lines([(tuple(shapes[shape]), *rest) for shape, *rest in stored], messages, instances, dict(made))


def key_of(name: str) -> bytes:
    """What stands for an id among the keys of a chunk."""
    return _keys([name])


def _keys(names: Sequence[str]) -> bytes:
    return array("I", map(zlib.crc32, map(str.encode, names))).tobytes()


def ledger_rows(first: int, lines: Lines) -> Iterator[LedgerRow]:
    """One by one, in order; ``first`` is the number of the first."""
    alike = (run for run in lines.runs for _ in range(run[4]))
    for place, ((shape, attempts, arrived_ms, settled_ms, _), message, instance) in enumerate(
        zip(alike, lines.messages, lines.instances, strict=True)
    ):
        source, rule, config, target, workflow, operation, kind, outcome, reason, code = shape
        yield LedgerRow(
            first + place, source, message, rule, config, target, workflow, operation, kind, instance,
            lines.made.get(place, ""), outcome, reason, code, attempts, arrived_ms, settled_ms,
        )  # fmt: skip
