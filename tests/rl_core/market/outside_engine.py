"""One bracket in two engines, ours and backtesting.py 0.6, and why they differ: by causes that are named and replayed.

Both get the same decision, levels, size, commission and time exits. `replayed` restates a trade in plain Python with
a switch for each habit in which the engines differ. With every switch at ours it must give our fill, with every
switch at theirs their fill; the smallest set of switches that turns one into the other is the difference, explained
(DECISIONS 12).
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from backtesting import Backtest, Strategy

from rl_core.market.account import opening_account
from rl_core.market.fills import Venue, closed_at_last_price, play_bar
from rl_core.market.types import (
    ADAPTIVE,
    EXIT_NAMES,
    FLAT,
    NEVER_LOCKS,
    NO_EXIT,
    NO_ORDER,
    STATIC,
    UNLIMITED,
    BarOutcome,
    BarPrices,
    Order,
    PlainIntegers,
    Rules,
    Terms,
)

XP = PlainIntegers()
TERMS = Terms(tick_value=50, commission=60, slippage_ticks=1)  # MNQ
RULES = Rules(5_000_000, UNLIMITED // 2, 4_000_000, STATIC, NEVER_LOCKS)  # out of every trade's way
MULTIPLE = 3

CAUSES = {
    "entry_slip": "ours pays slippage at the entry; theirs fills at the open",
    "stop_slip": "our stop slips at least a tick; theirs fills at its price, or at the open beyond it",
    "target_touch": "our target needs a trade through it; theirs fills when touched",
    "gap_target": "a bar that opens beyond the target: ours fills at the target, theirs at the open",
    "gap_order": "a bar that opens beyond the target and comes down to the stop: ours is out at the open, theirs stops",
    "same_bar_order": "both levels inside a bar: `adaptive` asks which extreme is nearer, theirs stops",
    "flatten_slip": "our flatten pays slippage; theirs fills at the open",
    "session_end": "no open before the flat time: ours is out at the last close, theirs at the next open there is",
    "roll": "the next bar is another contract: ours is out at the last close, theirs at the new contract's open",
}
EVERY = frozenset(CAUSES)


class Entry(NamedTuple):
    """A market order decided at the close of ``bar``."""

    bar: int
    side: int
    stop_ticks: int


class Fill(NamedTuple):
    """One trade of one contract."""

    entry_bar: int
    entry_price: int  # ticks
    exit_bar: int
    exit_price: int  # ticks
    reason: str
    profit: int  # cents after costs


@dataclass(frozen=True)
class Course:
    """Bars [T] and when whatever is open must go."""

    prices: npt.NDArray[np.int64]  # [T, 4] ticks: open, high, low, close
    flatten_due: npt.NDArray[np.bool_]  # decided at this close
    last: npt.NDArray[np.bool_]  # no open of the same session and contract follows
    rolls: npt.NDArray[np.bool_]  # the next bar is of another contract

    def bar(self, t: int) -> BarPrices:
        """The prices of one bar as plain integers."""
        return BarPrices(*self.prices[t].tolist())

    def levels(self, entry: Entry, slip: int) -> tuple[int, int]:
        """Stop and target, offsets from a fill ``slip`` ticks worse than the next open."""
        fill = int(self.prices[entry.bar + 1, 0]) + entry.side * slip
        return fill - entry.side * entry.stop_ticks, fill + entry.side * MULTIPLE * entry.stop_ticks


def ours(course: Course, entry: Entry, resolution: int, *, slip: int = 1) -> Fill:
    """The trade in `rl_core.market`, bar by bar as environment and broker play it."""
    venue = Venue(TERMS._replace(slippage_ticks=slip), RULES, resolution)
    position, account = FLAT, opening_account(XP, RULES)
    order = Order(entry.side, entry.stop_ticks, MULTIPLE * entry.stop_ticks, False)
    for t in range(entry.bar + 1, len(course.prices)):
        bar = course.bar(t)
        played: BarOutcome = play_bar(XP, position, account, order, bar, venue)
        if course.last[t] and played.position.quantity:
            played = closed_at_last_price(XP, played.position, played.account, bar.close, venue)
        if played.exit_reason != NO_EXIT:
            profit = played.account.cash - RULES.start
            reason = EXIT_NAMES[played.exit_reason]
            return Fill(entry.bar + 1, played.entry_price, t, played.exit_price, reason, profit)
        position, account = played.position, played.account
        order = NO_ORDER._replace(flatten=bool(course.flatten_due[t]))
    raise AssertionError(f"{entry} never closed")


class _Plan(NamedTuple):
    """A trade as the outside engine is told of it; prices are the contract's value in cents."""

    entry: Entry
    course: Course
    stop: float
    target: float


