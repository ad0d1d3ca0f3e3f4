"""Looks whether a cluster lets us in and has what the configuration names; joins nothing and changes nothing."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupAuthorizationFailedError, KafkaConnectionError, KafkaError

from bridge.finding import Finding
from bridge.sources.kafka_connection import client_options, diagnose, explain
from bridge.sources.kafka_membership import matching

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterator, Mapping

    from bridge.sources.kafka_settings import KafkaConnection, KafkaSettings

# A cluster makes this topic when the first group is looked for, and nothing is to be made here.
_OFFSETS_TOPIC = "__consumer_offsets"
_FAILURES = (KafkaError, OSError, ValueError)


async def inspect(settings: KafkaSettings) -> AsyncGenerator[Finding, None]:
    """The connection, each topic with its partitions, and the group."""
    async with contextlib.AsyncExitStack() as stack:
        try:
            admin = await stack.enter_async_context(_admin(settings))
            partitions = await _partitions(admin)
        except _FAILURES as error:
            yield await _not_connected(settings, error)
            return
        yield Finding(_asked(settings), good=True, answer="connected")
        for finding in _topics(settings, partitions):
            yield finding
        if _OFFSETS_TOPIC in partitions:
            yield await _group(admin, settings.group_id)
        else:
            yield Finding(f"group {settings.group_id}", good=True, answer="not asked: this cluster has no groups yet")


async def inspect_topic(settings: KafkaConnection, topic: str) -> AsyncGenerator[Finding, None]:
    """The connection, and a topic that will be written to."""
    async with contextlib.AsyncExitStack() as stack:
        try:
            partitions = await _partitions(await stack.enter_async_context(_admin(settings)))
        except _FAILURES as error:
            yield await _not_connected(settings, error)
            return
        yield Finding(_asked(settings), good=True, answer="connected")
        yield _topic(topic, partitions)


@contextlib.asynccontextmanager
async def _admin(settings: KafkaConnection) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(**client_options(settings))
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()


async def _partitions(admin: AIOKafkaAdminClient) -> Mapping[str, int]:
    """How many partitions each topic has. All topics are asked for: to ask for one by name could make it."""
    cluster = await admin._client.fetch_all_metadata()  # noqa: SLF001  the public way asks by name
    topics = cluster.topics(exclude_internal_topics=False)
    return {topic: len(cluster.partitions_for_topic(topic) or ()) for topic in topics}


def _asked(settings: KafkaConnection) -> str:
    return f"Kafka at {', '.join(settings.bootstrap_servers)}"


async def _not_connected(settings: KafkaConnection, error: Exception) -> Finding:
    reason = await diagnose(settings) if isinstance(error, KafkaConnectionError) else explain(error)
    advice = "check bootstrap_servers, tls and sasl, and that the address is reachable from here"
    return Finding(_asked(settings), good=False, answer=reason, advice=advice)


def _topics(settings: KafkaSettings, partitions: Mapping[str, int]) -> Iterator[Finding]:
    for topic in settings.topics:
        yield _topic(topic, partitions)
    if settings.topics_pattern is not None:
        found = sorted(matching(settings, partitions))
        answer = f"{len(found)} topics: {', '.join(found[:5])}" if found else "no topic matches"
        advice = "" if found else "topics that are made later are found; for one that should be there check the pattern"
        yield Finding(f"topics {settings.topics_pattern}", good=bool(found), answer=answer, advice=advice)


def _topic(topic: str, partitions: Mapping[str, int]) -> Finding:
    count = partitions.get(topic, 0)
    if count:
        return Finding(f"topic {topic}", good=True, answer=f"{count} partition{'s' if count > 1 else ''}")
    advice = f"create it, or allow this user to describe it; there are {_listed(partitions)}"
    return Finding(f"topic {topic}", good=False, answer="no such topic, or it may not be seen", advice=advice)


def _listed(topics: Collection[str]) -> str:
    visible = sorted(topic for topic in topics if not topic.startswith("__"))
    return ", ".join(visible[:10]) + (" …" if len(visible) > 10 else "") if visible else "none"  # noqa: PLR2004


async def _group(admin: AIOKafkaAdminClient, group: str) -> Finding:
    asked = f"group {group}"
    try:
        positions = await admin.list_consumer_group_offsets(group)
    except GroupAuthorizationFailedError:
        advice = f"allow this user to read the group {group}"
        return Finding(asked, good=False, answer="this user may not use the group", advice=advice)
    except _FAILURES as error:
        return Finding(asked, good=False, answer=explain(error), advice="try again; the coordinator may be moving")
    answer = f"positions of {len(positions)} partitions" if positions else "has no positions yet"
    return Finding(asked, good=True, answer=answer)
