"""The Sharpe ratio of an evaluation counts sessions without a trade, and needs ten with one."""

import numpy as np
import pytest

from rl_core.evaluation.certainty import certainty
from rl_core.evaluation.evaluate import Evaluation
from rl_core.evaluation.trades import trades_from
from rl_core.market.types import STOP, TARGET, Terms

TERMS = Terms(tick_value=50, commission=60, slippage_ticks=1)


def evaluation(sessions_with_trades: int, sessions: int) -> Evaluation:
    """One trade a session of one contract, in turn +3 R at its target and -1 R at its stop."""
    rows = [
        (day, 1, 1, 10 * day, 100, 10 * day + 5, 101, *((TARGET, 3_000) if day % 2 else (STOP, -1_000)), 1_000)
        for day in range(sessions_with_trades)
    ]
    return Evaluation(trades_from(rows), sessions, 0, None)


def test_sessions_without_a_trade_earned_nothing() -> None:
    earned = np.array([-1.0, 3.0] * 10 + [0.0] * 20)

    found = certainty(evaluation(20, 40), TERMS)

    assert found["sharpe_a_year"] == pytest.approx(earned.mean() / earned.std(ddof=1) * np.sqrt(252))
    assert 0.9 < found["sharpe_above_zero"] < 1 and 10 < found["sessions_needed"] < 40  # type: ignore[operator]
    assert found["break_even_slippage_ticks"] == pytest.approx(20_000 / (50 * (10 + 20)))
    assert found["break_even_commission_dollars"] == pytest.approx(200 / 40)


def test_under_ten_sessions_with_trades_there_is_no_ratio() -> None:
    found = certainty(evaluation(9, 40), TERMS)

    assert found["sharpe_a_year"] is found["sharpe_above_zero"] is found["sessions_needed"] is None
    assert found["break_even_slippage_ticks"] is not None
