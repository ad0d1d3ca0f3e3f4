"""What a POST costs in the bridge's process: each transport, over HTTP/1.1 and over TLS, with some requests in flight.

Run as a process of its own for one measure: ``python -m bench.http KIND URL CA_FILE CONCURRENCY COUNT``; "" is no file.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

import trustme
import uvloop

from bridge.cloudflare.settings import TargetSettings
from bridge.cloudflare.transport import open_transport

if TYPE_CHECKING:
    from collections.abc import Iterator

BODY = json.dumps({"instance_id": "order-1", "params": {"text": "x" * 250}}).encode()
HEADERS = {"authorization": "Bearer token", "content-type": "application/json"}
TIMEOUT_SECONDS = 30.0
CASES = [(kind, tls, flight) for tls in (False, True) for kind in ("fast", "httpx") for flight in (4, 32)]
COUNTS = {"fast": 20_000, "httpx": 1_500}


class Measure(NamedTuple):
    """One way to send, over some thousand requests; the median of the runs."""

    kind: str
    wire: str
    in_flight: int
    cpu_us: float  # of the whole process, per request
    p50_ms: float
    p99_ms: float
    per_second: float


def measures(runs: int) -> Iterator[Measure]:
    """All cases. Needs node."""
    with TemporaryDirectory(prefix="bench-http-") as folder, _stub() as plain, _stub(*_certificate(folder)) as secure:
        for kind, tls, flight in CASES:
            url, ca_file = (
                (f"https://127.0.0.1:{secure}", f"{folder}/ca.pem") if tls else (f"http://127.0.0.1:{plain}", "")
            )
            command = [sys.executable, "-m", "bench.http", kind, url, ca_file, str(flight), str(COUNTS[kind])]
            found = sorted(tuple(json.loads(subprocess.check_output(command))) for _ in range(runs))
            wire = "HTTP/1.1" if not tls else "TLS, HTTP/2" if kind == "fast" else "TLS, HTTP/1.1"
            yield Measure(kind, wire, flight, *found[len(found) // 2])


def _certificate(folder: str) -> tuple[str, str]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(f"{folder}/ca.pem")
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(f"{folder}/key.pem")
    for pem in issued.cert_chain_pems:
        pem.write_to_path(f"{folder}/cert.pem", append=True)
    return f"{folder}/cert.pem", f"{folder}/key.pem"


@contextmanager
def _stub(*certificate: str) -> Iterator[int]:
    command = ["node", str(Path(__file__).with_name("http_stub.mjs")), *certificate]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None  # noqa: S101  it was asked for above
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()


async def _send(kind: str, url: str, ca_file: str, flight: int, count: int) -> tuple[float, float, float, float]:
    """CPU µs per request, median and 99th percentile of the time to the answer in ms, requests per second."""
    fields = {"http": kind, "concurrency": flight, "ca_file": ca_file or None}
    transport = open_transport(TargetSettings.model_validate({"account_id": "a", "api_token": "t", **fields}))
    left = flight * 20  # to warm up
    times: list[float] = []

    async def send_some() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            began = time.perf_counter()
            answer = await transport.send("POST", f"{url}/x", HEADERS, BODY, TIMEOUT_SECONDS)
            assert answer.status == 200  # noqa: S101, PLR2004  a bench of refusals would be fast
            times.append(time.perf_counter() - began)

    await asyncio.gather(*(send_some() for _ in range(flight)))
    left = count
    times.clear()
    cpu, wall = time.process_time(), time.perf_counter()
    await asyncio.gather(*(send_some() for _ in range(flight)))
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    await transport.close()
    times.sort()
    return cpu * 1e6 / count, times[count // 2] * 1e3, times[count * 99 // 100] * 1e3, count / wall


if __name__ == "__main__":
    kind, url, ca_file, flight, count = sys.argv[1:]
    print(json.dumps(uvloop.run(_send(kind, url, ca_file, int(flight), int(count)))))
