"""``python -m tests.services.fetch``: brings what the real servers need into the cache, before tests are timed."""

from __future__ import annotations

from tests.services.kafka import kafka_jars
from tests.services.workerd import install

if __name__ == "__main__":
    kafka_jars()
    install()
