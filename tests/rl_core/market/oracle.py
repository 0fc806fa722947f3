"""One bar, or its seconds, walked tick by tick from the timing contract alone: the slow twin of `rl_core.market`."""

from collections.abc import Sequence
from copy import copy
from itertools import pairwise
from typing import NamedTuple

from rl_core.market.fills import Venue
from rl_core.market.types import (
    ADAPTIVE,
    CLOSED_BALANCE,
    INTRADAY,
    PESSIMISTIC,
    Account,
    BarPrices,
    Order,
    Position,
    Rules,
    Terms,
)


class Outcome(NamedTuple):
    """What the bar left."""

    quantity: int
    cash: int
    floor: int
    reason: str
    price: int | None
    failed: bool
    paused: bool


class Walk:
    """A held position while the price moves one tick at a time."""

    def __init__(self, position: Position, account: Account, terms: Terms, rules: Rules) -> None:
        self.position, self.terms, self.rules = position, terms, rules
        self.cash, self.floor, self.day_floor = account.cash, account.floor, account.day_floor
        self.reason, self.price = "none", 0

    @property
    def long(self) -> bool:
        """Whether it gains as the price rises."""
        return bool(self.position.quantity > 0)

    def equity(self, price: int) -> int:
        """Cash and open profit at ``price``."""
        return int(self.cash + (price - self.position.entry) * self.position.quantity * self.terms.tick_value)

    def see(self, price: int) -> None:
        """Open equity at this price moves an intraday floor."""
        if self.rules.ratchet == INTRADAY:
            self._raise(self.equity(price))

    def _raise(self, reference: int) -> None:
        self.floor = max(self.floor, min(reference - self.rules.max_loss, self.rules.floor_cap))

    def market_exit(self, price: int, reason: str) -> None:
        """Out at ``price``, a slip worse."""
        slip = max(1, self.terms.slippage_ticks)
        self._exit(price - slip if self.long else price + slip, reason)

    def _exit(self, price: int, reason: str) -> None:
        self.cash = self.equity(price) - abs(self.position.quantity) * self.terms.commission
        if self.rules.ratchet in (CLOSED_BALANCE, INTRADAY):
            self._raise(self.cash)
        self.reason, self.price = reason, price
        self.position = self.position._replace(quantity=0)

    def at(self, price: int) -> bool:
        """Trade one tick with the bracket live; True once it is over."""
        target, stop = self.position.target, self.position.stop
        if self.rules.kills_open == 1 and self.equity(price) <= self.floor:
            self.market_exit(price, "liquidation")
        elif self.rules.daily_counts_open == 1 and self.equity(price) <= self.day_floor:
            self.market_exit(price, "daily_loss")
        elif price <= stop if self.long else price >= stop:
            self.see(price)
            self.market_exit(price, "stop")
        elif price >= target + 1 if self.long else price <= target - 1:
            self.see(target)
            self._exit(target, "target")
        else:
            self.see(price)
        return self.reason != "none"

    def to(self, start: int, end: int) -> bool:
        """Trade every tick from ``start`` to ``end``; True once the position is closed."""
        step = 1 if end >= start else -1
        return any(self.at(price) for price in range(start, end + step, step))

    def peak(self, best: int) -> int:
        """The best price before anything ends the trade: a target that is only touched is not filled."""
        return int(min(best, self.position.target) if self.long else max(best, self.position.target))

    def through(self, *prices: int) -> "Walk":
        """A copy that has traded from each price to the next, until the position was closed."""
        walked = copy(self)
        any(walked.to(start, end) for start, end in pairwise(prices))
        return walked

    def worth(self, close: int) -> int:
        """Cash once the position is closed, equity at the close before."""
        return self.cash if self.reason != "none" else self.equity(close)


def _worst(walk: Walk, bar: BarPrices, best: int, worst: int) -> Walk:
    """The worst of every way up before the fall; its floor has seen the best price, whichever way that was."""
    peak = walk.peak(best)
    step = 1 if peak >= bar.open else -1
    highest = walk.through(bar.open, peak, worst, best, bar.close)
    if highest.reason in ("none", "target"):
        return highest
    ways = (walk.through(bar.open, way, worst, best, bar.close) for way in range(bar.open, peak + step, step))
    least = min(ways, key=lambda way: way.worth(bar.close))
    if walk.rules.ratchet == INTRADAY:
        least.floor = max(least.floor, min(walk.equity(peak) - walk.rules.max_loss, walk.rules.floor_cap))
    slip = max(1, walk.terms.slippage_ticks)
    trigger = least.price + slip if walk.long else least.price - slip
    if least.reason == "daily_loss" and walk.rules.kills_open == 1 and walk.equity(trigger) <= least.floor:
        least.reason = "liquidation"
    return least


def _inside(walk: Walk, bar: BarPrices, resolution: int) -> Walk:
    best, worst = (bar.high, bar.low) if walk.long else (bar.low, bar.high)
    if walk.at(bar.open):
        return walk
    if resolution == ADAPTIVE:
        near, far = (best, worst) if abs(best - bar.open) < abs(bar.open - worst) else (worst, best)
        return walk.through(bar.open, near, far, bar.close)
    return _worst(walk, bar, best, worst)


def outcome(
    position: Position,
    account: Account,
    order: Order,
    bar: BarPrices,
    venue: Venue,
    seconds: Sequence[BarPrices] = (),
) -> Outcome:
    """The bar's end for this position and order; with ``seconds``, one after another, the worst within each."""
    terms, rules, resolution = venue
    if position.quantity == 0 and order.quantity != 0:
        side = 1 if order.quantity > 0 else -1
        fill = bar.open + side * terms.slippage_ticks
        stop, target = fill - side * order.stop_ticks, fill + side * order.target_ticks
        position = Position(order.quantity, fill, stop, target, order.stop_ticks, 0, 0)
        account = account._replace(cash=account.cash - abs(order.quantity) * terms.commission)
    walk = Walk(position, account, terms, rules)
    if position.quantity != 0 and order.flatten:
        walk.see(bar.open)
        walk.market_exit(bar.open, "flatten")
    elif position.quantity != 0:
        for part in seconds or (bar,):
            walk = _inside(walk, part, PESSIMISTIC if seconds else resolution)
            if walk.reason != "none":
                break
    at_floor = walk.equity(bar.close) if rules.kills_open == 1 else walk.cash
    for_the_day = walk.equity(bar.close) if rules.daily_counts_open == 1 else walk.cash
    stood_down = walk.reason != "none" and rules.stand_down == 1 and walk.cash >= rules.start + rules.target
    paused = account.paused != 0 or stood_down or walk.reason == "daily_loss" or for_the_day <= walk.day_floor
    failed = walk.reason == "liquidation" or at_floor <= walk.floor
    failed = failed or (rules.daily_fails == 1 and (walk.reason == "daily_loss" or for_the_day <= walk.day_floor))
    price = walk.price if walk.reason != "none" else None
    return Outcome(walk.position.quantity, walk.cash, walk.floor, walk.reason, price, failed, paused)
