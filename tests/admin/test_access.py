from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from bridge.admin.access import REREAD_SECONDS, Role, Tokens, is_known_host
from bridge.admin.rates import MOST_ADDRESSES, Rates
from bridge.admin.settings import AdminSettings

if TYPE_CHECKING:
    from pathlib import Path

READER, OPERATOR, ROTATED = "reader-0123456789", "operator-0123456789", "operator-rotated-0123456789"


def tokens(now: list[float], **settings: Any) -> Tokens:
    return Tokens(AdminSettings(**settings), lambda: now[0])


def test_without_tokens_whoever_reaches_loopback_may_act() -> None:
    """The default: nobody else reaches it."""
    assert tokens([0.0]).role("") is Role.OPERATE


def test_each_token_has_its_role_and_nobody_else_has_one() -> None:
    """Once there is a token everybody needs one, whatever else they send."""
    known = tokens([0.0], read_token=READER, operator_token=OPERATOR)
    said = ("", READER, f"Bearer {READER}", f"bearer  {OPERATOR}", "Bearer x", "Bearer ", "Basic " + OPERATOR)
    assert [known.role(text) for text in said] == [None, None, Role.READ, Role.OPERATE, None, None, None]


def test_a_rotated_token_is_taken_up_and_the_old_one_forgotten(tmp_path: Path) -> None:
    """Within a few seconds, without a restart; a file that is gone lets nobody in."""
    file, now = tmp_path / "token", [100.0]
    file.write_text(OPERATOR + "\n")
    known = tokens(now, operator_token_file=file)
    assert known.role(f"Bearer {OPERATOR}") is Role.OPERATE
    file.write_text(ROTATED)
    now[0] += REREAD_SECONDS
    assert (known.role(f"Bearer {OPERATOR}"), known.role(f"Bearer {ROTATED}")) == (None, Role.OPERATE)
    for unusable in ("", "short"):
        file.write_text(unusable)
        now[0] += REREAD_SECONDS
        assert known.role(f"Bearer {unusable}") is None
    file.unlink()
    now[0] += REREAD_SECONDS
    assert known.role(f"Bearer {ROTATED}") is None


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"host": "0.0.0.0"}, "needs a token"),  # noqa: S104  what is refused
        ({"read_token": "short"}, "at least 16"),
        ({"read_token": READER, "read_token_file": "token"}, "not both"),
    ],
)
def test_what_would_let_anybody_in_is_refused(settings: dict[str, Any], problem: str) -> None:
    """An address that others reach, a token that can be guessed, and two of which nobody knows which one is meant."""
    with pytest.raises(ValidationError, match=problem):
        AdminSettings.model_validate(settings)


def test_other_addresses_are_fine_with_a_token() -> None:
    """Or where nobody listens."""
    assert AdminSettings.model_validate({"host": "0.0.0.0", "read_token": READER}).has_tokens  # noqa: S104  with a token
    assert not AdminSettings(host="0.0.0.0", enabled=False).has_tokens  # noqa: S104  nobody listens


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("127.0.0.1:8081", True),
        ("localhost", True),
        ("LOCALHOST.:8081", True),
        ("[::1]:8081", True),
        ("10.1.2.3:8081", True),
        ("bridge.shop.svc:8081", True),
        ("evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("", False),
        ("localhost@evil.example", False),
        ("127.0.0.1:8081/x", False),
        ("[evil]", False),
    ],
)
def test_a_name_that_nobody_configured_is_not_the_bridges(host: str, *, known: bool) -> None:
    """A page of a foreign site can make its own name lead here, and the browser then sends that name."""
    assert is_known_host(host, ["Bridge.shop.svc"]) is known


def test_an_address_has_a_burst_and_then_a_pace() -> None:
    """Others are not touched by it."""
    rates = Rates(burst=3, per_second=2)
    for _ in range(3):
        assert rates.wait_seconds("a", 10.0) == 0
        rates.take("a", 10.0)
    assert rates.wait_seconds("a", 10.0) == 0.5
    assert rates.wait_seconds("b", 10.0) == 0
    assert rates.wait_seconds("a", 10.5) == 0


def test_addresses_do_not_fill_the_memory() -> None:
    """The longest unused are forgotten."""
    rates = Rates(burst=1, per_second=1)
    for number in range(MOST_ADDRESSES + 1):
        rates.take(str(number), 0.0)
    assert rates.wait_seconds("0", 0.0) == 0
    assert rates.wait_seconds("1", 0.0) == 1
