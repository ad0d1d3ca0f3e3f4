"""The SQLite outbox under kill -9 and on a full disk."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from bridge.cli import app
from bridge.errors import OutboxDamaged, OutboxError
from bridge.outbox import looking
from bridge.outbox.base import Settlement, Verdict
from bridge.outbox.file import connect
from bridge.outbox.migrating import copy_of
from bridge.outbox.settings import SqliteSettings
from bridge.outbox.sqlite import SqliteOutbox
from bridge.outbox.state import State
from bridge.outbox.store import Store
from tests.outbox import older, storm
from tests.outbox.subjects import ORDERS, START_MS, Clock, call, create, ids, intake_of, message, soon
from tests.services.presence import missing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ROOT = Path(__file__).parents[2]
ROUNDS = 12


class Told:
    """What the killed processes had been promised, over all rounds."""

    def __init__(self) -> None:
        self.batches = 0  # stored for certain
        self.delivered: Counter[int] = Counter()
        self.dead: Counter[int] = Counter()

    def take(self, line: str) -> None:
        kind, number = line.split()
        if kind == "stored":
            self.batches = max(self.batches, int(number) + 1)
        else:
            (self.delivered if kind == "delivered" else self.dead)[int(number)] += 1


@pytest.mark.slow
async def test_kill_9_loses_nothing_that_was_promised(tmp_path: Path) -> None:
    """At seeded points in mid-load: receipts hold, positions fit the entries, verdicts are neither lost nor undone."""
    path, told, rng = tmp_path / "outbox.db", Told(), random.Random(20)
    for round_number in range(ROUNDS):
        await storm_until_killed(path, told, lines=rng.randrange(20, 400), seed=round_number)
        await check(path, told)
    assert told.batches > ROUNDS
    assert len(told.delivered) > 10 * ROUNDS
    assert len(told.dead) > ROUNDS


async def storm_until_killed(path: Path, told: Told, *, lines: int, seed: int) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.outbox.storm", str(path), str(seed), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    for _ in range(lines):
        told.take((await soon(process.stdout.readline())).decode())
    process.kill()
    rest = await soon(process.stdout.read())
    for line in rest.decode().splitlines(keepends=True):
        if line.endswith("\n"):
            told.take(line)
    assert await soon(process.wait()) == -9


async def check(path: Path, told: Told) -> None:
    """Each message up to the stored position is exactly one of: pending, later, dead, delivered."""
    outbox = SqliteOutbox(SqliteSettings(path=path), clock=lambda: START_MS)
    await outbox.open()
    stored = (await outbox.stored("orders", ["t/0"]))["t/0"]
    depth = outbox.depth()
    await outbox.close()
    waiting = numbers(path, "SELECT message_id FROM entries UNION ALL SELECT message_id FROM later")
    dead = numbers(path, "SELECT message_id FROM dead_letters")
    last = -1 if stored.last is None else stored.last.offset
    assert last + 1 >= told.batches * storm.BATCH, "a receipt resolved for what is not there"
    assert (last + 1) % storm.BATCH == 0, "half a batch"
    assert max(waiting.values(), default=1) == 1, "stored twice"
    assert max(dead.values(), default=1) == 1, "died twice"
    assert not waiting.keys() & (told.delivered.keys() | told.dead.keys()), "a verdict was undone"
    assert told.dead.keys() <= dead.keys(), "a dead letter was lost"
    assert not waiting.keys() & dead.keys()
    assert all(number <= last for number in [*waiting, *dead]), "an entry without its position"
    gone = last + 1 - len(waiting) - len(dead)
    assert gone >= len(told.delivered), "a delivered one is still there"
    assert depth.ready + depth.later == len(waiting)
    assert depth.dead == len(dead)


def numbers(path: Path, query: str) -> Counter[int]:
    from tests.outbox.test_sqlite import rows  # noqa: PLC0415

    return Counter(int(str(message_id).rpartition("/")[2]) for (message_id,) in rows(path, query))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(command, check=False, capture_output=True).returncode:
        missing("a mount of a small tmpfs (root)")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


async def test_a_full_disk_is_waited_out(small_disk: Path) -> None:
    """Nothing fails, nothing is reordered: once there is room again the same batches are stored."""
    ballast = small_disk / "ballast"
    outbox = SqliteOutbox(SqliteSettings(path=small_disk / "outbox.db", queued_entries=5), clock=Clock())
    await outbox.open()
    await soon((await outbox.add(intake_of(create(0, "first")))).wait())
    fill(ballast)
    receipts = []
    adding = None
    for number in range(1, 100):
        adding = asyncio.ensure_future(outbox.add(intake_of((message(number), call(f"i{number}", body=b"x" * 20_000)))))
        done, _ = await asyncio.wait([adding], timeout=0.3)
        if not done:
            break  # intake is held back
        receipts.append(await adding)
    assert adding is not None
    assert not adding.done()
    waiting = asyncio.gather(*(receipt.wait() for receipt in receipts))
    assert not await _ends(waiting)
    ballast.unlink()
    await soon(waiting)
    await soon((await soon(adding)).wait())
    assert ids(await outbox.pending(ORDERS, 0, 100)) == [str(n) for n in range(len(receipts) + 2)]
    await outbox.close()


async def test_a_full_disk_at_the_end_does_not_hang(small_disk: Path) -> None:
    """``close`` returns; the receipt of what could not be written raises."""
    outbox = SqliteOutbox(SqliteSettings(path=small_disk / "outbox.db"), clock=Clock())
    await outbox.open()
    fill(small_disk / "ballast")
    receipt = await outbox.add(intake_of(create(0, "first", body=b"x" * 100_000)))
    await soon(outbox.close())
    with pytest.raises(Exception, match="could not be written"):
        await soon(receipt.wait())


def test_an_older_file_on_a_full_disk_is_left_as_it_is(small_disk: Path, tmp_path: Path) -> None:
    """No room for the copy: the error says so, nothing half made stays, and with room it is migrated."""
    today, path = tmp_path / "today.db", small_disk / "outbox.db"
    connect(today).close()
    older.make(path, "2", today)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO notes VALUES ('big', ?)", ("x" * 300_000,))
        connection.commit()
    fill(small_disk / "ballast")
    with (small_disk / "ballast").open("r+b") as ballast:
        ballast.truncate((small_disk / "ballast").stat().st_size - 150_000)  # for SQLite's own files
    with pytest.raises(OutboxError, match=r"could not be migrated from schema 2 to \d+: .*full.*some 1 MiB; make room"):
        connect(path)
    assert not list(small_disk.glob("*.backup*"))
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT value FROM notes, pragma_user_version WHERE user_version = 2").fetchall()
    (small_disk / "ballast").unlink()
    connect(path).close()
    assert copy_of(path, 2).stat().st_size > 300_000


async def _ends(waiting: asyncio.Future[list[None]]) -> bool:
    done, _ = await asyncio.wait([waiting], timeout=0.3)
    return bool(done)


def fill(ballast: Path) -> None:
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            pass


@pytest.mark.parametrize("owner", [Store, State], ids=["commit", "snapshot"])
async def test_a_disk_that_fails_now_and_then_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: type[Any]
) -> None:
    """Every third transaction fails once, at its commit or where its counts are read: it is written again, once."""
    outbox = SqliteOutbox(SqliteSettings(path=tmp_path / "outbox.db"), clock=Clock())
    await outbox.open()
    name, count = ("commit" if owner is Store else "snapshot"), 0
    step = getattr(owner, name)

    def sometimes(*args: Any, **more: Any) -> Any:
        nonlocal count
        count += 1
        if count % 3 == 0:
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR
            raise error
        return step(*args, **more)

    monkeypatch.setattr(owner, name, sometimes)
    for number in range(12):
        await soon((await outbox.add(intake_of(create(number, f"i{number % 2}")))).wait())
        if number == 5:
            first = (await outbox.pending(ORDERS, 0, 1))[0]
            await soon(outbox.settle([Settlement(first, Verdict.RETRY, at_ms=START_MS)]))
    assert count > 12
    assert ids(await outbox.pending(ORDERS, 0, 100)) == [str(n) for n in range(1, 12, 2)]
    assert outbox.depth()[:2] == (6, 6)
    await outbox.close()


async def filled(path: Path) -> Path:
    """A closed outbox with a few hundred entries."""
    outbox = SqliteOutbox(SqliteSettings(path=path), clock=Clock())
    await outbox.open()
    receipt = await outbox.add(intake_of(*(create(n, f"i{n}", body=b"x" * 500) for n in range(300))))
    await soon(receipt.wait())
    await outbox.close()
    return path


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes(byte ^ 0xFF for byte in content[at : at + 64]) + content[at + 64 :]


DAMAGES: Mapping[str, Callable[[bytes], bytes]] = {
    "not SQLite": lambda _: b"not a database, but a note to self\n" * 300,
    "bytes of the header": lambda content: flipped(content, 0),
    "bytes of the schema": lambda content: flipped(content, 100),
    "bytes of a table's page": lambda content: flipped(content, len(content) // 2 // 4096 * 4096),
    "cut in the middle": lambda content: content[: len(content) // 2],
    "cut within a page": lambda content: content[: len(content) // 2 // 4096 * 4096 + 1000],
}


@pytest.mark.parametrize("what", DAMAGES)
async def test_a_damaged_file_is_found_at_the_start_and_by_the_check(tmp_path: Path, what: str) -> None:
    """The start says what to do; the file is left as it is. The command says the same, and exits 1."""
    path = tmp_path / "outbox.db"
    content = DAMAGES[what]((await filled(path)).read_bytes())
    path.write_bytes(content)
    outbox = SqliteOutbox(SqliteSettings(path=path), clock=Clock())
    with pytest.raises(OutboxDamaged, match=r"damaged.*recover"):
        await outbox.open()
    assert path.read_bytes() == content
    result = CliRunner().invoke(app, ["outbox", "check", "--outbox", str(path)])
    assert (result.exit_code, ".recover" in result.stderr) == (1, True)
    assert path.read_bytes() == content


async def test_a_damaged_log_never_gives_half_a_transaction(tmp_path: Path) -> None:
    """SQLite's log is read up to the first frame whose checksum is wrong: what is there is whole, and in order."""
    path = tmp_path / "outbox.db"
    outbox = SqliteOutbox(SqliteSettings(path=path), clock=Clock())
    await outbox.open()
    for number in range(20):
        await soon((await outbox.add(intake_of(create(number, f"i{number}")))).wait())
    log = path.with_name(path.name + "-wal")
    copy = tmp_path / "copy.db"
    copy.write_bytes(path.read_bytes())
    content = log.read_bytes()
    copy.with_name("copy.db-wal").write_bytes(flipped(content, len(content) // 2))
    await outbox.close()
    again = SqliteOutbox(SqliteSettings(path=copy), clock=Clock())
    await again.open()
    found = ids(await again.pending(ORDERS, 0, 100))
    await again.close()
    assert 0 < len(found) < 20
    assert found == [str(number) for number in range(len(found))]


async def test_a_look_at_a_large_file_ends_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is broken off, and the outbox opens; nothing that follows is interrupted."""
    path = tmp_path / "outbox.db"
    await filled(path)
    monkeypatch.setattr(looking, "LOOK_SECONDS", 0.0)
    for _ in range(20):
        outbox = SqliteOutbox(SqliteSettings(path=path), clock=Clock())
        await outbox.open()
        assert outbox.depth().ready == 300
        await outbox.close()


async def test_the_check_of_a_whole_file(tmp_path: Path) -> None:
    """Exit 0, also beside the process that owns it; 2 where there is no file."""
    path = tmp_path / "outbox.db"
    await filled(path)
    outbox = SqliteOutbox(SqliteSettings(path=path), clock=Clock())
    await outbox.open()
    arguments = ["outbox", "check", "--json", "--outbox"]
    result = CliRunner().invoke(app, [*arguments, str(path)])
    assert json.loads(result.stdout) == {"path": str(path), "damaged": False, "faults": []}
    assert result.exit_code == 0
    await outbox.close()
    result = CliRunner().invoke(app, [*arguments, str(tmp_path / "none.db")])
    assert (result.exit_code, "there is no outbox file" in result.stderr) == (2, True)
