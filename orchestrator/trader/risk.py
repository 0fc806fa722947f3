"""Our own limits, checked last, on the current state: an order passes or is denied with a code."""

from typing import Literal, NamedTuple

from rl_core.market.broker import XP
from rl_core.market.costs import stop_loss
from rl_core.market.fills import Venue
from rl_core.market.types import AT_TARGET, Account, Limits, Order

DenialCode = Literal[
    "account_ended",
    "paused",
    "at_target",
    "quantity",
    "no_stop",
    "stop_to_target",
    "risk_budget",
    "room_to_floor",
    "room_to_daily_loss",
    "entries_per_session",
]


class RiskLimits(NamedTuple):
    """What no order may pass."""

    limits: Limits  # today's
    max_entries_per_session: int


class Exposure(NamedTuple):
    """What the limits are held against."""

    account: Account
    active: bool
    entries_this_session: int


def check(order: Order, exposure: Exposure, venue: Venue, risk: RiskLimits) -> DenialCode | None:
    """Why the order is denied, or None."""
    loss = abs(order.quantity) * stop_loss(XP, order.stop_ticks, venue.terms)
    if not exposure.active:
        return "account_ended"
    return _unfit(order, loss, risk.limits) or _no_room(loss, exposure, risk)


def _unfit(order: Order, loss: int, limits: Limits) -> DenialCode | None:
    """What is wrong with the order itself."""
    if not 0 < abs(order.quantity) <= limits.max_quantity:
        return "quantity"
    if order.stop_ticks <= 0:
        return "no_stop"
    if order.stop_ticks * 100 > limits.max_stop_percent * order.target_ticks:
        return "stop_to_target"
    return "risk_budget" if loss > limits.risk_budget else None


def _no_room(loss: int, exposure: Exposure, risk: RiskLimits) -> DenialCode | None:
    """Why the account takes no such order now."""
    account = exposure.account
    if account.paused:
        return "at_target" if account.paused == AT_TARGET else "paused"
    if account.cash - account.floor <= loss:
        return "room_to_floor"
    if account.cash - account.day_floor <= loss:
        return "room_to_daily_loss"
    return "entries_per_session" if exposure.entries_this_session >= risk.max_entries_per_session else None
