"""What the emulator was asked and what it answered, request by request: what demos and tests compare with."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from bridge.emulator.journal_file import JournalFile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(slots=True)
class Record:
    """One request. Filled while it is carried out."""

    number: int  # from 1, in order of arrival
    time_ms: int  # Unix epoch, when the request had arrived in full
    method: str
    path: str
    operation: str = ""  # list, get, create, batch, event, status, delete, step; "" for what is none of them
    workflow: str = ""
    offered: list[str | None] = field(default_factory=list)  # instance ids in the request; None: to be made up
    created: list[str] = field(default_factory=list)  # instance ids that are new
    event_type: str = ""
    payload: Any = None  # of an event
    change: str = ""  # the status that was asked for
    status: int = 0  # HTTP; also of an answer that a fault kept from being sent
    code: int = 0  # of the error; 0: success
    token: str = ""  # the name of the token; "" when it is nobody's
    limit: str = ""  # what refused it: quota (and began a block), block, creation
    fault: str = ""  # what was made to go wrong: names, joined by "+"
    worked: bool = False  # whether it came to the account, which may have refused it
    answered: bool = True  # False: a fault kept the answer from being sent


class Journal:
    """The newest records in memory; all of them in a file, if wanted, which is complete after every request."""

    def __init__(self, path: Path | None, keep: int, *, resume: bool) -> None:
        """keep: records in memory. resume: the file's own records are about to be added again, see ``add``."""
        self.records: list[Record] = []
        self.total = 0
        self._keep = keep
        self._counts = _Counts()
        self._file = None if path is None else JournalFile(path, resume=resume)

    def begin(self, time_ms: int, method: str, path: str) -> Record:
        """A record for a request that has just arrived."""
        self.total += 1
        return Record(self.total, time_ms, method, path)

    def add(self, record: Record) -> None:
        """The request is answered. What a file that is resumed has already is not written again."""
        self.records.append(record)
        self._counts.add(record)
        if len(self.records) > self._keep + self._keep // 8:
            del self.records[: -self._keep]
        if self._file is not None:
            self._file.add(record.number, record)

    def page(self, after: int, limit: int) -> Sequence[dict[str, Any]]:
        """Records with ``number > after``, at most ``limit``; those that are gone from memory, from the file.

        Without a file a page that begins with those begins with the oldest that is there.
        """
        first = self.records[0].number if self.records else self.total + 1
        if after + 1 < first and self._file is not None:
            return self._file.page(after, min(limit, first - 1 - after))
        start = max(0, after + 1 - first)
        return [asdict(record) for record in self.records[start : start + limit]]

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def summary(self) -> dict[str, Any]:
        """Counts over everything so far.

        requests: by operation. answers: by HTTP status and code. limits: what refused requests, "quota" is the number
        of blocks that began. faults: how many requests each hit. workflows: per name what was created, how often an id
        was offered that was used already, and how many events were accepted.
        """
        return {"total": self.total, **self._counts.state()}


class _Counts:
    """Sums over records, so that none has to be kept for them."""

    def __init__(self) -> None:
        self._by: dict[str, Counter[str]] = {name: Counter() for name in ("requests", "answers", "limits", "faults")}
        self._workflows: dict[str, Counter[str]] = {}

    def add(self, record: Record) -> None:
        self._by["requests"][record.operation] += 1
        self._by["answers"][f"{record.status}/{record.code}"] += 1
        if record.limit:
            self._by["limits"][record.limit] += 1
        if record.fault:
            self._by["faults"].update(record.fault.split("+"))
        if record.workflow:
            counts = self._workflows.setdefault(record.workflow, Counter())
            for name, count in _counts(record).items():
                counts[name] += count

    def state(self) -> dict[str, Any]:
        by = {name: dict(counts) for name, counts in self._by.items()}
        return by | {"workflows": {name: dict(counts) for name, counts in self._workflows.items()}}


def _counts(record: Record) -> dict[str, int]:
    accepted = record.status == 200 and record.worked  # noqa: PLR2004  HTTP's own number
    creates = record.operation in {"create", "batch"}
    return {
        "created": len(record.created),
        "offered": len(record.offered) if creates else 0,
        "events": int(accepted and record.operation == "event"),
        "changes": int(accepted and record.operation == "status"),
    }
