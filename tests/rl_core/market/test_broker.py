"""The broker's own part of a bar: a locked floor stays where it is, and who holds nothing is left alone."""

import random

import pytest

from rl_core.market.broker import XP, BrokerState, end_session, meet, untouched
from rl_core.market.fills import Venue, play_bar
from rl_core.market.seconds import play_minute
from rl_core.market.types import (
    CLOSED_BALANCE,
    EOD_BALANCE,
    FLAT,
    INTRADAY,
    NEVER_LOCKS,
    NO_ORDER,
    PESSIMISTIC,
    SECONDS,
    STATIC,
    Account,
    BarPrices,
    Order,
    Position,
    Rules,
    Terms,
)

VENUE = Venue(Terms(500, 0, 1), Rules(5_000_000, 300_000, 250_000, INTRADAY, NEVER_LOCKS), PESSIMISTIC)
LONG = Position(quantity=1, entry=80_000, stop=70_000, target=110_000, stop_ticks=10_000, trailing=0, bars_held=1)
RISING = BarPrices(80_000, 80_180, 80_000, 80_180)  # 180 ticks are 900 dollars


def test_a_locked_floor_follows_neither_open_equity_nor_a_close() -> None:
    free = BrokerState(Account(5_260_000, 5_010_000), LONG)
    locked = free._replace(account=free.account._replace(locked=1))

    floors = [meet(state, RISING, 0, VENUE).state.account.floor for state in (free, locked)]
    closed = [end_session(state, 80_180, 0, VENUE).state.account.floor for state in (free, locked)]

    assert floors == [5_260_000 + 90_000 - 250_000, 5_010_000]
    assert closed == [5_260_000 + 89_500 - 250_000, 5_010_000]


def test_a_locked_floor_stays_where_it_is_second_by_second_too() -> None:
    """500 ticks of room: 560 below the best touch a floor that followed it, and 380 below the entry no other."""
    venue, minute = VENUE._replace(resolution=SECONDS), BarPrices(80_000, 80_180, 79_620, 79_620)
    seconds = [BarPrices(price, price, price, price) for price in (80_000, 80_180, 79_620)]
    free = BrokerState(Account(5_260_000, 5_010_000), LONG)
    locked = free._replace(account=free.account._replace(locked=1))

    liquidated, held = (meet(state, minute, 0, venue, seconds) for state in (free, locked))

    assert [fill.reason for fill in liquidated.fills] == ["liquidation"]
    assert (held.fills, held.state.account.floor) == ((), 5_010_000)


def test_fills_are_numbered_one_after_another_also_within_a_bar() -> None:
    """The seventh execution is the entry at 80,000, the eighth its stop in the same bar."""
    order = Order(quantity=1, stop_ticks=100, target_ticks=300, flatten=False)
    waiting = BrokerState(Account(5_000_000, 4_750_000), FLAT, order, 6)

    step = meet(waiting, BarPrices(80_000, 80_010, 79_800, 79_900), 0, VENUE)

    assert [(fill.execution, fill.reason, fill.quantity) for fill in step.fills] == [(7, "entry", 1), (8, "stop", -1)]
    assert step.state.executions == 8 and step.state.order.quantity == 0


@pytest.mark.parametrize("cash", [4_750_001, 5_000_000, 5_400_000])
@pytest.mark.parametrize("ratchet", [STATIC, INTRADAY])
def test_a_bar_does_nothing_to_whoever_holds_and_orders_nothing(cash: int, ratchet: int) -> None:
    """What is not played comes to what playing it would, also with the target banked; just above the floor at least."""
    venue = VENUE._replace(rules=VENUE.rules._replace(ratchet=ratchet))
    state = BrokerState(Account(cash, 4_750_000, day_floor=4_700_000), executions=4)

    step = meet(state, RISING, 0, venue)

    assert untouched(state) and (step.state, step.fills) == (state, ())
    assert step.played == play_bar(XP, FLAT, state.account, NO_ORDER, RISING, venue)


@pytest.mark.parametrize("limit", ["floor", "day_floor"])
def test_whoever_stands_at_a_limit_is_judged_by_every_bar(limit: str) -> None:
    state = BrokerState(Account(4_750_000, 4_700_000, day_floor=4_700_000)._replace(**{limit: 4_750_000}))

    step = meet(state, RISING, 0, VENUE)

    assert not untouched(state)
    assert step.played.failed == (limit == "floor") and (step.state.account.paused != 0) == (limit == "day_floor")


def test_a_bar_that_meets_nothing_does_what_the_whole_sum_says() -> None:
    """Flat and without an order, minutes and seconds, over every kind of floor, limit and pause; 600 draws."""
    draw = random.Random(5)
    lost = 0
    for _ in range(600):
        rules = VENUE.rules._replace(
            ratchet=draw.choice([STATIC, EOD_BALANCE, CLOSED_BALANCE, INTRADAY]),
            kills_open=draw.randrange(2),
            daily_counts_open=draw.randrange(2),
            daily_fails=draw.randrange(2),
            stand_down=draw.randrange(2),
        )
        cash = draw.randrange(4_700_000, 5_400_000)
        floor, day_floor = (cash + draw.choice([-100_000, -1, 0, 1, 100_000]) for _ in range(2))
        account = Account(cash, floor, day_floor, paused=draw.randrange(3), locked=draw.randrange(2))
        state = BrokerState(account, FLAT, NO_ORDER._replace(flatten=draw.random() < 0.5), 6)
        minute = BarPrices(80_000, 80_000 + draw.randrange(400), 80_000 - draw.randrange(400), 80_000)
        venue = VENUE._replace(rules=rules, resolution=draw.choice([PESSIMISTIC, SECONDS]))

        step = meet(state, minute, 0, venue, [minute])

        whole = play_minute(FLAT, account, state.order, minute, [minute], venue)
        assert step.played == whole and repr(step.played) == repr(whole), (account, venue)
        assert step == (BrokerState(whole.account, whole.position, NO_ORDER, 6), (), whole)
        lost += bool(whole.failed)
    assert 100 < lost < 500
