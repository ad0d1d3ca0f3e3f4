"""Runs the scenes and prints CPU per message, next to a floor taken in the same run."""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
import uuid
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

from bench import backlog, http, latency, observed
from bench.load import fill_queue, fill_topic
from bench.paced import Traffic
from bench.rules import measures
from bench.running import broker, cpu_seconds, free_port, make_topic, status, stub
from bench.scenes import SCENES, Place, Scene, config, progress
from bridge.admin.probe import read

if TYPE_CHECKING:
    from collections.abc import Callable

LOOK_SECONDS = 0.05
STALLED_SECONDS = 60.0
RULES = "rules"
HTTP = "http"


class Result(NamedTuple):
    """One run of one scene."""

    cpu_us: float  # of the bridge's process, user and system, per message
    per_second: float
    peak_mib: float


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description=__doc__)
    parser.add_argument(
        "--scene",
        action="append",
        choices=[*(scene.name for scene in SCENES), RULES, HTTP, latency.NAME, backlog.NAME, observed.NAME],
        help="only this one",
    )
    parser.add_argument("--messages", type=int, help="instead of each scene's own number")
    parser.add_argument("--runs", type=int, default=3, help="the median is shown (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="one JSON object per scene")
    parser.add_argument("--profile", type=Path, help="profile the bridge into this file")
    options = parser.parse_args()
    if not options.scene or RULES in options.scene:
        _play_rules(as_json=options.json)
    if not options.scene or HTTP in options.scene:
        _play_http(options.runs, as_json=options.json)
    if not options.scene or latency.NAME in options.scene:
        _play_latency(options.runs, as_json=options.json)
    if backlog.NAME in (options.scene or ()):
        _play_backlog(options)
    if observed.NAME in (options.scene or ()):
        _play_observed(options)
    chosen = [scene for scene in SCENES if not options.scene or scene.name in options.scene]
    if chosen and not options.json:
        print(f"{'scene':8} {'CPU µs/msg':>10} {'aim':>5} {'floor':>6} {'msg/s':>9} {'peak MiB':>8}  what")
    for source in ("kafka", "rabbitmq"):
        scenes = [scene for scene in chosen if scene.source == source]
        if scenes:
            with TemporaryDirectory(prefix="bench-") as folder, broker(source, Path(folder)) as address:
                for scene in scenes:
                    _play(scene, address, options)


def _play_rules(*, as_json: bool) -> None:
    """The section that needs no broker."""
    if not as_json:
        print(f"{RULES:10} {'CPU µs/msg':>10} {'aim':>6}  what")
    for measure in measures():
        if as_json:
            print(json.dumps({"scene": RULES, **measure._asdict()}), flush=True)
            continue
        aim = f"{measure.aim:6.2f}" if measure.aim else " " * 6
        print(f"{measure.name:10} {measure.us:10.2f} {aim}  {measure.what}", flush=True)
    if not as_json:
        print()


def _play_http(runs: int, *, as_json: bool) -> None:
    """What a request costs, without a broker."""
    if not as_json:
        print(f"{HTTP:6} {'wire':14} {'in flight':>9} {'CPU µs/POST':>11} {'p50 ms':>7} {'p99 ms':>7} {'POST/s':>7}")
    for measure in http.measures(runs):
        if as_json:
            print(json.dumps({"scene": HTTP, **measure._asdict()}), flush=True)
            continue
        kind, wire, flight, cpu_us, p50_ms, p99_ms, per_second = measure
        print(
            f"{kind:6} {wire:14} {flight:9} {cpu_us:11.0f} {p50_ms:7.2f} {p99_ms:7.2f} {per_second:7,.0f}", flush=True
        )
    if not as_json:
        print()


def _play_latency(runs: int, *, as_json: bool) -> None:
    """The scene of a low load."""
    with TemporaryDirectory(prefix="bench-") as folder, broker("kafka", Path(folder)) as address:
        latency.show(latency.play(address, Path(folder), runs), as_json=as_json)
    if not as_json:
        print()


def _play_backlog(options: argparse.Namespace) -> None:
    """The scene of a full outbox; ``--messages`` is how many entries are pending."""
    with TemporaryDirectory(prefix="bench-") as folder, broker("kafka", Path(folder)) as address:
        backlog.show(backlog.play(address, Path(folder), runs=options.runs, total=options.messages or 1_000_000,
                                  traffic=Traffic(150.0, 15.0)))  # fmt: skip


def _play_observed(options: argparse.Namespace) -> None:
    """The scene ``create`` with and without what observes it."""
    scene = next(scene for scene in SCENES if scene.name == "create")
    count, name = options.messages or scene.messages, f"bench-{uuid.uuid4().hex[:6]}"
    with TemporaryDirectory(prefix="bench-") as folder, broker("kafka", Path(folder)) as address:
        make_topic(address, name)
        fill_topic(address, name, count)

        def run(module: str, keep: str) -> float:
            return _run(scene, address, name, count, [module], {"ledger": {"keep": keep}}).cpu_us

        observed.show(observed.play(run, options.runs), as_json=options.json)


def _play(scene: Scene, address: str, options: argparse.Namespace) -> None:
    count = options.messages or scene.messages
    name = f"bench-{scene.name}-{uuid.uuid4().hex[:6]}"
    results = []
    if scene.source == "kafka":
        make_topic(address, name)
        fill_topic(address, name, count)
    for _ in range(options.runs):
        if scene.source == "rabbitmq":
            name = f"bench-{uuid.uuid4().hex[:6]}"
            asyncio.run(fill_queue(address, name, count))
        profiler = ["cProfile", "-o", str(options.profile), "-m"] if options.profile else []
        results.append(_run(scene, address, name, count, [*profiler, "bridge"]))
    if scene.source == "rabbitmq":
        name = f"bench-{uuid.uuid4().hex[:6]}"
        asyncio.run(fill_queue(address, name, count))
    floor = _floor(scene.source, address, name, count)
    median = Result(*(statistics.median(values) for values in zip(*results, strict=True)))
    _print(scene, median, floor, as_json=options.json)


def _print(scene: Scene, result: Result, floor: float, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"scene": scene.name, "aim_us": scene.aim, "floor_us": floor, **result._asdict()}), flush=True)
        return
    print(
        f"{scene.name:8} {result.cpu_us:10.1f} {scene.aim:5.0f} {floor:6.1f} {result.per_second:9,.0f}"
        f" {result.peak_mib:8.0f}  {scene.what}",
        flush=True,
    )


