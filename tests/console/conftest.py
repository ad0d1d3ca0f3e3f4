"""One bridge for all tests that only look, or act on instances of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.console.scene import ORDERS, PAYMENTS, Scene

if TYPE_CHECKING:
    from collections.abc import Iterator

ORDERED = 20


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Twenty orders delivered, one payment delivered, one parked, two dead letters."""
    with Scene(tmp_path_factory.mktemp("console")) as running:
        running.produce(ORDERS, *map(running.order, range(ORDERED)), b"no JSON", running.order(99, total=0))
        running.until("/overview", lambda seen: seen["backlog"]["dead_letters"] == 2)
        running.until("/rules", lambda seen: seen["rules"][1]["outcomes"].get("delivered") == ORDERED)
        running.produce(PAYMENTS, *({"type": "payment.received", "order_id": n, "amount": 5} for n in (3, 777)))
        running.until("/overview", lambda seen: seen["backlog"]["parked"] == 1)
        yield running
