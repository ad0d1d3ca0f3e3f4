"""``python -m tests.services.fetch``: brings what the real servers need into the cache, before tests are timed."""

from __future__ import annotations

import os

from tests.services import axe, tools, workerd
from tests.services.containers import make_stand_in
from tests.services.kafka import kafka_jars

if __name__ == "__main__":
    kafka_jars()
    workerd.install()
    axe.install()
    tools.install()
    if os.geteuid() == 0:  # nobody else can build images here
        make_stand_in()
