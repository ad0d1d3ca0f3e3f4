"""What the demo produces: orders and their payments, some payments before their order; the same for each run."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, NamedTuple

import orjson

if TYPE_CHECKING:
    from collections.abc import Sequence

ORDERS, PAYMENTS = "shop.orders", "shop.payments"
SPREAD = 40.0  # how many messages a payment may be away from its order, in either direction
SEED = 20


class Produced(NamedTuple):
    """One message of the demo."""

    topic: str
    key: str  # the order
    body: bytes

    @property
    def name(self) -> str:
        """Tells the messages of a run apart."""
        return f"{self.topic}/{self.key}"


def messages(count: int) -> Sequence[Produced]:
    """``count`` messages: orders, and a payment for each (one order has none where ``count`` is odd)."""
    random = Random(SEED)  # noqa: S311  a plan that is the same for each run
    payments = count // 2
    orders = count - payments
    plan = [(float(2 * number), _order(number, random)) for number in range(orders)]
    plan += [(2 * number + random.uniform(-SPREAD / 2, SPREAD), _payment(number)) for number in range(payments)]
    return [message for _, message in sorted(plan, key=lambda placed: placed[0])]


def _order(number: int, random: Random) -> Produced:
    prices = [random.randint(1, 99) for _ in range(random.randint(1, 4))]
    lines = [{"sku": f"sku-{random.randrange(1000):03}", "price": price} for price in prices]
    body = {"type": "order.created", "order_id": f"{number:06}", "total": sum(prices), "lines": lines}
    return Produced(ORDERS, f"{number:06}", orjson.dumps(body))


def _payment(number: int) -> Produced:
    body = {"type": "payment.received", "order_id": f"{number:06}", "payment_id": f"pay-{number:06}", "method": "card"}
    return Produced(PAYMENTS, f"{number:06}", orjson.dumps(body))
