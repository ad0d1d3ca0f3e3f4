"""From records to messages: the hot path of a Kafka source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog

from bridge.message import Message

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aiokafka import AIOKafkaConsumer, TopicPartition

    MakeMessage = Callable[[TopicPartition, Any], Message]

log = structlog.get_logger(__name__)


def message_maker(source: str, topic: str, partition: int) -> MakeMessage:
    """A function that turns a record of this partition into a message.

    One call per message: what is the same for all of them is made once, and the named tuple is built without
    its keyword-checking constructor.
    """
    prefix = f"{topic}/{partition}/"
    new = tuple.__new__

    def make(_: TopicPartition, record: Any) -> Message:  # noqa: ANN401  aiokafka publishes no types
        offset = record.offset
        timestamp = record.timestamp
        return new(
            Message,
            (
                source,
                f"{prefix}{offset}",
                topic,
                record.key,
                record.headers,
                record.value,
                timestamp if timestamp >= 0 else None,
                {"partition": partition, "offset": offset},
                False,
                True,
            ),
        )

    return make


class Makers(dict["TopicPartition", "MakeMessage"]):
    """The maker of each partition, made when it is first asked for."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self._source = source

    def __missing__(self, partition: TopicPartition) -> MakeMessage:
        maker = self[partition] = message_maker(self._source, partition.topic, partition.partition)
        return maker

    def messages(self, partition: TopicPartition, records: Sequence[Any]) -> Sequence[Message]:
        """Records as ``getmany`` gave them; most of them are messages already, see ``build_in_place``."""
        if type(records[0]) is Message:
            return records
        make = self[partition]
        return [make(partition, record) for record in records]


def build_in_place(consumer: AIOKafkaConsumer, makers: Makers) -> None:
    """Let a started consumer build our messages instead of its own records.

    aiokafka makes an eleven-field record per message, only for us to take it apart: a third of the cost of
    consuming. Its unpacking calls ``self._consumer_record`` per record, so each fetched block gets our maker there
    before anybody can read from it. Where a later aiokafka has another shape, ``Makers.messages`` does the work.
    """
    fetcher = consumer._fetcher  # noqa: SLF001  no public hook
    fetch = getattr(fetcher, "_proc_fetch_request", None)
    if fetch is None or not isinstance(getattr(fetcher, "_records", None), dict):
        log.warning("records_built_twice", reason="this version of aiokafka is not known")
        return

    async def fetch_and_prepare(*arguments: Any) -> Any:  # noqa: ANN401  aiokafka publishes no types
        answer = await fetch(*arguments)
        for partition, result in fetcher._records.items():  # noqa: SLF001  no public hook
            block = getattr(result, "_partition_records", None)
            if block is not None:
                block._consumer_record = makers[partition]  # noqa: SLF001  no public hook
        return answer

    fetcher._proc_fetch_request = fetch_and_prepare  # noqa: SLF001  no public hook
