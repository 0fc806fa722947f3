"""Our own limits, checked last, on the current state: an order passes or is denied with a code."""

from typing import Literal, NamedTuple

from orchestrator.broker import XP
from rl_core.market.costs import stop_loss
from rl_core.market.fills import Venue
from rl_core.market.types import Account, Limits, Order

DenialCode = Literal["account_ended", "quantity", "room_to_floor", "entries_per_session"]


class RiskLimits(NamedTuple):
    """What no order may pass."""

    limits: Limits
    max_entries_per_session: int


class Exposure(NamedTuple):
    """What the limits are held against."""

    account: Account
    active: bool
    entries_this_session: int


def check(order: Order, exposure: Exposure, venue: Venue, risk: RiskLimits) -> DenialCode | None:
    """Why the order is denied, or None."""
    quantity = abs(order.quantity)
    loss = quantity * stop_loss(XP, order.stop_ticks, venue.terms)
    if not exposure.active:
        return "account_ended"
    if not 0 < quantity <= risk.limits.max_quantity:
        return "quantity"
    if exposure.account.cash - exposure.account.floor <= loss:
        return "room_to_floor"
    if exposure.entries_this_session >= risk.max_entries_per_session:
        return "entries_per_session"
    return None
