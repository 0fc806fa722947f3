"""Whole episodes of the environment, bar by bar, against the oracle that was written from the contract alone."""

from collections import Counter
from functools import cache

import jax
import numpy as np
import pytest

from rl_core.bars.rungs import ladder_of
from rl_core.contract import BUY, DISABLE_TRAIL, ENABLE_TRAIL, MOVE_STOP_TO_BREAKEVEN, SELL
from rl_core.envs.env import Env
from rl_core.envs.market_arrays import MarketArrays, make_market
from rl_core.exchange.calendar import NS_PER_MINUTE
from rl_core.features.market_view import MarketView
from rl_core.market.fills import Venue
from rl_core.market.types import (
    ADAPTIVE,
    CLOSED_BALANCE,
    EOD_BALANCE,
    EXIT_NAMES,
    INTRADAY,
    NO_ORDER,
    PESSIMISTIC,
    SECONDS,
    STATIC,
    Account,
    BarPrices,
    Order,
    Position,
)
from tests.rl_core.envs.episodes import Steps, params_for, random_episodes
from tests.rl_core.market.oracle import outcome
from tests.rl_core.markets import mnq_venue, random_seconds, seen, session_minutes

ACCOUNTS, STEPS = 150, 120
SETTINGS = ((SECONDS, INTRADAY), (SECONDS, STATIC), (PESSIMISTIC, EOD_BALANCE), (ADAPTIVE, CLOSED_BALANCE))


@cache
def tape() -> tuple[MarketView, MarketArrays, tuple[list[BarPrices], ...]]:
    """Three sessions with seconds, and the seconds of each minute."""
    minutes, seconds = random_seconds(41, session_minutes(3))
    view = seen(minutes)
    columns = (seconds.open, seconds.high, seconds.low, seconds.close)
    prices = [BarPrices(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]
    starts = minutes.ts_event_ns
    bounds = zip(*(np.searchsorted(seconds.ts_event_ns, at) for at in (starts, starts + NS_PER_MINUTE)), strict=True)
    return view, make_market(view, ladder=ladder_of(minutes, seconds)), tuple(prices[a:b] for a, b in bounds)


class PlainPlay:
    """The rest of the contract in plain Python: what a decision makes of a position before the bar, and after it."""

    def __init__(self, view: MarketView, venue: Venue) -> None:
        self.bars, self.terms = view.bars, venue.terms
        self.total = view.features.true_range_sum.tolist()
        self.due = view.hours.flatten_due.tolist()

    def decided(self, t: int, position: Position, action: int) -> tuple[Position, Order]:
        """Bracket 3 S / 28 and three times it; $500 over the stop's whole loss; breakeven and trail at this close."""
        side = (position.quantity > 0) - (position.quantity < 0)
        if side == 0:
            stop = max(1, -(-3 * self.total[t] // 28))
            quantity = 50_000 // (stop * 50 + 2 * 60 + 50)
            direction = {BUY: 1, SELL: -1}.get(action, 0)
            return position, Order(direction * quantity, stop, 3 * stop, False) if direction else NO_ORDER
        if action == MOVE_STOP_TO_BREAKEVEN:
            position = position._replace(stop=position.entry + side * 4)  # 170 cents of MNQ
        if action in (ENABLE_TRAIL, DISABLE_TRAIL):
            position = position._replace(trailing=int(action == ENABLE_TRAIL))
        if action == ENABLE_TRAIL:
            position = self.trailed(t, position)
        return position, Order(0, 1, 3, bool(self.due[t]))

    def trailed(self, t: int, position: Position) -> Position:
        """The stop, one ATR behind the close of ``t``, never back."""
        distance = max(1, -(-self.total[t] // 14))
        close = int(self.bars.close[t])
        tighter = (
            max(position.stop, close - distance) if position.quantity > 0 else min(position.stop, close + distance)
        )
        return position._replace(stop=tighter) if position.trailing else position

    def bar(self, t: int) -> BarPrices:
        """The bar ``t``."""
        return BarPrices(
            *(int(column[t]) for column in (self.bars.open, self.bars.high, self.bars.low, self.bars.close))
        )


def rows(steps: Steps) -> list[tuple[int, ...]]:
    """Every live step: bar, action, position and account before; position, account, exit and failure after."""
    live = np.asarray(steps.live)
    before, after = steps.state, steps.result.state
    leaves = [before.bar, steps.action, *before.position, *before.account, *after.position, *after.account]
    leaves += [steps.result.trade.reason, steps.result.terminated]
    return list(zip(*(np.asarray(leaf)[live].tolist() for leaf in leaves), strict=True))


@pytest.mark.parametrize(("resolution", "ratchet"), SETTINGS)
def test_every_step_of_an_episode_is_what_the_contract_says(resolution: int, ratchet: int) -> None:
    """Four settings of 18,000 steps each, less the steps after an episode's end."""
    view, market, seconds = tape()
    rules = mnq_venue().rules._replace(ratchet=ratchet, max_loss=150_000)
    venue = mnq_venue(resolution, rules)
    plain = PlainPlay(view, venue)
    last = view.last_in_session
    steps = random_episodes(Env(2), market, params_for(venue), jax.random.key(resolution), ACCOUNTS, STEPS)
    fields, reasons = len(Position._fields), Counter[str]()
    before = fields + len(Account._fields)
    for t, action, *row in rows(steps):
        held, account = Position(*row[:fields]), Account(*row[fields:before])
        position, order = plain.decided(t, held, action)
        inside = seconds[t + 1] if resolution == SECONDS else ()
        expected = outcome(position, account, order, plain.bar(t + 1), venue, inside)
        got = row[before:]
        reason = EXIT_NAMES[got[-2]]
        reasons[reason] += 1
        if reason == "session_end" or last[t + 1]:
            continue
        assert (got[0], got[fields], got[fields + 1], reason) == (
            expected.quantity,
            expected.cash,
            expected.floor,
            expected.reason,
        )
        assert not expected.failed or got[-1]
        if got[0] and held.quantity:
            after = plain.trailed(t + 1, position)
            assert got[:fields] == [*after[:-1], held.bars_held + 1]
    assert sum(reasons.values()) > 12_500
    assert all(reasons[name] > 20 for name in ("stop", "target")), reasons
