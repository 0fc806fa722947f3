"""The numbers of a column by themselves: what can be used of them, and what stands where one cannot."""

from decimal import Decimal

import numpy as np
import pyarrow as pa

from rl_core.bars.numbers import check_prices


def test_where_a_price_cannot_be_used_stands_zero() -> None:
    """Off the grid, below zero, not a number; the others are whole ticks, and where all are fine nothing is changed."""
    column = pa.chunked_array([[100.25, 100.3, -1.0, float("nan"), 7.0]])
    found = check_prices(column, Decimal("0.25"), np.arange(5), "close")
    fine = check_prices(pa.chunked_array([[100.25, 7.0]]), Decimal("0.25"), np.arange(2), "close")

    assert found.values.tolist() == [401, 0, 0, 0, 28] and found.numbers.tolist() == [100.25, 100.3, -1.0, 0.0, 7.0]
    assert found.usable.tolist() == [True, False, False, False, True]
    assert sorted(fault.code for fault in found.faults) == ["bad_number", "off_tick", "price_range"]
    assert fine.values.tolist() == [401, 28] and fine.usable.all() and not fine.faults
