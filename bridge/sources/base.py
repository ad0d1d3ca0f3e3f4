"""The contract between a broker and the intake loop.

    await source.open()
    while True:
        batch = await source.receive()
        …                      # decode, route, store
        await batch.ack()      # any time later, in any order, from any task; at most once per batch

What a source promises:

- ``receive`` gives messages of one partition or queue in the broker's order, and never gives an empty batch.
- A message whose batch was not acknowledged is delivered again after the source, or the process, comes back.
- ``ack`` may be called in any order. The source forgets no earlier batch because a later one was acknowledged:
  where the broker only knows "everything up to here" (Kafka), the source commits the unbroken prefix.
- ``ack`` on a connection that is gone, or for a partition that was taken away, does nothing and raises nothing: the
  broker will deliver the messages again.
- Any loss of the broker, of the consumer or of the queue surfaces as ``SourceLost`` from ``open`` or ``receive``,
  within a bounded time. A source never reconnects by itself and never waits in silence.
- ``close`` may be called at any time, more than once, and does not raise. It commits what was acknowledged.
- While nobody calls ``receive`` the source keeps its place with the broker (heartbeats go on) and holds a bounded
  amount of memory: this is the back-pressure.

The caller promises: one task calls ``receive``; after ``SourceLost`` it closes the source and opens it again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from bridge.message import Message, Position
    from bridge.sources.progress import Standing


# What a source may count: assignments of its group, commits or acknowledgements sent to the broker, messages that the
# broker would have given again and that the outbox had.
COUNTS = ("rebalances", "commits", "skipped")


class Batch(Protocol):
    """What one fetch gave; the unit of intake."""

    messages: Sequence[Message]
    positions: Mapping[str, Position]  # "topic/partition" -> the last message; empty where the broker has none

    async def ack(self) -> None:
        """Tell the broker that it may forget these messages."""


class Source(Protocol):
    """A consumer of one configured broker."""

    name: str

    @property
    def connected(self) -> bool:
        """Between a successful ``open`` and the loss of the broker, or ``close``."""

    @property
    def assigned(self) -> Collection[str]:
        """The partitions ("topic/partition") or queues that are read now.

        A partition that is taken away is none of them, nor is one that comes back, before ``receive`` is called again.
        """

    @property
    def lag(self) -> Mapping[str, int]:
        """Messages at the broker, not received yet, by partition, where that is known; a snapshot that asks nobody."""

    @property
    def received_ms(self) -> Mapping[str, int]:
        """Timestamp of the last message received, by partition, where there are partitions; -1: it had none."""

    @property
    def counts(self) -> Mapping[str, int]:
        """What it has done since it was made, also before it was reopened: some of COUNTS."""

    async def standing(self) -> Mapping[str, Standing]:
        """How each partition or queue that is read stands, by the broker's own word; nothing where it says none.

        Called beside ``receive``, now and then; takes a bounded time and raises nothing.
        """

    async def open(self) -> None:
        """Connect and subscribe. Raises SourceLost when the broker does not let us."""

    async def receive(self) -> Batch:
        """Wait for the next batch. Raises SourceLost. Safe to cancel: nothing is lost from the contract above."""

    async def close(self) -> None:
        """Let go of the broker."""


class Reader(Protocol):
    """Looks at a source's messages and leaves them to it: joins nothing, commits and acknowledges nothing.

    Every method but ``close`` raises SourceLost.
    """

    async def open(self) -> None:
        """Connect."""

    async def begin(self, at: str | int) -> None:
        """Read from here on: "earliest", "latest", "committed", or a time in milliseconds since 1970."""

    async def receive(self) -> Sequence[Message]:
        """What has arrived; nothing after a moment without any. Safe to cancel."""

    async def at(self, topic: str, partition: int, offset: int) -> Message:
        """The message at a place. Raises RecordMissing where there is none."""

    async def close(self) -> None:
        """Let go of the broker; what it has delivered is where it was. May be called more than once."""
