"""The emulator survives its own kill, and its journal stays bounded in memory and whole on disk."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import httpx
import orjson
import pytest

from bridge.emulator.journal import Journal
from bridge.emulator.state import FILE, StateUnusable
from tests.emulator.driver import Clock, Driver

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SETTINGS: dict[str, Any] = {
    "workflows": {"w": {"behaviour": "waits: paid", "running_seconds": 10}, "*": "completes"},
    "quota": {"requests": 100},
    "creation": {},
    "faults": [{"do": "error", "probability": 0.3, "name": "some", "operation": "create"}],
}


def open_again(folder: Path, clock: Clock | None = None, **settings: Any) -> Driver:
    return Driver(clock, state_dir=folder, **{**SETTINGS, **settings})


def live(driver: Driver) -> None:
    """A bit of everything."""
    for number in range(20):
        driver.make(f"i-{number}")
        driver.wait(0.5)
    driver.batch("i-0", "b-1", "b-2")
    driver.send("POST", "x/instances", {"params": {"made": "up"}})
    driver.event("b-1", payload={"early": True})
    driver.send("POST", "/emulator/tokens", {"name": "person", "token": "p"})
    driver.send("GET", "w/instances", token="p")  # noqa: S106
    driver.send("GET", "w/instances", token="wrong")  # noqa: S106
    driver.send("POST", "/emulator/clock", {"seconds": 3600})
    driver.fault(do="lost", operation="event", count=5)
    driver.event("b-2")
    driver.change("b-1", "terminate")


def seen(driver: Driver) -> dict[str, Any]:
    """Everything that can be told apart from outside."""
    names = [f"i-{number}" for number in range(20)] + ["b-1", "b-2"]
    account, now_ms = driver.application.account, driver.application.now_ms()
    return {
        "summary": driver.application.summary(),
        "instances": {
            n: w.instances[n].details() for w in [account.workflow("w", now_ms)] for n in names if n in w.instances
        },
        "made_up": list(account.workflow("x", now_ms).instances),
        "journal": driver.send("GET", "/emulator/journal").result,
        "faults": driver.send("GET", "/emulator/faults").result,
    }


def shown(facts: dict[str, Any]) -> dict[str, Any]:
    return orjson.loads(orjson.dumps(facts))  # type: ignore[no-any-return]  # fragments compare as JSON


def test_a_restart_changes_nothing(tmp_path: Path) -> None:
    """Instances, used ids, kept events, quota, tokens, faults, clock and journal are as they were."""
    driver = open_again(tmp_path)
    live(driver)
    before = shown(seen(driver))
    lines = (tmp_path / "journal.jsonl").read_bytes()
    driver.application.close()
    again = open_again(tmp_path, driver.clock)
    assert shown(seen(again)) == before
    assert (tmp_path / "journal.jsonl").read_bytes() == lines
    assert [row["id"] for row in again.batch("b-1", "b-2", "fresh").result] == ["fresh"]
    assert len(again.records) == len(driver.records) + 1


@pytest.mark.parametrize("cut", [1, 20, 300])
def test_what_a_kill_left_half_written(tmp_path: Path, cut: int) -> None:
    """The end of the file that is no whole request is cut off; the rest is as it was, and goes on."""
    driver = open_again(tmp_path)
    live(driver)
    driver.application.close()
    log = tmp_path / FILE
    os.truncate(log, log.stat().st_size - cut)
    with (tmp_path / "journal.jsonl").open("ab") as journal:
        journal.write(b'{"number":')
    again = open_again(tmp_path, driver.clock)
    whole = len(again.records)
    assert 0 < len(driver.records) - whole <= 3
    again.make("after")
    again.application.close()
    third = open_again(tmp_path, driver.clock)
    assert len(third.records) == whole + 1
    lines = (tmp_path / "journal.jsonl").read_bytes().splitlines()
    assert [orjson.loads(line)["number"] for line in lines][: whole + 1] == list(range(1, whole + 2))


def test_time_does_not_go_back(tmp_path: Path) -> None:
    """A clock that runs fast, or was moved on, begins again where it was."""
    driver = open_again(tmp_path)
    driver.make("a", workflow="x")
    driver.wait(1000)
    driver.make("b", workflow="x")
    driver.send("POST", "/emulator/clock", {"seconds": 50})
    reached = driver.application.now_ms()
    driver.application.close()
    again = open_again(tmp_path)  # its clock shows the first moment again
    assert again.application.now_ms() == reached


def test_other_settings_are_refused(tmp_path: Path) -> None:
    """A life that was lived under other rules is not continued; where it listens and how fast it is does not matter."""
    open_again(tmp_path).application.close()
    open_again(tmp_path, port=9, speed=20, journal_records=7).application.close()
    with pytest.raises(StateUnusable, match=r'other settings: quota was \{"requests":100'):
        open_again(tmp_path, quota=None)


def test_one_folder_has_one_emulator(tmp_path: Path) -> None:
    """A second one on the same folder says so."""
    driver = open_again(tmp_path)
    with pytest.raises(StateUnusable, match="running"):
        open_again(tmp_path)
    driver.application.close()


def test_the_file_is_for_its_owner(tmp_path: Path) -> None:
    """What may hold a token is nobody else's."""
    open_again(tmp_path).application.close()
    assert (tmp_path / FILE).stat().st_mode & 0o077 == 0


