"""Groups the trades of an evaluation by the regime in which each was decided."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rl_core.evaluation.trades import Trades
from rl_core.features.market_view import MarketView
from rl_core.regimes.fitted import LABELS, WILD_FROM, Frozen, wild_percents
from rl_core.regimes.labels import PARTS, VOLATILITIES, compute_regimes
from rl_core.statistics.bootstrap import Interval, session_block_bootstrap

STATES = ("calm", "wild")


class RegimeTrades(NamedTuple):
    """The trades of one group."""

    kind: str  # regime, hidden state or part of the session
    name: str
    trades: int
    expectancy: Interval  # mean R a trade

    def row(self) -> dict[str, Any]:
        """Plain values; no bounds from a single session, which cannot be resampled."""
        mean, low, high, _, sessions, _ = self.expectancy
        bounds = {"low": low, "high": high} if sessions > 1 else {"low": None, "high": None}
        return {
            "kind": self.kind,
            "name": self.name,
            "trades": self.trades,
            "sessions": sessions,
            "mean_r": mean,
        } | bounds


def by_regime(trades: Trades, view: MarketView, regimes: Frozen) -> list[RegimeTrades]:
    """``trades`` on ``view`` by label, by hidden state where one is known, and by part of the session."""
    regimes_at_bars, at = compute_regimes(view, regimes.thresholds), trades.decided
    groups = _groups_with_trades(
        "regime", LABELS, (regimes_at_bars.direction * len(VOLATILITIES) + regimes_at_bars.volatility)[at], trades
    )
    if regimes.model is not None:
        wild = wild_percents(regimes.model.states(view))[at] >= WILD_FROM
        groups += _groups_with_trades("hidden state", STATES, wild.astype(np.int64), trades)
    return [*groups, *_groups_with_trades("part of the session", PARTS, regimes_at_bars.part[at], trades)]


def _groups_with_trades(
    kind: str, names: tuple[str, ...], group: npt.NDArray[np.int64], trades: Trades
) -> list[RegimeTrades]:
    """The groups that have a trade; ``group`` [N] is the index of each trade's name."""
    rows = []
    for k, name in enumerate(names):
        in_group = group == k
        expectancy = session_block_bootstrap(trades.r[in_group], trades.session[in_group])
        if expectancy is not None:
            rows.append(RegimeTrades(kind, name, int(in_group.sum()), expectancy))
    return rows


def regime_table_lines(groups: list[RegimeTrades], regimes: Frozen) -> list[str]:
    """The groups as lines of a table for the terminal."""
    how = "fitted on the training split" if regimes.model is not None else "the usual ones, none were fitted"
    trend, calm, wild = regimes.thresholds
    lines = [f"by regime (thresholds {how}: {trend / 1000:g} ATR an hour, percentiles {calm} and {wild})"]
    lines.append(f"{'':<21}{'':<12}{'trades':>8}{'mean R':>10}   95 % by session")
    for group in groups:
        row = group.row()
        bounds = "no interval: one session" if row["low"] is None else f"{row['low']:+.3f} to {row['high']:+.3f}"
        lines.append(f"{group.kind:<21}{group.name:<12}{group.trades:>8}{row['mean_r']:>+10.3f}   {bounds}")
    return lines