def _run(
    scene: Scene, address: str, name: str, count: int, module: list[str], more: dict[str, Any] | None = None
) -> Result:
    group = f"{name}-{uuid.uuid4().hex[:6]}"
    with TemporaryDirectory(prefix="bench-run-") as folder, stub() as stub_port:
        place = Place(Path(folder), address, name, stub_port, free_port())
        settings = config(scene, place) | (more or {})
        if scene.source == "kafka":
            settings["sources"]["in"]["group_id"] = group
        (place.folder / "bridge.json").write_text(json.dumps(settings))
        look = progress(scene, place, group)
        command = [sys.executable, "-m", *module, "run", "--config", str(place.folder / "bridge.json")]
        with (place.folder / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            return _measure(process, place, look, count)
        except RuntimeError as error:
            error.add_note((place.folder / "log").read_text()[-3000:])
            raise
        finally:
            process.terminate()
            process.wait(30)


def _measure(process: subprocess.Popen[bytes], place: Place, look: Callable[[], int], count: int) -> Result:
    """CPU from when the bridge is ready, before it has its first message, to when the last one is done."""
    while not read("127.0.0.1", place.health_port, "/readyz"):
        if process.poll() is not None:
            raise RuntimeError("the bridge did not start")
        time.sleep(0.002)
    started = cpu_seconds(process.pid)
    first = news = time.monotonic()
    done = 0
    while done < count:
        time.sleep(LOOK_SECONDS)
        seen, now = look(), time.monotonic()
        if process.poll() is not None or now - news > STALLED_SECONDS:
            raise RuntimeError(f"the bridge stopped at {seen} of {count} messages")
        if seen > done:
            first = first if done else now
            done, news = seen, now
    spent = cpu_seconds(process.pid) - started
    peak = status(process.pid, "VmHWM:") / 1024
    return Result(spent * 1e6 / count, count / (now - first + LOOK_SECONDS), peak)


def _floor(source: str, address: str, name: str, count: int) -> float:
    command = [sys.executable, "-m", "bench.floor", source, address, name, str(count)]
    return float(subprocess.check_output(command, text=True)) * 1e6 / count


main()
