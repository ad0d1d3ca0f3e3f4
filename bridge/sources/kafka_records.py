"""From records to messages: the hot path of a Kafka source."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import structlog

from bridge.message import Message

try:
    from bridge.sources.kafka_unpacking import adopt
except ImportError:  # a later aiokafka

    def adopt(records: Any, raw: bytes) -> None:  # noqa: ANN401  aiokafka publishes no types
        """Nothing: a header name that is not UTF-8 ends the connection, see the source."""


if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

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
    before anybody can read from it, and is made to survive header names that are not UTF-8 (see kafka_unpacking).
    Where a later aiokafka has another shape, ``Makers.messages`` does the work.
    """
    fetcher = consumer._fetcher  # noqa: SLF001  no public hook
    fetch = getattr(fetcher, "_proc_fetch_request", None)
    if fetch is None or not isinstance(getattr(fetcher, "_records", None), dict):
        log.warning("records_built_twice", reason="this version of aiokafka is not known")
        return

    answers = fetcher._client = _Answers(fetcher._client)  # noqa: SLF001  no public hook

    async def fetch_and_prepare(assignment: Any, node_id: Any, request: Any) -> Any:  # noqa: ANN401  no types
        with answers.kept(request) as raws:
            answer = await fetch(assignment, node_id, request)
        for partition, result in fetcher._records.items():  # noqa: SLF001  no public hook
            block = getattr(result, "_partition_records", None)
            if block is not None:
                block._consumer_record = makers[partition]  # noqa: SLF001  no public hook
                if partition in raws:
                    adopt(block, raws[partition])
        return answer

    fetcher._proc_fetch_request = fetch_and_prepare  # noqa: SLF001  no public hook


class _Answers:
    """A fetcher's client that keeps the answer to a fetch while it is prepared: blocks do not give their bytes."""

    def __init__(self, client: Any) -> None:  # noqa: ANN401  aiokafka publishes no types
        self._client = client
        self._kept: dict[int, dict[tuple[str, int], bytes]] = {}  # by the identity of the request

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  whatever the client has
        return getattr(self._client, name)

    @contextlib.contextmanager
    def kept(self, request: object) -> Iterator[Mapping[tuple[str, int], bytes]]:
        """The records in the answer to this request, by topic and partition; empty where there was none."""
        raws = self._kept[id(request)] = {}
        try:
            yield raws
        finally:
            del self._kept[id(request)]

    async def send(self, node_id: Any, request: Any, **options: Any) -> Any:  # noqa: ANN401  no types
        """As the client does."""
        answer = await self._client.send(node_id, request, **options)
        raws = self._kept.get(id(request))
        if raws is not None:
            raws.update({(topic, number): rest[-1] for topic, parts in answer.topics for number, *rest in parts})
        return answer