def placeable(course: Course, entry: Entry) -> bool:
    """Whether the outside engine takes the order: it wants the last close between the levels, whatever opens next."""
    stop, target = course.levels(entry, 1)
    close = int(course.prices[entry.bar, 3])
    return stop < close < target if entry.side > 0 else target < close < stop


def outside(trades: Sequence[tuple[Course, Entry]], *, slip: int = 1, target_beyond: int = 0) -> list[Fill]:
    """The trades in backtesting.py, each alone (hedged); all courses are over the same bars.

    Args:
        trades: what to play.
        slip: ticks from their fill (the open) to the price from which levels are measured, as ours are.
        target_beyond: ticks that their limit order lies beyond our target.
    """
    plans = []
    for course, entry in trades:
        stop, target = course.levels(entry, slip)
        beyond = target + entry.side * target_beyond
        plans.append(_Plan(entry, course, float(stop * TERMS.tick_value), float(beyond * TERMS.tick_value)))
    prices = trades[0][0].prices * float(TERMS.tick_value)
    index = pd.date_range("2020-01-01", periods=len(prices), freq="min", tz="UTC")
    frame = pd.DataFrame(prices, index=index, columns=["Open", "High", "Low", "Close"])
    test = Backtest(frame, _strategy(plans), cash=1e12, commission=_commission, hedging=True)
    done = test.run()["_trades"]
    assert len(done) == len(plans), "the outside engine dropped or split a trade"
    fills = {int(row.Tag): _fill(plans[int(row.Tag)], row) for row in done.itertuples()}
    return [fills[tag] for tag in range(len(plans))]


def _commission(size: float, price: float) -> float:
    return float(abs(size) * TERMS.commission)


def _strategy(plans: Sequence[_Plan]) -> type[Strategy]:
    deciding: dict[int, list[int]] = defaultdict(list)
    for tag, plan in enumerate(plans):
        deciding[plan.entry.bar].append(tag)

    class Brackets(Strategy):  # type: ignore[misc]
        def init(self) -> None:
            pass

        def next(self) -> None:
            t = len(self.data) - 1
            for trade in self.trades:
                course = plans[trade.tag].course
                if course.flatten_due[t] or course.last[t]:
                    trade.close()
            for tag in deciding.get(t, ()):
                entry, _, stop, target = plans[tag]
                order = self.buy if entry.side > 0 else self.sell
                order(size=1, sl=stop, tp=target, tag=tag)

    return Brackets


def _fill(plan: _Plan, row: Any) -> Fill:
    """Their trade in ticks; the engine keeps no reason: the price tells stop from target, our request a time exit."""
    entry, course, stop, target = plan
    asked = int(row.ExitBar) - 1
    if asked > entry.bar and course.last[asked]:
        reason = "session_end"
    elif asked > entry.bar and course.flatten_due[asked]:
        reason = "flatten"
    else:
        reason = "stop" if entry.side * (row.ExitPrice - stop) <= 0 else "target"
        assert reason == "stop" or entry.side * (row.ExitPrice - target) >= 0
    prices = [price / TERMS.tick_value for price in (row.EntryPrice, row.ExitPrice)]
    assert all(price == int(price) for price in prices)
    return Fill(int(row.EntryBar), int(prices[0]), int(row.ExitBar), int(prices[1]), reason, int(row.PnL))


def replayed(course: Course, entry: Entry, theirs: frozenset[str], *, adaptive: bool = False) -> Fill:
    """The trade with the habits in ``theirs`` as the outside engine has them and every other as ours."""
    side, first = entry.side, entry.bar + 1
    opened = int(course.prices[first, 0])
    levels = course.levels(entry, 1)
    paid = opened if "entry_slip" in theirs else opened + side

    def left(t: int, price: int, reason: str) -> Fill:
        return Fill(first, paid, t, price, reason, side * (price - paid) * TERMS.tick_value - 2 * TERMS.commission)

    for t in range(first, len(course.prices)):
        bar = course.bar(t)
        if t > first and course.flatten_due[t - 1]:
            return left(t, bar.open - side * ("flatten_slip" not in theirs), "flatten")
        if (leaving := _bracket(side, levels, bar, theirs, adaptive)) is not None:
            return left(t, *leaving)
        if course.last[t]:
            if ("roll" if course.rolls[t] else "session_end") in theirs:
                return left(t + 1, course.bar(t + 1).open, "session_end")
            return left(t, bar.close - side, "session_end")
    raise AssertionError(f"{entry} never closed")


