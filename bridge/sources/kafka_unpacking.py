"""Header names that are not UTF-8: aiokafka's records end at one, here such a name becomes readable text.

Kafka's protocol wants UTF-8 there, and no broker looks. aiokafka's unpacking raises in the midst of a block, and no
later record of the partition can be had from it. A block that fails so is unpacked again from its bytes, from the
record at which it stopped, by a reader of our own; all other blocks are read as ever, at no cost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import _DefaultRecordBatchPy, _DefaultRecordPy
from aiokafka.record.legacy_records import LegacyRecordBatch
from aiokafka.record.memory_records import _MemoryRecordsPy
from aiokafka.record.util import decode_varint

if TYPE_CHECKING:
    from collections.abc import Iterator


class Block(PartitionRecords):  # type: ignore[misc]  # aiokafka publishes no types
    """The records of one partition in one answer; see ``adopt``.

    raw: its bytes as they came from the broker.
    """

    raw: bytes
    _records_iterator: Iterator[Any] | None

    def __next__(self) -> Any:  # noqa: ANN401  a record, or the message made of it
        try:
            return next(self._records_iterator)  # type: ignore[arg-type]  # None ends in a TypeError, as in aiokafka
        except StopIteration:
            self._records_iterator = None
            raise
        except UnicodeDecodeError:
            self._records = _Records(self.raw, self.next_fetch_offset)
            self._records_iterator = self._unpack_records()
            return next(self)


def adopt(records: PartitionRecords, raw: bytes) -> None:
    """Let a block survive such names, from now on. aiokafka makes blocks itself, so the class is set."""
    if type(records) is PartitionRecords:
        records.__class__ = Block
        records.raw = raw


class _Records(_MemoryRecordsPy):  # type: ignore[misc]  # aiokafka publishes no types
    """The batches of a block from the one that holds ``offset`` on."""

    def __init__(self, raw: bytes, offset: int) -> None:
        super().__init__(raw)
        self._begin = offset

    def has_next(self) -> bool:
        while (batch := self._peek()) is not None and batch.next_offset <= self._begin:
            self._cache_next()
        return self._next_slice is not None

    def next_batch(self) -> Any:  # noqa: ANN401  aiokafka publishes no types
        if (batch := self._peek()) is not None:
            self._cache_next()
            return batch
        # Of a format without headers.
        found, magic = self._next_slice, self._next_slice[self.MAGIC_OFFSET]
        self._cache_next()
        return LegacyRecordBatch(found, magic)

    def _peek(self) -> _Batch | None:
        found = self._next_slice
        return None if found is None or found[self.MAGIC_OFFSET] < 2 else _Batch(found)  # noqa: PLR2004  the format


class _Batch(_DefaultRecordBatchPy):  # type: ignore[misc]  # aiokafka publishes no types
    """A batch of the record format 2 (https://kafka.apache.org/documentation/#recordbatch)."""

    _pos: int

    def _read_msg(self) -> _DefaultRecordPy:
        buffer = self._buffer
        length, at = decode_varint(buffer, self._pos)
        end = at + length
        delta_ms, at = decode_varint(buffer, at + 1)  # after the attributes, which are not used
        delta, at = decode_varint(buffer, at)
        key, at = _nullable(buffer, at)
        value, at = _nullable(buffer, at)
        count, at = decode_varint(buffer, at)
        headers = []
        for _ in range(count):
            name, at = _nullable(buffer, at)
            content, at = _nullable(buffer, at)
            headers.append(((name or b"").decode("utf-8", "backslashreplace"), content))
        if at != end:
            raise CorruptRecordException(f"a record of {length} bytes has {length + at - end}")
        self._pos = at
        appended = self.timestamp_type == self.LOG_APPEND_TIME
        timestamp = self.max_timestamp if appended else self.first_timestamp + delta_ms
        return _DefaultRecordPy(self.base_offset + delta, timestamp, self.timestamp_type, key, value, headers)


def _nullable(buffer: bytearray, at: int) -> tuple[bytes | None, int]:
    """Bytes with their length before them, and where the next thing begins."""
    length, at = decode_varint(buffer, at)
    return (None, at) if length < 0 else (bytes(buffer[at : at + length]), at + length)
