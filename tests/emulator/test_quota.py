"""The emulator's quota of requests, its creation rates and its clock: counted exactly, shown as production shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.emulator.quota import CreationRates, CreationSettings, Quota, QuotaSettings
from bridge.emulator.server import Emulator, fast_clock
from bridge.emulator.settings import EmulatorSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

START_MS = 1_795_000_000_000
SMALL = {"requests": 3, "window_seconds": 60, "block_seconds": 300}


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.ms = START_MS

    def __call__(self) -> int:
        return self.ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def open_emulator(clock: Clock) -> AsyncIterator[Callable[..., Any]]:
    opened: list[Any] = []

    async def open_emulator(**settings: Any) -> tuple[Emulator, httpx.AsyncClient]:
        emulator = Emulator(EmulatorSettings.model_validate(settings), clock=clock)
        await emulator.__aenter__()
        base = f"{emulator.base_url}/accounts/{emulator.account_id}/workflows/"
        headers = {"authorization": f"Bearer {emulator.token}"}
        client = httpx.AsyncClient(base_url=base, headers=headers, trust_env=False)
        opened.extend((client, emulator))
        return emulator, client

    yield open_emulator
    for one in opened:
        await one.__aexit__()


def told(answer: httpx.Response) -> tuple[int, str, str | None]:
    return answer.status_code, answer.headers["ratelimit"], answer.headers.get("retry-after")


async def test_the_headers_of_every_answer(open_emulator: Callable[..., Any], clock: Clock) -> None:
    """What remains and when it resets, on success and refusal alike; one request too many blocks for five minutes."""
    emulator, http = await open_emulator(quota=SMALL)
    answer = await http.get("w/instances")
    assert told(answer) == (200, '"default";r=2;t=60', None)
    assert answer.headers["ratelimit-policy"] == '"default";q=3;w=60'
    clock.ms += 1_500
    assert told(await http.get("w/instances/none")) == (404, '"default";r=1;t=59', None)
    assert told(await http.get("w/instances")) == (200, '"default";r=0;t=59', None)
    clock.ms += 1_000
    refused = await http.get("w/instances")
    assert told(refused) == (429, '"default";r=0;t=300', "300")
    assert refused.json()["errors"][0]["code"] == 10429
    clock.ms += 299_001
    assert told(await http.get("w/instances")) == (429, '"default";r=0;t=1', "1")
    clock.ms += 999
    assert told(await http.get("w/instances")) == (200, '"default";r=2;t=60', None)
    assert [record.limit for record in emulator.journal.records] == ["", "", "", "quota", "block", ""]
    assert emulator.journal.summary()["limits"] == {"quota": 1, "block": 1}


async def test_a_token_has_its_own_quota(open_emulator: Callable[..., Any]) -> None:
    """One that is blocked blocks nobody else; who has no token costs nobody's quota."""
    emulator, http = await open_emulator(quota=SMALL | {"requests": 1, "code": 971}, more_tokens={"person": "p"})
    person = {"authorization": "Bearer p"}
    assert "ratelimit" not in (await http.get("w/instances", headers={"authorization": "Bearer x"})).headers
    statuses = [(await http.get("w/instances", headers=headers)).status_code for headers in (None, None, person, None)]
    assert statuses == [200, 429, 200, 429]
    assert [record.token for record in emulator.journal.records] == ["", "main", "main", "person", "main"]
    assert emulator.journal.records[-1].code == 971
    state = emulator.application.summary()["tokens"]
    assert state["main"] == {
        "revoked": False,
        "blocks": 1,
        "quota": {"remaining": 0, "reset_seconds": 300, "blocked": True},
    }
    assert state["person"]["blocks"] == 0


async def test_without_a_quota_no_headers(open_emulator: Callable[..., Any]) -> None:
    """In a test's own process the quota is off unless it is asked for, and then nothing pretends to be one."""
    _, http = await open_emulator()
    headers = (await http.get("w/instances")).headers
    assert not {"ratelimit", "ratelimit-policy", "retry-after"} & set(headers)


async def test_tokens_come_and_go(open_emulator: Callable[..., Any]) -> None:
    """A token is revoked, restored, replaced and added from outside, which costs no quota and shows no token."""
    emulator, http = await open_emulator(quota=SMALL)
    tokens = emulator.base_url.removesuffix("/client/v4") + "/emulator/tokens"

    async def get(token: str = emulator.token) -> object:
        return (await http.get("w/instances", headers={"authorization": f"Bearer {token}"})).status_code

    assert (await http.post(tokens, json={"name": "main", "revoked": True})).json()["main"]["revoked"] is True
    assert await get() == 403
    assert (await http.get(tokens)).json()["main"]["quota"]["remaining"] == 3
    await http.post(tokens, json={"name": "main", "revoked": False})
    assert await get() == 200
    assert "secret-2" not in (await http.post(tokens, json={"name": "person", "token": "secret-2"})).text
    assert await get("secret-2") == 200
    assert (await http.post(tokens, json={"name": "nobody"})).status_code == 400
    await http.post(tokens, json={"name": "main", "token": "fresh"})
    assert (await get(), await get("fresh")) == (403, 200)


