"""Break-even costs: what is left of the profit is nothing, by hand and by pricing the trades anew."""

import numpy as np
import pytest

from rl_core.statistics.break_even import break_even


def test_the_costs_that_eat_the_profit() -> None:
    """Two contracts stopped, three at their target, $0.50 a tick: 2 x 2 + 3 = 7 slips and 10 sides for $70."""
    found = break_even(np.array([-3_000, 10_000]), np.array([2, -3]), np.array([False, True]), 50)

    assert found == pytest.approx((7_000 / (7 * 50), 7_000 / 10 / 50, 7.0))


def test_at_these_costs_nothing_is_left() -> None:
    rng = np.random.default_rng(0)
    pnl, quantity, target = rng.integers(-500, 700, 50), rng.integers(1, 9, 50), rng.random(50) < 0.4

    found = break_even(pnl, quantity, target, 125)

    assert found is not None
    slipped = pnl - found.slippage_ticks * 125 * quantity * np.where(target, 1, 2)
    dearer = pnl - 2 * quantity * found.commission_dollars * 100
    assert slipped.sum() == pytest.approx(0, abs=1e-6) and dearer.sum() == pytest.approx(0, abs=1e-6)


def test_a_loss_would_have_to_be_cheaper_and_no_trade_says_nothing() -> None:
    lost = break_even(np.array([-100]), np.array([1]), np.array([False]), 50)

    assert lost is not None and lost.slippage_ticks == -1 and lost.commission_dollars == -0.5
    assert break_even(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, bool), 50) is None
