"""Tens of thousands of messages that nobody should send, through the whole path; ``make hostile`` sends 100,000."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.end_to_end.places import KafkaPlace
from tests.hostile.generator import messages
from tests.hostile.storm import Storm

if TYPE_CHECKING:
    from pathlib import Path

    from tests.hostile.figures import Figures
    from tests.services.kafka import KafkaServer
    from tests.services.rabbitmq import RabbitServer

SEED = 7
MOST_MIB = 350  # that the process may grow by
LATE_MS = 30_000  # a machine with other work to do stops for seconds; a loop that a message blocks stops for longer


def check(figures: Figures, messages: int) -> None:
    """Nothing is lost, nothing went wrong, and memory is bounded."""
    assert (figures.messages, figures.lost, figures.good_lost, figures.tracebacks) == (messages, 0, 0, 0), figures
    assert figures.seconds > 0, figures
    assert min(figures.delivered, figures.dead, figures.unmatched, figures.dropped) > 0, figures
    assert figures.reasons.keys() >= {"undecodable", "render_error", "rule_error", "invalid_id", "invalid_name"}
    assert figures.rss_mib[1] < figures.rss_mib[0] + MOST_MIB, figures


@pytest.mark.kafka
@pytest.mark.rabbitmq
@pytest.mark.slow
async def test_every_hostile_message_ends_and_harms_no_other(
    kafka: KafkaServer, rabbitmq: RabbitServer, tmp_path: Path
) -> None:
    """Of 10,000 through all decoders, each is called, a dead letter, or counted; good ones are on time."""
    figures = await Storm(kafka, rabbitmq, tmp_path / "bridge", SEED, 10_000).run(2_000)
    check(figures, 10_000)
    assert figures.storm_ms[1] < max(2 * figures.quiet_ms[1], LATE_MS), figures


@pytest.mark.kafka
@pytest.mark.rabbitmq
@pytest.mark.slow
async def test_the_memory_outbox_takes_hostile_messages_too(
    kafka: KafkaServer, rabbitmq: RabbitServer, tmp_path: Path
) -> None:
    """Of 5,000 the dead letters are in a topic. One long list may fill this outbox, and then intake waits for it."""
    place = KafkaPlace(kafka, await kafka.topic(max_message_bytes=str(8 << 20)))
    check(await Storm(kafka, rabbitmq, tmp_path / "bridge", SEED, 5_000).run(1_500, place), 5_000)


def test_a_seed_gives_the_same_messages() -> None:
    """A storm can be repeated."""
    first = list(messages(SEED, 2_000))
    assert first == list(messages(SEED, 2_000))
    assert first != list(messages(SEED + 1, 2_000))
    assert {one.source for one in first} == {"json", "text", "raw", "events", "avro", "protobuf", "rabbit"}
