"""Our own limits, one code for each."""

import pytest

from orchestrator.risk import Exposure, RiskLimits, check
from rl_core.market.fills import Venue
from rl_core.market.types import PESSIMISTIC, STATIC, Account, Limits, Order, Rules, Terms

VENUE = Venue(Terms(50, 60, 1), Rules(5_000_000, 300_000, 250_000, STATIC, 2**30), PESSIMISTIC)
RISK = RiskLimits(Limits(50_000, 100), 5)
ROOMY = Exposure(Account(5_000_000, 4_750_000), True, 4)
ORDER = Order(-20, 30, 90, False)  # loses 20 x (30 x 50 + 2 x 60 + 50) = 33,400 cents at its stop


def test_an_order_within_every_limit_passes() -> None:
    assert check(ORDER, ROOMY, VENUE, RISK) is None
    assert check(ORDER._replace(quantity=100), ROOMY, VENUE, RISK) is None


@pytest.mark.parametrize(
    ("order", "exposure", "code"),
    [
        (ORDER, ROOMY._replace(active=False), "account_ended"),
        (ORDER._replace(quantity=-101), ROOMY, "quantity"),
        (ORDER._replace(quantity=0), ROOMY, "quantity"),
        (ORDER, ROOMY._replace(account=Account(4_783_400, 4_750_000)), "room_to_floor"),
        (ORDER, ROOMY._replace(entries_this_session=5), "entries_per_session"),
    ],
)
def test_a_denial_says_which_limit(order: Order, exposure: Exposure, code: str) -> None:
    assert check(order, exposure, VENUE, RISK) == code


def test_one_cent_more_room_than_the_loss_is_enough() -> None:
    assert check(ORDER, ROOMY._replace(account=Account(4_783_401, 4_750_000)), VENUE, RISK) is None
