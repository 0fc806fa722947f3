"""How much dearer trading could become before a list of trades earns nothing."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]


class BreakEven(NamedTuple):
    """Costs on top of those already paid at which the profit is gone; negative: so much cheaper it would have to be."""

    slippage_ticks: float  # at every market and stop fill; targets are limit orders and do not slip
    commission_ticks: float  # a side and contract, in ticks of its value ...
    commission_dollars: float  # ... and in dollars


def break_even(
    pnl_cents: Integers, quantity: Integers, at_target: npt.NDArray[np.bool_], tick_value: int
) -> BreakEven | None:
    """The costs at which the trades' total profit is zero; None without a trade.

    The same trades are priced anew: none is left out because it has become dear, and none changes its size.

    Args:
        pnl_cents: [N] after the costs that were paid.
        quantity: [N] contracts, signed or not.
        at_target: [N] whether the exit was a target's limit order.
        tick_value: cents of one tick of one contract.
    """
    if not len(pnl_cents):
        return None
    contracts, profit = np.abs(quantity), float(pnl_cents.sum())
    slipping = float((contracts * np.where(at_target, 1, 2)).sum())  # an entry always slips
    cents_a_side = profit / (2 * float(contracts.sum()))
    return BreakEven(profit / (slipping * tick_value), cents_a_side / tick_value, cents_a_side / 100)
