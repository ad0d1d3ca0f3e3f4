"""What the emulator was asked and what it answered, request by request: what demos and tests compare with."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Sequence
    from io import FileIO
    from pathlib import Path


@dataclass(slots=True)
class Record:
    """One request. Filled while it is carried out."""

    number: int  # from 1, in order of arrival
    time_ms: int  # Unix epoch, when the request had arrived in full
    method: str
    path: str
    operation: str = ""  # list, get, create, batch, event, status; "" for what is none of them
    workflow: str = ""
    offered: list[str | None] = field(default_factory=list)  # instance ids in the request; None: to be made up
    created: list[str] = field(default_factory=list)  # instance ids that are new
    event_type: str = ""
    payload: Any = None  # of an event
    change: str = ""  # the status that was asked for
    status: int = 0  # HTTP
    code: int = 0  # of the error; 0: success
    token: str = ""  # the name of the token; "" when it is nobody's
    limit: str = ""  # what refused it: quota (and began a block), block, creation


class Journal:
    """All records, in memory and, if wanted, in a file that is complete after every request."""

    def __init__(self, path: Path | None = None) -> None:
        self.records: list[Record] = []
        self._file: FileIO | None = None if path is None else path.open("ab", buffering=0)

    def begin(self, time_ms: int, method: str, path: str) -> Record:
        """A record for a request that has just arrived."""
        record = Record(len(self.records) + 1, time_ms, method, path)
        self.records.append(record)
        return record

    def end(self, record: Record) -> None:
        """The request is answered."""
        if self._file is not None:
            self._file.write(orjson.dumps(asdict(record)) + b"\n")

    def page(self, after: int, limit: int) -> Sequence[Record]:
        """Records with ``number > after``, at most ``limit``."""
        return self.records[after : after + limit]

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def summary(self) -> dict[str, Any]:
        """Counts over everything so far.

        requests: by operation. answers: by HTTP status and code. limits: what refused requests, "quota" is the number
        of blocks that began. workflows: per name what was created, how often an
        id was offered that was used already, and how many events were accepted.
        """
        requests = Counter(record.operation for record in self.records)
        answers = Counter(f"{record.status}/{record.code}" for record in self.records)
        workflows: dict[str, Counter[str]] = {}
        for record in self.records:
            if record.workflow:
                workflows.setdefault(record.workflow, Counter()).update(_counts(record))
        limits = Counter(record.limit for record in self.records if record.limit)
        return {
            "total": len(self.records),
            "limits": dict(limits),
            "requests": dict(requests),
            "answers": dict(answers),
            "workflows": {name: dict(counts) for name, counts in workflows.items()},
        }


def _counts(record: Record) -> dict[str, int]:
    accepted = record.status == 200  # noqa: PLR2004  HTTP's own number
    creates = record.operation in {"create", "batch"}
    return {
        "created": len(record.created),
        "offered": len(record.offered) if creates else 0,
        "events": int(accepted and record.operation == "event"),
        "changes": int(accepted and record.operation == "status"),
    }