def fill(journal: Journal, count: int) -> None:
    for _ in range(count):
        record = journal.begin(0, "GET", "/x")
        record.status = 200
        journal.add(record)


def test_old_records_leave_memory(tmp_path: Path) -> None:
    """So many are kept; the counts are of all; the file has all, and pages of it are the same as from memory."""
    journal = Journal(tmp_path / "journal.jsonl", 100, resume=False)
    fill(journal, 2_500)
    assert 100 <= len(journal.records) <= 113
    assert journal.summary()["answers"] == {"200/0": 2_500}
    numbers: list[int] = []
    while page := journal.page(numbers[-1] if numbers else 0, 700):
        numbers.extend(record["number"] for record in page)
    assert numbers == list(range(1, 2_501))
    journal.close()


def test_without_a_file_a_page_begins_with_what_is_there() -> None:
    """Records that are gone are not made up."""
    journal = Journal(None, 100, resume=False)
    fill(journal, 200)
    assert journal.page(0, 5)[0]["number"] == journal.records[0].number > 80
    assert journal.page(198, 5)[-1]["number"] == 200
    assert journal.page(200, 5) == []


def test_a_journal_file_is_appended_to(tmp_path: Path) -> None:
    """Without a state, a file of earlier runs keeps what it has, and pages are of this run alone."""
    path = tmp_path / "journal.jsonl"
    first = Journal(path, 10, resume=False)
    fill(first, 30)
    first.close()
    second = Journal(path, 10, resume=False)
    fill(second, 40)
    assert [record["number"] for record in second.page(0, 3)] == [1, 2, 3]
    assert len(path.read_bytes().splitlines()) == 70
    second.close()


def test_a_killed_emulator_goes_on(tmp_path: Path, start: Callable[..., tuple[Any, dict[str, str]]]) -> None:
    """SIGKILL, and the same command again: the id is still used, the event is still there, the quota still counted."""
    arguments = ("--workflow", "w=waits:paid", "--state", str(tmp_path / "state"), "--quota", "10/300s")

    def client(values: dict[str, str]) -> httpx.Client:
        base = f"{values['base_url']}/accounts/{values['account_id']}/workflows/w/"
        return httpx.Client(base_url=base, headers={"authorization": "Bearer emulator-token"}, trust_env=False)

    process, values = start(*arguments)
    with client(values) as http:
        assert http.post("instances", json={"instance_id": "a"}).status_code == 200
        assert http.patch("instances/a/status", json={"status": "pause"}).status_code == 200
        assert http.post("instances/a/events/paid", json={"n": 1}).status_code == 200
    process.send_signal(signal.SIGKILL)
    process.wait()
    process, values = start(*arguments)
    with client(values) as http:
        used = http.post("instances", json={"instance_id": "a"})
        assert (used.status_code, used.json()["errors"][0]["code"]) == (400, 10405)
        assert used.headers["ratelimit"].startswith('"default";r=6;')
        http.patch("instances/a/status", json={"status": "resume"})
        assert http.get("instances/a").json()["result"]["output"] == '{"n":1}'
        journal = httpx.get(
            values["base_url"].removesuffix("/client/v4") + "/emulator/journal",
            headers={"authorization": "Bearer emulator-token"},
            trust_env=False,
        )
        assert [record["operation"] for record in journal.json()["records"]] == [
            "create",
            "status",
            "event",
            "create",
            "status",
            "get",
        ]
