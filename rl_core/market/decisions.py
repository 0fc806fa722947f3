"""What may be decided at the close of a bar, and what a decision does at once: one mask for training and serving.

Each function is elementwise: it takes one account as plain integers or a batch as int32 arrays [B].
"""

from typing import NamedTuple

from rl_core.contract import BUY, DISABLE_TRAIL, ENABLE_TRAIL, MOVE_STOP_TO_BREAKEVEN, SELL
from rl_core.market.costs import breakeven_ticks, size, stop_distance, stop_loss, target_distance
from rl_core.market.fills import trailed
from rl_core.market.types import Account, Bool, Bracket, Code, Limits, Namespace, Order, Position, Terms, Ticks
from rl_core.market.yardstick import USUAL, Yardstick


class KnownAtClose(NamedTuple):
    """What is known at the close of a bar, besides the observation."""

    close: Ticks
    true_range_sum: Ticks  # of the last ``yardstick.atr_bars`` bars
    entry_open: Bool  # entries are decided now: in hours, warm, account alive
    flatten_due: Bool  # the session's flat time is near: everything is closed
    yardstick: Yardstick = USUAL  # how far off stop, target and trail lie
    bracket: Bracket | None = None  # of an entry that is decided here; None: that of the yardstick


class LegalActions(NamedTuple):
    """Which actions are allowed [B]; HOLD always is."""

    enter: Bool
    breakeven: Bool
    enable_trail: Bool
    disable_trail: Bool


def _bracket(xp: Namespace, known: KnownAtClose) -> Bracket:
    """Stop and target [B] of an entry that is decided at this close."""
    if known.bracket is not None:
        return known.bracket
    stop_ticks = stop_distance(xp, known.true_range_sum, known.yardstick)
    return Bracket(stop_ticks, target_distance(stop_ticks, known.yardstick))


def _breakeven_stop(xp: Namespace, position: Position, terms: Terms) -> Ticks:
    return position.entry + xp.sign(position.quantity) * breakeven_ticks(xp, terms)


def legal_actions(
    xp: Namespace, position: Position, account: Account, known: KnownAtClose, terms: Terms, limits: Limits
) -> LegalActions:
    """The mask [B] at this close: entries when flat and affordable, management when a position is open.

    An entry's stop must lie above the drawdown floor and the daily loss limit; ``limits`` are today's.
    """
    stop_ticks, target_ticks = _bracket(xp, known)
    quantity = size(xp, stop_ticks, terms, limits)
    room = account.cash - xp.maximum(account.floor, account.day_floor)
    affordable = room > quantity * stop_loss(xp, stop_ticks, terms)
    # A yardstick's stop is the same share of its target whatever the ATR is; dividing would cost training time.
    stops = known.yardstick.target_stops
    ratio_kept = limits.max_stop_percent * stops.numerator >= 100 * stops.denominator
    if known.bracket is not None:
        ratio_kept = -(-100 * stop_ticks // target_ticks) <= limits.max_stop_percent
    allowed = (account.paused == 0) & ratio_kept
    open_to_us = known.entry_open & xp.logical_not(known.flatten_due) & allowed

    side, manages = xp.sign(position.quantity), xp.logical_not(known.flatten_due)
    held = (side != 0) & manages
    breakeven = _breakeven_stop(xp, position, terms)
    beyond, tightens = side * (known.close - breakeven) > 0, side * (breakeven - position.stop) > 0
    return LegalActions(
        enter=(side == 0) & open_to_us & (quantity > 0) & affordable,
        breakeven=held & beyond & tightens,
        enable_trail=held & (position.trailing == 0),
        disable_trail=held & (position.trailing != 0),
    )


def action_mask(legal: LegalActions, phase: int) -> tuple[bool, ...]:
    """The mask of one account as the policy of ``phase`` numbers its actions, [3] or [6]."""
    entering = (True, legal.enter, legal.enter)
    return entering if phase == 1 else (*entering, legal.breakeven, legal.enable_trail, legal.disable_trail)


def order_for(
    xp: Namespace, action: Code, position: Position, known: KnownAtClose, terms: Terms, limits: Limits
) -> Order:
    """The order [B] that a legal action [B] places for the next open; the flat time overrides every action."""
    stop_ticks, target_ticks = _bracket(xp, known)
    side = xp.where(action == BUY, 1, xp.where(action == SELL, -1, 0))
    enters = (position.quantity == 0) & xp.logical_not(known.flatten_due)
    return Order(
        quantity=xp.where(enters, side * size(xp, stop_ticks, terms, limits), 0),
        stop_ticks=stop_ticks,
        target_ticks=target_ticks,
        flatten=known.flatten_due & (position.quantity != 0),
    )


def managed(xp: Namespace, action: Code, position: Position, known: KnownAtClose, terms: Terms) -> Position:
    """The position [B] after a legal management action [B], which binds from the next bar.

    ENABLE_TRAIL lets the stop follow this close already; DISABLE_TRAIL leaves it where it is.
    """
    stop = xp.where(action == MOVE_STOP_TO_BREAKEVEN, _breakeven_stop(xp, position, terms), position.stop)
    trailing = xp.where(action == ENABLE_TRAIL, 1, xp.where(action == DISABLE_TRAIL, 0, position.trailing))
    moved = position._replace(stop=stop, trailing=trailing)
    followed = trailed(xp, moved, known.close, known.true_range_sum, known.yardstick)
    return moved._replace(stop=xp.where(action == ENABLE_TRAIL, followed.stop, stop))
