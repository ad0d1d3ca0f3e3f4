"""All faults of the brokers, and of the network between them and the bridge."""

from __future__ import annotations

from tests.torture import faults_kafka, faults_rabbitmq

FAULTS = [*faults_kafka.FAULTS, *faults_rabbitmq.FAULTS]
