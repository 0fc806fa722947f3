"""How sure the sessions of an evaluation are as a whole, and at what costs its trades would earn nothing."""

from rl_core.evaluation.evaluate import Evaluation
from rl_core.market.types import TARGET, Terms
from rl_core.statistics.break_even import break_even
from rl_core.statistics.sharpe import minimum_track_record, probabilistic_sharpe, sharpe_of

NAMES = ("sharpe_a_year", "sharpe_above_zero", "sessions_needed")


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
