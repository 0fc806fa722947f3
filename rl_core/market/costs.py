"""Distances, costs and sizes of one bracket, in integers, so that every device gives the same.

Each function is elementwise: it takes plain integers or int32 arrays [B], [T] where bars are meant.
"""

import math
from fractions import Fraction

from rl_core.market.types import Cents, Contracts, Frictions, Limits, Minute, Namespace, Order, Terms, Ticks
from rl_core.market.yardstick import USUAL, Yardstick


def stop_distance(xp: Namespace, true_range_sum: Ticks, yardstick: Yardstick = USUAL) -> Ticks:
    """Ticks [B] from the fill to the stop, rounded up, at least 1; usually 1.5 x ATR14.

    Args:
        xp: `jax.numpy`, `numpy` or `PlainIntegers`.
        true_range_sum: the last ``yardstick.atr_bars`` true ranges.
        yardstick: what a stop is in ATRs.
    """
    return xp.maximum(1, _rounded_up(true_range_sum, yardstick.stop_atr, yardstick.atr_bars))


def target_distance(stop_ticks: Ticks, yardstick: Yardstick = USUAL) -> Ticks:
    """Ticks [B] from the fill to the target, rounded up; usually 3 stops."""
    return _rounded_up(stop_ticks, yardstick.target_stops)


def trail_distance(xp: Namespace, true_range_sum: Ticks, yardstick: Yardstick = USUAL) -> Ticks:
    """Ticks [B] from a close to the stop that trails it, rounded up, at least 1; usually 1 x ATR14."""
    return xp.maximum(1, _rounded_up(true_range_sum, yardstick.trail_atr, yardstick.atr_bars))


def _rounded_up(ticks: Ticks, times: Fraction, of: int = 1) -> Ticks:
    """``times`` x ``ticks`` [B] / ``of`` in integers; the limits of the settings keep the product within an int32."""
    numerator, denominator = times.numerator, of * times.denominator
    common = math.gcd(numerator, denominator)
    numerator, denominator = numerator // common, denominator // common
    return (numerator * ticks + denominator - 1) // denominator


def stop_slippage(xp: Namespace, terms: Terms) -> Ticks:
    """Ticks [B] that a stop, flatten or liquidation loses: at least one, since it takes what the market offers."""
    return xp.maximum(1, terms.slippage_ticks)


def slippage_ticks(xp: Namespace, frictions: Frictions, minute: Minute, true_range_sum: Ticks) -> Ticks:
    """Ticks [B] that a fill loses in the bar that begins in this exchange ``minute`` [B], known at the close before."""
    whole = 1000 * frictions.atr_bars
    of_atr = (frictions.atr_milli * true_range_sum + whole - 1) // whole
    return xp.maximum(frictions.by_minute[minute], of_atr)


def fillable(frictions: Frictions, volume: Contracts) -> Contracts:
    """Contracts [B] of an entry that a bar of this ``volume`` fills, where there is a cap."""
    return volume * frictions.volume_milli // 1000


def capped(xp: Namespace, order: Order, most: Contracts) -> Order:
    """The part of the order [B] that fills, ``most`` contracts [B] at most; the bar's close cancels the rest."""
    return order._replace(quantity=xp.sign(order.quantity) * xp.minimum(xp.abs(order.quantity), most))


def round_trip_costs(xp: Namespace, terms: Terms) -> Cents:
    """Cents [B] per contract that a trade loses beyond its stop: two commissions and the stop's slippage.

    The slippage of the entry is inside the fill, from which the bracket is measured.
    """
    return 2 * terms.commission + stop_slippage(xp, terms) * terms.tick_value


def stop_loss(xp: Namespace, stop_ticks: Ticks, terms: Terms) -> Cents:
    """Cents [B] per contract lost if the stop is hit, costs included."""
    return stop_ticks * terms.tick_value + round_trip_costs(xp, terms)


def size(xp: Namespace, stop_ticks: Ticks, terms: Terms, limits: Limits) -> Contracts:
    """Contracts [B] that the risk budget pays for, capped; 0 means that the entry is not legal."""
    return xp.minimum(limits.risk_budget // stop_loss(xp, stop_ticks, terms), limits.max_quantity)


def breakeven_ticks(xp: Namespace, terms: Terms) -> Ticks:
    """Ticks [B] beyond the entry that cover the round trip, rounded up, so that break-even never loses a cent."""
    return -(-round_trip_costs(xp, terms) // terms.tick_value)