async def test_creation_rates(open_emulator: Callable[..., Any], clock: Clock) -> None:
    """100 a second of a workflow, 300 in all; refused as a whole, and a restart counts like a create."""
    emulator, http = await open_emulator(creation={})

    async def batch(workflow: str, count: int = 100) -> object:
        body: list[dict[str, Any]] = [{"params": {}} for _ in range(count)]
        return (await http.post(f"{workflow}/instances/batch", json=body)).status_code

    assert [await batch(name) for name in ("a", "a", "b", "c", "d")] == [200, 429, 200, 200, 429]
    refused = await http.post("a/instances", json={})
    assert (refused.headers["retry-after"], refused.json()["errors"][0]["code"]) == ("1", 10429)
    clock.ms += 990
    assert await batch("a") == 429
    clock.ms += 10
    assert await batch("a") == 200
    clock.ms += 10
    made = emulator.journal.records[0].created[0]
    restart = f"a/instances/{made}/status"
    assert [(await http.patch(restart, json={"status": "restart"})).status_code for _ in range(2)] == [200, 429]
    summary = emulator.application.summary()
    assert summary["limits"] == {"creation": 5}
    assert sum(counts["instances"] for counts in summary["workflows"].values()) == 400


@given(st.lists(st.integers(0, 40_000), max_size=60))
def test_no_window_has_more_than_the_quota(pauses_ms: list[int]) -> None:
    """However requests come, no window lets more through than it may, and a block lets nothing through."""
    quota = Quota(QuotaSettings.model_validate(SMALL))
    now_ms, window_ends, block_ends, passed = START_MS, 0, 0, 0
    for pause in pauses_ms:
        now_ms += pause
        if now_ms >= max(window_ends, block_ends):
            window_ends, passed = now_ms + 60_000, 0
        taken = quota.take(now_ms)
        assert taken == (passed < 3 and now_ms >= block_ends)
        passed += taken
        if not taken and now_ms >= block_ends:
            block_ends = now_ms + 300_000
    assert quota.blocked == (now_ms < block_ends)


@given(st.lists(st.tuples(st.integers(0, 700), st.sampled_from("abcd"), st.integers(1, 100)), max_size=60))
def test_creation_rates_hold_over_any_stretch(asked: list[tuple[int, str, int]]) -> None:
    """From any moment to any other, no more begin than the rate times the time and one burst."""
    rates = CreationRates(CreationSettings())
    now_ms = START_MS
    begun: list[tuple[int, str, int]] = []
    for pause, workflow, count in asked:
        now_ms += pause
        if rates.take(workflow, count, now_ms):
            begun.append((now_ms, workflow, count))
    for place, (since, _, _) in enumerate(begun):
        for until, _, _ in begun[place:]:
            stretch = [(name, n) for ms, name, n in begun[place:] if ms <= until]
            seconds = (until - since) / 1000
            assert sum(n for _, n in stretch) <= 300 * (1 + seconds) + 0.1
            for workflow in "abcd":
                assert sum(n for name, n in stretch if name == workflow) <= 100 * (1 + seconds) + 0.1


@pytest.mark.parametrize("text", ["1200", "1200/5m", "0/300s", "x/1s"])
def test_a_quota_that_cannot_be_read(text: str) -> None:
    """A quota is off, or requests and seconds; nothing is guessed."""
    with pytest.raises(ValueError, match=r"1200/300s|greater"):
        QuotaSettings.parse(text)


def test_written_limits() -> None:
    """What the command's options say is what is counted."""
    assert QuotaSettings.parse("off") is None
    assert QuotaSettings.parse("10/60s") == QuotaSettings(requests=10, window_seconds=60, block_seconds=60)
    assert CreationSettings.parse("off") is None
    assert CreationSettings.parse("5/9") == CreationSettings(per_workflow=5, per_account=9)


def test_a_fast_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """It starts at the time of day and counts ``speed`` seconds in each, whatever is done to the computer's clock."""
    times = iter([0, 1_000_000_000, 1_500_000_000])
    monkeypatch.setattr("time.time_ns", lambda: START_MS * 1_000_000)
    monkeypatch.setattr("time.monotonic_ns", lambda: next(times))
    now = fast_clock(20)
    monkeypatch.setattr("time.time_ns", lambda: 0)
    assert (now(), now()) == (START_MS + 20_000, START_MS + 30_000)
