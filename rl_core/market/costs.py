"""Distances, costs and sizes of one bracket; exact integers on every device."""

from rl_core.market.types import Frictions, Int, Limits, Namespace, Order, Terms

TARGET_MULTIPLE = 3
TRUE_RANGES = 14


def stop_distance(xp: Namespace, true_range_sum: Int) -> Int:
    """Ticks of 1.5 x ATR14, rounded up, at least 1; ``true_range_sum`` is the sum of 14 true ranges in ticks."""
    return xp.maximum(1, (3 * true_range_sum + 27) // 28)


def trail_distance(xp: Namespace, true_range_sum: Int) -> Int:
    """Ticks of 1 x ATR14, rounded up, at least 1."""
    return xp.maximum(1, (true_range_sum + TRUE_RANGES - 1) // TRUE_RANGES)


def stop_slippage(xp: Namespace, terms: Terms) -> Int:
    """Ticks that a stop, flatten or liquidation loses: never less than one."""
    return xp.maximum(1, terms.slippage_ticks)


def slippage_ticks(xp: Namespace, frictions: Frictions, minute: Int, true_range_sum: Int) -> Int:
    """Ticks that a fill loses in the bar that begins in this ET ``minute``, as known at the close before it."""
    of_atr = (frictions.atr_milli * true_range_sum + 1000 * TRUE_RANGES - 1) // (1000 * TRUE_RANGES)
    return xp.maximum(frictions.by_minute[minute], of_atr)


def fillable(frictions: Frictions, volume: Int) -> Int:
    """Contracts of an entry that a bar of this volume fills, where there is a cap."""
    return volume * frictions.volume_milli // 1000


def capped(xp: Namespace, order: Order, most: Int) -> Order:
    """The part of the order that fills; the rest is cancelled at the bar's close. Stop and target are offsets."""
    return order._replace(quantity=xp.sign(order.quantity) * xp.minimum(xp.abs(order.quantity), most))


def round_trip_costs(xp: Namespace, terms: Terms) -> Int:
    """Cents per contract that a stopped-out trade loses beyond its stop: two commissions and the stop's slippage.

    The slippage of the entry is inside the fill, from which the bracket is measured.
    """
    return 2 * terms.commission + stop_slippage(xp, terms) * terms.tick_value


def stop_loss(xp: Namespace, stop_ticks: Int, terms: Terms) -> Int:
    """Cents per contract lost if the stop is hit, costs included."""
    return stop_ticks * terms.tick_value + round_trip_costs(xp, terms)


def size(xp: Namespace, stop_ticks: Int, terms: Terms, limits: Limits) -> Int:
    """Contracts that the risk budget pays for, capped; 0 means that the entry is not legal."""
    return xp.minimum(limits.risk_budget // stop_loss(xp, stop_ticks, terms), limits.max_quantity)


def breakeven_ticks(xp: Namespace, terms: Terms) -> Int:
    """Ticks beyond the entry that cover the round trip, rounded up (against us)."""
    return -(-round_trip_costs(xp, terms) // terms.tick_value)