def _bracket(
    side: int, levels: tuple[int, int], bar: BarPrices, theirs: frozenset[str], adaptive: bool
) -> tuple[int, str] | None:
    """Price and reason of the exit that the bar's prices bring, in the coordinates of a long until the end."""
    stop, target = side * levels[0], side * levels[1]
    opened, best, worst = side * bar.open, *((bar.high, bar.low) if side > 0 else (-bar.low, -bar.high))
    needed = target if "target_touch" in theirs else target + 1
    nearer = adaptive and "same_bar_order" not in theirs and best - opened < opened - worst
    gained = (side * (opened if opened >= needed and "gap_target" in theirs else target), "target")
    if opened >= needed and "gap_order" not in theirs:
        return gained
    if worst <= stop and not (nearer and best >= needed and opened > stop):
        return side * (min(opened, stop) - ("stop_slip" not in theirs)), "stop"
    return gained if best >= needed else None


def explained(course: Course, entry: Entry, pair: tuple[Fill, Fill], *, adaptive: bool = False) -> frozenset[str]:
    """The fewest causes that turn our fill into theirs; AssertionError if the named ones do not."""
    mine, outer = pair

    def replay(theirs: frozenset[str]) -> Fill:
        return replayed(course, entry, theirs, adaptive=adaptive)

    assert replay(frozenset()) == mine, f"{entry}: ours is {mine}, its own habits give {replay(frozenset())}"
    assert replay(EVERY) == outer, f"{entry}: theirs is {outer}, its habits give {replay(EVERY)}"
    tried = [c for c in CAUSES if replay(frozenset({c})) != mine or replay(EVERY - {c}) != outer]
    for some in chain.from_iterable(combinations(tried, n) for n in range(len(tried) + 1)):
        if replay(frozenset(some)) == outer:
            return frozenset(some)
    raise AssertionError(f"{entry}: {mine} and {outer} differ by more than {tried}")


class Compared(NamedTuple):
    """One trade in both engines."""

    course: Course
    entry: Entry
    ours: Fill
    theirs: Fill
    causes: frozenset[str]


def compared(
    trades: Sequence[tuple[Course, Entry]], resolution: int, theirs: Sequence[Fill] | None = None
) -> list[Compared]:
    """Every trade in both engines, every difference explained; ``theirs`` if the outside engine has played already."""
    pairs = []
    for (course, entry), outer in zip(trades, theirs or outside(trades), strict=True):
        mine = ours(course, entry, resolution)
        causes = explained(course, entry, (mine, outer), adaptive=resolution == ADAPTIVE)
        pairs.append(Compared(course, entry, mine, outer, causes))
    return pairs


def table(groups: Mapping[str, Sequence[Compared]]) -> str:
    """Trades by cause and by group, and what the differences are worth."""
    counts = {name: Counter(chain.from_iterable(c.causes for c in group)) for name, group in groups.items()}
    lines = [f"| cause | {' | '.join(groups)} |", f"|---|{'---:|' * len(groups)}"]
    for cause in CAUSES:
        lines.append(f"| `{cause}` | {' | '.join(str(counts[name][cause]) for name in groups)} |")
    lines.append(f"| trades | {' | '.join(str(len(group)) for group in groups.values())} |")
    same = [sum(c.ours[2] == c.theirs[2] and c.ours.reason == c.theirs.reason for c in g) for g in groups.values()]
    lines.append(f"| same exit bar and reason | {' | '.join(map(str, same))} |")
    worth = [np.mean([c.theirs.profit - c.ours.profit for c in g]) / TERMS.tick_value for g in groups.values()]
    lines.append(f"| theirs less ours, mean ticks a trade | {' | '.join(f'{x:+.2f}' for x in worth)} |")
    return "\n".join(lines)
