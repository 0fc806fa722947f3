"""Quiet bars against the same bars played one by one."""

from typing import NamedTuple

import numpy as np
import pytest

from rl_core.evaluation.quiet_bars import after_quiet_bars
from rl_core.market.broker import BrokerState, meet
from rl_core.market.fills import Venue
from rl_core.market.types import (
    ADAPTIVE,
    CLOSED_BALANCE,
    EOD_BALANCE,
    INTRADAY,
    NEVER_LOCKS,
    PESSIMISTIC,
    STATIC,
    UNLIMITED,
    Account,
    BarPrices,
    Position,
    Rules,
    Terms,
)

BARS = 40


class Case(NamedTuple):
    """An open bracket before some bars."""

    held: BrokerState
    prices: list[list[int]]
    venue: Venue


def drawn(seed: int) -> Case:
    """A bracket near random prices, with a floor, a target or a daily loss that may come first."""
    rng = np.random.default_rng(seed)
    side = int(rng.choice([-1, 1]))
    opened = 1000 + np.cumsum(rng.integers(-6, 7, BARS))
    closed = np.append(opened[1:], opened[-1])
    high = np.maximum(opened, closed) + rng.integers(0, 4, BARS)
    low = np.minimum(opened, closed) - rng.integers(0, 4, BARS)
    stop, target = int(rng.integers(5, 40)), int(rng.integers(5, 60))
    cash = 100_000
    position = Position(side * int(rng.integers(1, 4)), 1000, 1000 - side * stop, 1000 + side * target, stop, 0, 3)
    day_floor = cash - int(rng.integers(200, 12_000)) if rng.random() < 0.4 else -UNLIMITED
    account = Account(cash, cash - int(rng.integers(-50, 9_000)), day_floor, locked=int(rng.random() < 0.2))
    rules = Rules(
        start=100_000,
        target=UNLIMITED,
        max_loss=int(rng.integers(500, 9_000)),
        ratchet=int(rng.choice([STATIC, EOD_BALANCE, CLOSED_BALANCE, INTRADAY])),
        floor_cap=int(rng.choice([100_000, NEVER_LOCKS])),
        kills_open=int(rng.random() < 0.7),
        daily_counts_open=int(rng.random() < 0.7),
    )
    venue = Venue(Terms(50, 60, 1), rules, int(rng.choice([PESSIMISTIC, ADAPTIVE])))
    prices = np.stack([opened, high, low, closed], axis=1).tolist()
    return Case(BrokerState(account, position), prices, venue)


@pytest.mark.parametrize("side", [1, -1])
def test_a_floor_that_follows_ends_the_quiet(side: int) -> None:
    """Up 20 ticks at $0.50 raises a floor of $100 below to entry; so a bar back at the entry is no quiet one."""
    up, back = (sorted([1000 + side * a, 1000 + side * b]) for a, b in ((10, 200), (0, 150)))
    prices = [[1000 + side * 10, up[1], up[0], 1000 + side * 150], [1000 + side * 150, back[1], back[0], 1000]]
    position = Position(side, 1000, 1000 - side * 500, 1000 + side * 500, 500, 0, 0)
    rules = Rules(100_000, UNLIMITED, 10_000, INTRADAY, NEVER_LOCKS)
    state = BrokerState(Account(100_000, 90_000), position)

    after, bar = after_quiet_bars(state, prices, 0, 2, Venue(Terms(50, 0, 1), rules, PESSIMISTIC))

    assert bar == 1 and after.position.bars_held == 1
    assert after.account.floor == 100_000, "200 ticks x 50 cents above 90,000"


def test_what_is_skipped_is_what_playing_it_gives() -> None:
    """600 brackets: the state is that of each bar met in turn, none of which ends the trade."""
    skipped = ended = 0
    for seed in range(600):
        held, prices, venue = drawn(seed)

        after, bar = after_quiet_bars(held, prices, 0, BARS, venue)

        for number in range(bar):
            step = meet(held, BarPrices(*prices[number]), number, venue)
            assert not step.fills and not step.played.failed, (seed, number)
            held = step.state
        assert after == held, seed
        skipped, ended = skipped + bar, ended + (bar < BARS)
    assert skipped > 2_000 and ended > 200, "most brackets wait for some bars, and most of them end"
