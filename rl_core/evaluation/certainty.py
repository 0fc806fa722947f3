"""How sure the sessions of an evaluation are as a whole, and at what costs its trades would earn nothing."""

import numpy as np

from rl_core.evaluation.evaluate import Evaluation
from rl_core.market.types import TARGET, Terms
from rl_core.statistics.break_even import break_even
from rl_core.statistics.sharpe import minimum_track_record, probabilistic_sharpe, sharpe_ratio
from trigate.intervals import LEAST_BLOCKS

NAMES = ("sharpe_a_year", "sharpe_above_zero", "sessions_needed")


def certainty(evaluation: Evaluation, terms: Terms) -> dict[str, float | None]:
    """The Sharpe ratio of R a session with its probability and the record it needs, and break-even costs.

    A session without a trade earned 0 R. Under ten sessions with trades there is no ratio, as there is no interval.
    """
    trades = evaluation.trades
    days, row = np.unique(trades.session, return_inverse=True)
    earned = np.zeros(evaluation.sessions)
    earned[: len(days)] = np.bincount(row, weights=trades.r, minlength=len(days))
    found = sharpe_ratio(earned) if len(days) >= LEAST_BLOCKS else None
    figures: dict[str, float | None] = dict.fromkeys(NAMES)
    if found is not None:
        values = (found.annualised, probabilistic_sharpe(found), minimum_track_record(found))
        figures = dict(zip(NAMES, values, strict=True))
    costs = break_even(trades.pnl_cents, trades.quantity, trades.reason == TARGET, int(terms.tick_value))
    for name in ("slippage_ticks", "commission_ticks", "commission_dollars"):
        figures[f"break_even_{name}"] = None if costs is None else getattr(costs, name)
    return figures
