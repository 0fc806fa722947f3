"""The last check of an order: one denial for each limit, and none at the edge."""

import pytest

from orchestrator.trader.risk import DenialCode, Exposure, RiskLimits, check
from rl_core.market.fills import Venue
from rl_core.market.types import (
    AT_DAILY_LOSS,
    AT_TARGET,
    NEVER_LOCKS,
    PESSIMISTIC,
    STATIC,
    Account,
    Limits,
    Order,
    Rules,
    Terms,
)

VENUE = Venue(Terms(50, 60, 1), Rules(5_000_000, 300_000, 250_000, STATIC, NEVER_LOCKS), PESSIMISTIC)
ORDER = Order(quantity=-10, stop_ticks=30, target_ticks=100, flatten=False)
LOSS = 10 * (30 * 50 + 2 * 60 + 50)  # the stop, two commissions and a tick of slippage, of ten contracts
LIMITS = Limits(risk_budget=LOSS, max_quantity=10, per_mini=10, max_stop_percent=30)
ACCOUNT = Account(5_000_000, 5_000_000 - LOSS - 1, 5_000_000 - LOSS - 1)


def denial(
    order: Order = ORDER, account: Account = ACCOUNT, limits: Limits = LIMITS, *, active: bool = True, entries: int = 0
) -> DenialCode | None:
    return check(order, Exposure(account, active, entries), VENUE, RiskLimits(limits, 3))


def test_an_order_at_every_limit_passes() -> None:
    assert denial(entries=2) is None


@pytest.mark.parametrize(
    ("order", "code"),
    [
        (ORDER._replace(quantity=-11), "quantity"),
        (ORDER._replace(quantity=0), "quantity"),
        (ORDER._replace(stop_ticks=0), "no_stop"),
        (ORDER._replace(stop_ticks=31), "stop_to_target"),
        (ORDER._replace(stop_ticks=31, target_ticks=104), "risk_budget"),
    ],
)
def test_an_unfit_order_is_denied(order: Order, code: str) -> None:
    assert denial(order) == code


@pytest.mark.parametrize(
    ("account", "code"),
    [
        (ACCOUNT._replace(paused=AT_DAILY_LOSS), "paused"),
        (ACCOUNT._replace(paused=AT_TARGET), "at_target"),
        (ACCOUNT._replace(floor=ACCOUNT.floor + 1), "room_to_floor"),
        (ACCOUNT._replace(day_floor=ACCOUNT.day_floor + 1), "room_to_daily_loss"),
    ],
)
def test_an_account_without_room_is_denied(account: Account, code: str) -> None:
    assert denial(account=account) == code


def test_an_ended_account_and_one_entry_too_many_are_denied() -> None:
    assert denial(active=False) == "account_ended"
    assert denial(entries=3) == "entries_per_session"
