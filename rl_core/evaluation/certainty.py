"""How sure the sessions of an evaluation are as a whole, and at what costs its trades would earn nothing."""

import numpy as np
import numpy.typing as npt

from rl_core.evaluation.evaluate import Evaluation
from rl_core.market.types import TARGET, Terms
from rl_core.statistics.break_even import break_even
from rl_core.statistics.sharpe import SharpeRatio, minimum_track_record, probabilistic_sharpe, sharpe_ratio
from trigate.intervals import LEAST_BLOCKS

NAMES = ("sharpe_a_year", "sharpe_above_zero", "sessions_needed")


def sharpe_of(session: npt.NDArray[np.int64], r: npt.NDArray[np.float64], sessions: int) -> SharpeRatio | None:
    """The Sharpe ratio of R a session; None under ten sessions with trades.

    Args:
        session: [N] the trading day of each trade.
        r: [N] what each earned.
        sessions: that were played; one without a trade earned 0.
    """
    days, row = np.unique(session, return_inverse=True)
    earned = np.zeros(sessions)
    earned[: len(days)] = np.bincount(row, weights=r, minlength=len(days))
    return sharpe_ratio(earned) if len(days) >= LEAST_BLOCKS else None


def certainty(evaluation: Evaluation, terms: Terms) -> dict[str, float | None]:
    """The Sharpe ratio of R a session with its probability and the record it needs, and break-even costs.

    Under ten sessions with trades there is no ratio, as there is no interval.
    """
    trades = evaluation.trades
    found = sharpe_of(trades.session, trades.r, evaluation.sessions)
    figures: dict[str, float | None] = dict.fromkeys(NAMES)
    if found is not None:
        values = (found.annualised, probabilistic_sharpe(found), minimum_track_record(found))
        figures = dict(zip(NAMES, values, strict=True))
    costs = break_even(trades.pnl_cents, trades.quantity, trades.reason == TARGET, int(terms.tick_value))
    for name in ("slippage_ticks", "commission_ticks", "commission_dollars"):
        figures[f"break_even_{name}"] = None if costs is None else getattr(costs, name)
    return figures
