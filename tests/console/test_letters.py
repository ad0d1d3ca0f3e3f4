from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import httpx
import orjson
import pytest

from bridge.console.letters_moved import exported
from bridge.dead_letters.exchange import decode
from bridge.message import Message
from bridge.outbox.admin import SqliteOutboxAdmin
from bridge.outbox.base import DeadLetter, StoredDeadLetter
from bridge.outbox.overview import EVERY, DeadLetterFilter
from bridge.redaction import MASK
from tests.console.scene import ORDERS, SECONDS, Scene

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

SECRET = "someone@example.com"  # noqa: S105  what is redacted


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A bridge whose dead letters are worked on; what is of a customer is redacted."""
    with Scene(tmp_path_factory.mktemp("letters"), redact=["customer.email"]) as scene:
        yield scene


def dead(scene: Scene, **more: Any) -> int:
    """The number of a new dead letter: of an order that no rule matches."""
    before = {letter["number"] for letter in scene.get("/dead-letters")["letters"]}
    scene.produce(ORDERS, {"type": "order.created", "total": 0, **more})
    seen = scene.until("/dead-letters", lambda seen: bool({each["number"] for each in seen["letters"]} - before))
    (number,) = {each["number"] for each in seen["letters"]} - before
    return int(number)


def post(scene: Scene, path: str, body: object) -> httpx.Response:
    return httpx.post(f"{scene.url}/api/v1/dead-letters{path}", json=body, trust_env=False, timeout=SECONDS)


def outcome(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    (done,) = answer.json()["done"]
    return str(done["outcome"])


def test_letters_are_listed_newest_first_and_found(worked: Scene) -> None:
    """By reason, by rule, by source, by a text in the message; page by page."""
    numbers = [dead(worked, order_id=f"find-{n}") for n in range(3)]
    listed = worked.get("/dead-letters?limit=2")
    assert [letter["number"] for letter in listed["letters"]] == numbers[:0:-1]
    assert worked.get(f"/dead-letters?limit=2&before={listed['next']}")["letters"][0]["number"] == numbers[0]
    found = worked.get("/dead-letters?text=find-1&reason=unmatched&source=orders&rule=")
    assert [letter["number"] for letter in found["letters"]] == [numbers[1]]
    assert worked.get("/dead-letters?reason=nothing")["letters"] == []
    (kind,) = worked.get("/dead-letters/kinds")["kinds"]
    assert (kind["reason"], kind["source"], kind["count"]) == ("unmatched", "orders", len(numbers))


def test_an_edit_keeps_what_its_author_was_not_shown(worked: Scene) -> None:
    """The message is corrected beside the redacted address, redriven, and its instance has the address."""
    number = dead(worked, order_id="edited", customer={"email": SECRET})
    shown = worked.get(f"/dead-letters/{number}")
    text = shown["letter"]["message"]["body"]["text"]
    assert shown["redacted"]
    assert SECRET not in str(shown)
    changed = text.replace('"total":0', '"total":5')
    assert outcome(post(worked, f"/{number}/edit", {"edited": {"message": {"body": {"text": changed}}}})) == "edited"
    assert outcome(post(worked, "/redrive", {"numbers": [number]})) == "redriven"
    deadline = time.monotonic() + SECONDS
    while (instance := worked.emulator.instance("fulfil-order", "order-edited")) is None:
        assert time.monotonic() < deadline
    assert instance.params == {"type": "order.created", "total": 5, "order_id": "edited", "customer": {"email": SECRET}}


def test_a_mask_is_never_stored(worked: Scene) -> None:
    """One that stands where nothing was redacted would destroy what is there."""
    number = dead(worked, order_id="masked")
    body = {"text": f'{{"order_id": "{MASK}"}}'}
    answer = post(worked, f"/{number}/edit", {"edited": {"message": {"body": body}}})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "redacted")


def test_what_is_not_there_or_cannot_be_done_is_told_so(worked: Scene) -> None:
    """And nothing is done."""
    number = dead(worked, order_id="stays")
    assert outcome(post(worked, "/redrive", {"numbers": [number], "how": "call"})) == "refused"
    assert outcome(post(worked, f"/{number}/release", {})) == "refused"
    assert outcome(post(worked, "/discard", {"numbers": [999_999]})) == "gone"
    wrong = post(worked, f"/{number}/edit", {"edited": {"message": {"bodi": 1}}})
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (422, "refused")
    for path in (f"/{number}0000", "/x", "/-1"):
        answer = httpx.get(f"{worked.url}/api/v1/dead-letters{path}", trust_env=False)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "no_such_letter")
    assert worked.get(f"/dead-letters/{number}")["letter"]["number"] == number


def test_a_discarded_letter_is_gone_and_it_is_noted_who_did_it(worked: Scene) -> None:
    """In the log, and in the outbox."""
    number = dead(worked, order_id="gone")
    assert outcome(post(worked, "/discard", {"numbers": [number]})) == "discarded"
    assert worked.get(f"/dead-letters?before={number + 1}&limit=1")["letters"][0]["number"] != number
    with closing(sqlite3.connect(f"file:{worked.bridge.outbox}?mode=ro", uri=True)) as database:
        rows = database.execute("SELECT who, what, subject FROM audit ORDER BY number DESC LIMIT 1").fetchall()
    assert rows == [("admin API, from 127.0.0.1", "discard", f"dead letter {number}")]
    assert "operator_acted" in {event["event"] for event in worked.bridge.events()}


def test_what_is_exported_is_imported_to_the_byte(scene: Scene) -> None:
    """Portion by portion, under other numbers; a dry run keeps nothing."""
    before = scene.get("/dead-letters/export?source=orders")
    assert len(before["lines"]) == scene.get("/overview")["backlog"]["dead_letters"]
    assert before["next"] is None
    looked = post(scene, "/import", {"lines": before["lines"], "dry_run": True}).json()
    assert looked["imported"] == sum(kind["count"] for kind in looked["kinds"]) == len(before["lines"])
    assert scene.get("/dead-letters/export")["lines"] == before["lines"]
    assert post(scene, "/import", {"lines": before["lines"]}).json() == looked
    last = decode(before["lines"][-1].encode())
    number = orjson.loads(before["lines"][-1])["number"]
    after = [line.encode() for line in scene.get(f"/dead-letters/export?after={number}")["lines"]]
    assert [decode(line) for line in after] == [decode(line.encode()) for line in before["lines"]]
    assert decode(after[-1]) == last
    assert scene.get("/deeds")["deeds"][0]["what"] == "import"
    numbers = [orjson.loads(line)["number"] for line in after]
    assert {one["outcome"] for one in post(scene, "/discard", {"numbers": numbers}).json()["done"]} == {"discarded"}


def test_an_export_comes_in_portions(tmp_path: Path) -> None:
    """None is larger than the page can be asked to hold at once, and none of the letters is met twice."""
    message = Message("orders", "a", "shop.orders", None, (), b"x" * 400_000, None, {})
    found = [StoredDeadLetter(n, DeadLetter(message, "undecodable", "no JSON")) for n in range(1, 51)]

    class Kept(SqliteOutboxAdmin):
        def dead_letters(
            self, after: int = 0, limit: int = 100, chosen: DeadLetterFilter = EVERY
        ) -> list[StoredDeadLetter]:
            assert chosen is EVERY
            return [stored for stored in found if stored.number > after][:limit]

    sizes, after = [], 0
    while after is not None:
        portion = exported(Kept(tmp_path), after, EVERY)
        sizes.append(len(portion.lines))
        after = portion.next  # type: ignore[assignment]  # None ends it
    assert sizes == [20, 20, 10]


def test_one_wrong_line_keeps_all_of_them_out(scene: Scene) -> None:
    """It is named by its number in the file."""
    (line, *_) = scene.get("/dead-letters/export")["lines"]
    before = scene.get("/overview")["backlog"]["dead_letters"]
    answer = post(scene, "/import", {"lines": [line, '{"reason": "x"}'], "first_line": 10})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "bad_line")
    assert answer.json()["error"]["problem"].startswith("Line 11: ")
    assert scene.get("/overview")["backlog"]["dead_letters"] == before


def test_nothing_is_exported_where_something_is_redacted(worked: Scene) -> None:
    """An export has everything, and redact says that some of it is not for this page."""
    answer = httpx.get(f"{worked.url}/api/v1/dead-letters/export", trust_env=False)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "redacted")
    assert "dead-letters export" in answer.json()["error"]["advice"]


def test_a_memory_outbox_says_where_its_letters_are(tmp_path_factory: pytest.TempPathFactory) -> None:
    """It keeps none."""
    memory: dict[str, Any] = {"outbox": {"type": "memory"}, "dead_letters": "discard"}
    with Scene(tmp_path_factory.mktemp("memory"), **memory) as scene:
        answer = httpx.get(f"{scene.url}/api/v1/dead-letters", trust_env=False)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "no_letters")
        assert scene.get("/overview")["backlog"]["type"] == "memory"
