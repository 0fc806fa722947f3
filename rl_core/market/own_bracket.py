"""The stop and target that an entry brings with it, and what becomes of them where it fills."""

from typing import NamedTuple

from rl_core.market.types import NO_ORDER, Bracket, Order


class OwnBracket(NamedTuple):
    """The stop and target that one entry brings with it."""

    distances: Bracket  # from the close at which it is decided
    stop: int | None = None  # ticks, where the stop is a price that stays wherever the entry fills
    target: int | None = None  # the same of the target


def at_own_prices(order: Order, own: OwnBracket | None, fill: int) -> Order:
    """The order with a stop and target that lie at given prices, if any; none where ``fill`` is beyond one of them.

    A bracket whose stop or target the market has already passed is refused wherever brackets are sent.
    """
    if own is None or not order.quantity:
        return order
    side = 1 if order.quantity > 0 else -1
    stop_ticks = order.stop_ticks if own.stop is None else side * (fill - own.stop)
    target_ticks = order.target_ticks if own.target is None else side * (own.target - fill)
    if min(stop_ticks, target_ticks) <= 0:
        return NO_ORDER
    return order._replace(stop_ticks=stop_ticks, target_ticks=target_ticks)
