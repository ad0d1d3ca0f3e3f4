"""``make footprint``: what the image takes: its size, its start, processor and memory at three loads, a drain.

The image is built with the repository's Dockerfile (on the tests' stand-in for the published base) and run read-only
and without capabilities. Kafka is librdkafka's mock cluster, the API is the emulator without a quota, both in this
process; the figures are those of the container's process alone, by the kernel.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from bridge.demo.broker import EmbeddedBroker
from bridge.emulator.fixture import RunningEmulator
from tests.image.running import Running
from tests.services.containers import STAND_IN, build, exported, make_stand_in
from tests.services.ports import free_ports

TAG = "localhost/workflow-bridge:footprint"
LOADS = (0, 100, 1000)  # messages a second
SETTLE_SECONDS, MEASURE_SECONDS = 5.0, 20.0
GRACE_SECONDS = 60.0
OUTBOXES = {
    "memory": "{type: memory}\ndead_letters: discard",
    "sqlite": "{type: sqlite, path: /var/lib/workflow-bridge/outbox.db}",
}
CONFIG = """
targets:
  main: {{account_id: "{account}", api_token_file: /etc/workflow-bridge/token, base_url: "{base_url}"}}
sources:
  orders: {{type: kafka, bootstrap_servers: ["{kafka}"], topics: [orders], group_id: footprint}}
health: {{port: {port}, host: 127.0.0.1}}
admin: {{enabled: false}}
rules:
  - name: order-created
    when: body.type == "order.created"
    create: {{workflow: fulfil-order, id: "order-${{body.id}}", params: "${{body}}"}}
outbox: {outbox}
"""


class Load(NamedTuple):
    """What the process took under one load."""

    outbox: str
    messages_per_second: int
    cpu_millicores: float
    rss_mib: float


def measure(outbox: str) -> tuple[list[Load], float, float]:
    """Each load in turn; then seconds from start to ready, and from SIGTERM at the highest load to the end."""
    with tempfile.TemporaryDirectory() as name, EmbeddedBroker() as broker, RunningEmulator() as emulator:
        config, data = Path(name) / "config", Path(name) / "data"
        config.mkdir()
        data.mkdir(mode=0o777)
        data.chmod(0o777)
        (port,) = free_ports(1)
        broker.create_topic("orders")
        (config / "token").write_text(emulator.token)
        values = {"account": emulator.account_id, "base_url": emulator.base_url, "kafka": broker.bootstrap}
        (config / "bridge.yaml").write_text(CONFIG.format(**values, port=port, outbox=OUTBOXES[outbox]))
        mounts = {config: "/etc/workflow-bridge", data: "/var/lib/workflow-bridge:rw"}
        with Running(TAG, mounts=mounts) as container:
            ready = container.wait_for(f"http://127.0.0.1:{port}/readyz")
            sender = Sender(broker)
            loads = [_loaded(container, sender, outbox, rate) for rate in LOADS]
            sender.send(LOADS[-1], 1.0)
            code, seconds = container.terminate(GRACE_SECONDS)
            assert code == 0  # noqa: S101  a figure of a bridge that failed is none
        return loads, ready, seconds


class Sender:
    """Produces orders of 300 bytes at an even pace."""

    def __init__(self, broker: EmbeddedBroker) -> None:
        self._broker, self._sent = broker, 0

    def send(self, rate: int, seconds: float) -> None:
        """So many a second, in steps of 20 ms; 0 only waits."""
        begun, at_begin = time.monotonic(), self._sent
        while (passed := time.monotonic() - begun) < seconds:
            for _ in range(int(rate * passed) - (self._sent - at_begin)):
                self._sent += 1
                body = json.dumps({"type": "order.created", "id": self._sent, "note": "x" * 250}).encode()
                self._broker.produce("orders", str(self._sent), body, lambda *_: None)
            time.sleep(0.02)
        self._broker.flush()


def _loaded(container: Running, sender: Sender, outbox: str, rate: int) -> Load:
    sender.send(rate, SETTLE_SECONDS)
    before, begun = container.cpu_seconds, time.monotonic()
    sender.send(rate, MEASURE_SECONDS)
    used, passed = container.cpu_seconds - before, time.monotonic() - begun
    rss = int(container.status()["VmRSS"].split()[0]) / 1024
    return Load(outbox, rate, 1000 * used / passed, rss)


def main() -> None:
    """Print the tables of helm/README.md."""
    make_stand_in()
    build(TAG, STAND_IN)
    with tempfile.TemporaryDirectory() as folder:
        ours = exported(TAG, Path(folder) / "image", packed=True).layers[-1]
    print(f"image, above its base: {ours.unpacked_bytes / 1e6:.1f} MB, {ours.packed_bytes / 1e6:.1f} MB packed")
    print("\n| outbox | messages/s | CPU, millicores | RSS, MiB |\n|---|---|---|---|")
    ends = {}
    for outbox in OUTBOXES:
        loads, ready, drained = measure(outbox)
        ends[outbox] = (ready, drained)
        for load in loads:
            print(f"| {load.outbox} | {load.messages_per_second} | {load.cpu_millicores:.0f} | {load.rss_mib:.0f} |")
    for outbox, (ready, drained) in ends.items():
        print(
            f"{outbox}: start to ready {ready:.2f} s; SIGTERM under {LOADS[-1]} messages/s to the end {drained:.2f} s"
        )


if __name__ == "__main__":
    if subprocess.run(["id", "-u"], capture_output=True, text=True, check=True).stdout.strip() != "0":
        sys.exit("make footprint needs root: it runs containers")
    main()
