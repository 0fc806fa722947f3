"""Groups the trades of an evaluation by the regime in which each was decided."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rl_core.evaluation.trades import Trades
from rl_core.features.market_view import MarketView
from rl_core.regimes.fitted import LABELS, WILD_FROM, Frozen, wild_percents
from rl_core.regimes.labels import PARTS, VOLATILITIES, compute_regimes
from rl_core.statistics.bootstrap import Interval, session_block_bootstrap
from rl_core.statistics.counts import counted
from trigate.intervals import FEW_BLOCKS, LEAST_BLOCKS, widened_level

STATES = ("calm", "wild")
LEVEL = 0.95  # of all intervals of the table together


class RegimeTrades(NamedTuple):
    """The trades of one group."""

    kind: str  # regime, hidden state or part of the session
    name: str
    trades: int
    expectancy: Interval  # mean R a trade

    def row(self) -> dict[str, Any]:
        """Plain values; the bounds are None where there are too few sessions."""
        mean, low, high, level, sessions, _ = self.expectancy
        return {
            "kind": self.kind,
            "name": self.name,
            "trades": self.trades,
            "sessions": sessions,
            "mean_r": mean,
            "low": low,
            "high": high,
            "level": level,
        }


def by_regime(trades: Trades, view: MarketView, regimes: Frozen) -> list[RegimeTrades]:
    """``trades`` on ``view`` by label, by hidden state where one is known, and by part of the session.

    The table is exploratory: it looks at up to fifteen groups at once, so each interval is widened for their number.
    """
    at_bars, at = compute_regimes(view, regimes.thresholds), trades.decided
    groups = _members("regime", LABELS, (at_bars.direction * len(VOLATILITIES) + at_bars.volatility)[at])
    if regimes.model is not None:
        wild = wild_percents(regimes.model.states(view))[at] >= WILD_FROM
        groups += _members("hidden state", STATES, wild.astype(np.int64))
    groups += _members("part of the session", PARTS, at_bars.part[at])
    level = widened_level(LEVEL, len(groups))
    return [_of_group(group, trades, level) for group in groups]


class _Group(NamedTuple):
    """Which trades belong to a group."""

    kind: str
    name: str
    members: npt.NDArray[np.bool_]  # [N]


def _members(kind: str, names: tuple[str, ...], group: npt.NDArray[np.int64]) -> list[_Group]:
    """The groups that have a trade; ``group`` [N] is the index of each trade's name."""
    return [_Group(kind, name, group == k) for k, name in enumerate(names) if (group == k).any()]


def _of_group(group: _Group, trades: Trades, level: float) -> RegimeTrades:
    expectancy = session_block_bootstrap(trades.r[group.members], trades.session[group.members], level=level)
    assert expectancy is not None, "a group has a trade"
    return RegimeTrades(group.kind, group.name, int(group.members.sum()), expectancy)


def regime_table_lines(groups: list[RegimeTrades], regimes: Frozen) -> list[str]:
    """The groups as lines of a table for the terminal."""
    how = "fitted on the training split" if regimes.model is not None else "the usual ones, none were fitted"
    trend, calm, wild = regimes.thresholds
    level = groups[0].expectancy.level
    lines = [
        f"by regime (thresholds {how}: {trend / 1000:g} ATR an hour, percentiles {calm} and {wild})",
        f"exploratory: {len(groups)} groups at once; each interval is at {100 * level:.2f} %, so that all hold at 95 %",
        f"an interval needs {LEAST_BLOCKS} sessions with trades, and {FEW_BLOCKS} where all of them ended alike",
        f"{'':<21}{'':<12}{'trades':>8}{'mean R':>10}   interval by session",
    ]
    for group in groups:
        mean, bounds = group.expectancy.mean, group.expectancy.bounds
        shown = _none(group.expectancy) if bounds is None else f"{bounds[0]:+.3f} to {bounds[1]:+.3f}"
        lines.append(f"{group.kind:<21}{group.name:<12}{group.trades:>8}{mean:>+10.3f}   {shown}")
    return lines


def _none(expectancy: Interval) -> str:
    """Why a group has no interval, short enough for a row in eighty columns."""
    return f"none: {counted(expectancy.sessions, 'session')}{'' if expectancy.sessions < LEAST_BLOCKS else ' alike'}"
