"""What one bar does to an order and a bracket, for longs and shorts alike; `docs/timing.md` is the contract.

Everything is computed in the coordinates of a long: prices are multiplied by the side, so that ``adverse`` is the
extreme towards the stop and ``favourable`` the one towards the target. Each function is elementwise: it takes one
account as plain integers or a batch as int32 arrays [B], and returns the same form.
"""

from typing import NamedTuple

from rl_core.market.account import (
    equity,
    floor_after_close,
    floor_after_open_equity,
    holds_target,
    touches_daily_loss,
    touches_floor,
)
from rl_core.market.costs import stop_slippage, trail_distance
from rl_core.market.types import (
    ADAPTIVE,
    AT_DAILY_LOSS,
    AT_TARGET,
    DAILY_LOSS,
    FLAT,
    FLATTEN,
    LIQUIDATION,
    NO_EXIT,
    NOT_PAUSED,
    SESSION_END,
    STOP,
    TARGET,
    UNLIMITED,
    Account,
    BarOutcome,
    BarPrices,
    Bool,
    Cents,
    CentsPerTick,
    Code,
    Namespace,
    Order,
    Position,
    Rules,
    Terms,
    Ticks,
    chosen,
)
from rl_core.market.yardstick import USUAL, Yardstick

# A target is a limit order in a queue. A bar that only touches its price may have traded with the orders before ours,
# so it counts as filled once the bar trades one tick beyond it.
THROUGH_TICKS = 1


class Venue(NamedTuple):
    """What holds for a whole run: costs, the account's rules, and how a bar's inside is read."""

    terms: Terms
    rules: Rules
    resolution: Code  # PESSIMISTIC | ADAPTIVE | SECONDS (where a bar has no seconds: as PESSIMISTIC)


class BarExit(NamedTuple):
    """How a bar, or one second of it, ends a bracket."""

    price: Ticks  # in the coordinates of a long until `bracket_exit` hands it out
    reason: Code  # NO_EXIT, STOP, TARGET, LIQUIDATION or DAILY_LOSS
    floor: Cents  # as the prices up to the exit have raised it
    ambiguous: Bool


class OpenedBar(NamedTuple):
    """A bar whose open has met the order."""

    position: Position
    account: Account  # the entry's commission is paid
    flattens: Bool  # out at the open, whatever follows
    bar: BarPrices


class _AsLong(NamedTuple):
    """One bar and one bracket in the coordinates of a long."""

    open: Ticks
    adverse: Ticks
    favourable: Ticks
    close: Ticks
    entry: Ticks
    stop: Ticks
    target: Ticks
    value: CentsPerTick  # cents per tick of the whole position, at least 1
    cash: Cents
    day_floor: Cents  # open equity here is out for the day


def _seen_as_long(xp: Namespace, position: Position, account: Account, bar: BarPrices, venue: Venue) -> _AsLong:
    terms, side = venue.terms, xp.sign(position.quantity)
    long = side >= 0
    return _AsLong(
        open=side * bar.open,
        adverse=xp.where(long, bar.low, -bar.high),
        favourable=xp.where(long, bar.high, -bar.low),
        close=side * bar.close,
        entry=side * position.entry,
        stop=side * position.stop,
        target=side * position.target,
        value=xp.maximum(1, xp.abs(position.quantity) * terms.tick_value),
        cash=account.cash,
        day_floor=xp.where(venue.rules.daily_counts_open != 0, account.day_floor, -UNLIMITED),
    )


def _equity_at(price: Ticks, as_long: _AsLong) -> Cents:
    return as_long.cash + (price - as_long.entry) * as_long.value


def _price_at(level: Cents, as_long: _AsLong) -> Ticks:
    """The highest price at which equity is at ``level`` cents or below."""
    return as_long.entry + (level - as_long.cash) // as_long.value


def _floor_at(xp: Namespace, floor: Cents, price: Ticks, as_long: _AsLong, rules: Rules) -> Cents:
    """The floor once the price was at ``price``."""
    return floor_after_open_equity(xp, floor, _equity_at(price, as_long), rules)


def _killing_floor(xp: Namespace, floor: Cents, rules: Rules) -> Cents:
    """The floor that open equity must stay above; none where only closed balances count."""
    return xp.where(rules.kills_open != 0, floor, -UNLIMITED)


def _kill(xp: Namespace, floor: Cents, as_long: _AsLong, rules: Rules) -> Cents:
    """The open equity that ends the position: the drawdown floor or the day's limit, whichever is higher."""
    return xp.maximum(_killing_floor(xp, floor, rules), as_long.day_floor)


def _gap(xp: Namespace, floor: Cents, as_long: _AsLong, slip: Ticks, rules: Rules) -> BarExit:
    """The exit at the open, if the bar opens beyond a level.

    Nothing traded between the last close and this open. So a stop that the open has passed fills at the open, never at
    the better price of the stop itself; a target is booked at its own price, though a real one might fill at the open.
    """
    open_equity = _equity_at(as_long.open, as_long)
    at_floor, at_day_floor = open_equity <= _killing_floor(xp, floor, rules), open_equity <= as_long.day_floor
    stopped = at_floor | at_day_floor | (as_long.open <= as_long.stop)
    reached = as_long.open >= as_long.target + THROUGH_TICKS
    killed_by = xp.where(at_floor, LIQUIDATION, xp.where(at_day_floor, DAILY_LOSS, STOP))
    reason = xp.where(stopped, killed_by, xp.where(reached, TARGET, NO_EXIT))
    # A filled target ends the trade, so open equity beyond it never existed and must not raise the floor.
    best = xp.where(reached, as_long.target, as_long.open)
    return BarExit(
        xp.where(stopped, as_long.open - slip, as_long.target),
        reason,
        _floor_at(xp, floor, best, as_long, rules),
        False,
    )


def _inside(xp: Namespace, floor: Cents, as_long: _AsLong, slip: Ticks, venue: Venue) -> BarExit:
    """The exit inside the bar, after an open between the levels.

    A bar does not say whether its high or its low came first. `docs/timing.md` line 6 and DECISIONS 17 say what is
    assumed instead.
    """
    rules = venue.rules
    reached = as_long.favourable >= as_long.target + THROUGH_TICKS
    adaptive = venue.resolution == ADAPTIVE
    favourable_first = adaptive & (as_long.favourable - as_long.open < as_long.open - as_long.adverse)

    # Pessimistic books the worst of every order in which the bar's prices can have come. For the account, the best came
    # first and raised the floor; a target there was touched and not filled.
    best = xp.minimum(as_long.favourable, as_long.target)
    floor_at_open = _floor_at(xp, floor, as_long.open, as_long, rules)
    floor_at_best = _floor_at(xp, floor, best, as_long, rules)
    floor_before = xp.where(adaptive & xp.logical_not(favourable_first), floor_at_open, floor_at_best)
    killing = _killing_floor(xp, floor_before, rules)
    floor_reached = _equity_at(as_long.adverse, as_long) <= xp.maximum(killing, as_long.day_floor)
    in_reach = (as_long.adverse <= as_long.stop) | floor_reached
    stopped = in_reach & xp.logical_not(favourable_first & reached)
    targeted = reached & xp.logical_not(stopped)

    floor_after = _floor_at(xp, floor_before, xp.where(targeted, as_long.target, as_long.favourable), as_long, rules)
    # The close may lie under a floor that the bar's best price raised after the worst was survived. Only the floor can
    # act so late: the day's limit does not move inside a bar.
    late_kill = _kill(xp, floor_after, as_long, rules)
    late = xp.logical_not(stopped | targeted) & (_equity_at(as_long.close, as_long) <= late_kill)

    # For the profit, the worst price came first, while the floor was low, or after just so much of a rise that the
    # floor met it there. So no order of the prices leaves lower than the highest of the stop, the floor as the bar
    # opened, and the worst price. A floor that is known to have risen before the fall acts where it then was.
    acting = xp.where(favourable_first, floor_at_best, floor_at_open)
    kill = xp.where(stopped, _kill(xp, acting, as_long, rules), late_kill)
    kill_price = _price_at(kill, as_long)  # one division: it costs most of a bar's time
    worst_kill = xp.maximum(kill_price, as_long.adverse)
    killed_by = xp.where(_equity_at(worst_kill, as_long) <= killing, LIQUIDATION, DAILY_LOSS)
    stop_acts = (as_long.stop > kill_price) & (as_long.stop >= as_long.adverse)
    reason = xp.where(targeted, TARGET, xp.where(late, LIQUIDATION, NO_EXIT))
    level = xp.where(stopped, xp.maximum(as_long.stop, worst_kill), kill_price)
    return BarExit(
        price=xp.where(targeted, as_long.target, level - slip),
        reason=xp.where(stopped, xp.where(stop_acts, STOP, killed_by), reason),
        floor=xp.where(stopped, floor_before, floor_after),
        ambiguous=in_reach & reached,
    )


def bracket_exit(xp: Namespace, position: Position, account: Account, bar: BarPrices, venue: Venue) -> BarExit:
    """How the bar ends the bracket, first at its open and then inside; its ``price`` is in real ticks.

    Args:
        xp: `jax.numpy`, or `PlainIntegers`.
        position: the bracket, int32 [B] a field or plain integers; where it is flat, nothing exits.
        account: the account as the open left it.
        bar: ticks of the bar, or of one second of it.
        venue: scalars, or [B] where accounts trade several markets.
    """
    as_long = _seen_as_long(xp, position, account, bar, venue)
    slip = stop_slippage(xp, venue.terms)
    gap = _gap(xp, account.floor, as_long, slip, venue.rules)
    inside = _inside(xp, account.floor, as_long, slip, venue)
    gapped, held = gap.reason != NO_EXIT, position.quantity != 0
    return BarExit(
        price=xp.sign(position.quantity) * xp.where(gapped, gap.price, inside.price),
        reason=xp.where(held, xp.where(gapped, gap.reason, inside.reason), NO_EXIT),
        floor=xp.where(held, xp.where(gapped, gap.floor, inside.floor), account.floor),
        ambiguous=held & xp.logical_not(gapped) & inside.ambiguous,
    )


def resting_level(xp: Namespace, position: Position, account: Account, bar: BarPrices, venue: Venue) -> Ticks:
    """The price [B] at which stop, floor or daily loss acts while the floor rests, in the coordinates of a long."""
    as_long = _seen_as_long(xp, position, account, bar, venue)
    return xp.maximum(as_long.stop, _price_at(_kill(xp, account.floor, as_long, venue.rules), as_long))


def closed_where(xp: Namespace, closing: Bool, position: Position) -> Position:
    """The position [B] made flat where ``closing`` [B] holds."""
    return chosen(xp, closing, FLAT, position)


class _Settled(NamedTuple):
    """An account that has closed its position."""

    cash: Cents
    floor: Cents


def _settled(xp: Namespace, position: Position, account: Account, floor: Cents, price: Ticks, venue: Venue) -> _Settled:
    """The account once the whole position was closed at ``price`` ticks, with the ``floor`` that stood then."""
    commission = xp.abs(position.quantity) * venue.terms.commission
    cash = equity(account, position, price, venue.terms) - commission
    return _Settled(cash, floor_after_close(xp, floor, cash, venue.rules))


class _LimitedAccount(NamedTuple):
    """An account after a bar, once its floor and its daily loss have been applied."""

    account: Account
    failed: Bool


def with_limits_applied(
    xp: Namespace, account: Account, open_equity: Cents, reason: Code, rules: Rules
) -> _LimitedAccount:
    """What the floor, the daily loss and the target make of an account that stands at ``open_equity``.

    A trade that exits for ``reason`` with the target banked ends the session's entries where the account stands down.
    """
    daily = (reason == DAILY_LOSS) | touches_daily_loss(xp, account, open_equity, rules)
    daily_pause = xp.where(daily, AT_DAILY_LOSS, NOT_PAUSED)
    stands_down = (reason != NO_EXIT) & (rules.stand_down != 0) & holds_target(account, rules)
    failed = (reason == LIQUIDATION) | touches_floor(xp, account, open_equity, rules)
    return _LimitedAccount(
        account=account._replace(paused=xp.maximum(account.paused, xp.where(stands_down, AT_TARGET, daily_pause))),
        failed=failed | (daily & (rules.daily_fails != 0)),
    )


def _entered(xp: Namespace, position: Position, order: Order, bar: BarPrices, terms: Terms) -> Position:
    """The position after the order met the open; while one is open, no other is entered."""
    side = xp.sign(order.quantity)
    fill = bar.open + side * terms.slippage_ticks
    new = Position(
        quantity=order.quantity,
        entry=fill,
        stop=fill - side * order.stop_ticks,
        target=fill + side * order.target_ticks,
        stop_ticks=order.stop_ticks,
        trailing=0,
        bars_held=0,
    )
    enters = (position.quantity == 0) & (order.quantity != 0)
    return chosen(xp, enters, new, position)


def open_bar(
    xp: Namespace, position: Position, account: Account, order: Order, bar: BarPrices, terms: Terms
) -> OpenedBar:
    """The position and account [B] once the order has met the bar's open, one slippage worse.

    Stop and target are offsets from this fill, and they live from it on: the rest of the bar can end the trade.
    """
    was_flat = position.quantity == 0
    position = _entered(xp, position, order, bar, terms)
    enters = was_flat & (position.quantity != 0)
    entry_costs = xp.where(enters, xp.abs(position.quantity) * terms.commission, 0)
    account = account._replace(cash=account.cash - entry_costs)
    return OpenedBar(position, account, order.flatten & (position.quantity != 0), bar)


def close_bar(xp: Namespace, opened: OpenedBar, bracket: BarExit, venue: Venue) -> BarOutcome:
    """The bar's outcome [B] once ``bracket`` says how it ends the position; a flatten at its open comes before that."""
    position, account, flattens, bar = opened
    reason = xp.where(flattens, FLATTEN, bracket.reason)
    slip = stop_slippage(xp, venue.terms)
    price = xp.where(flattens, bar.open - xp.sign(position.quantity) * slip, bracket.price)
    open_equity = equity(account, position, bar.open, venue.terms)
    floor_at_open = floor_after_open_equity(xp, account.floor, open_equity, venue.rules)
    floor = xp.where(flattens, floor_at_open, bracket.floor)

    exits = reason != NO_EXIT
    settled = _settled(xp, position, account, floor, price, venue)
    after = account._replace(
        cash=xp.where(exits, settled.cash, account.cash), floor=xp.where(exits, settled.floor, floor)
    )
    remaining = closed_where(xp, exits, position)
    standing = with_limits_applied(xp, after, equity(after, remaining, bar.close, venue.terms), reason, venue.rules)
    return BarOutcome(
        position=remaining._replace(bars_held=xp.where(remaining.quantity != 0, remaining.bars_held + 1, 0)),
        account=standing.account,
        entry_price=position.entry,
        exit_quantity=xp.where(exits, position.quantity, 0),
        exit_price=xp.where(exits, price, 0),
        exit_reason=reason,
        risk=xp.abs(position.quantity) * position.stop_ticks * venue.terms.tick_value,
        failed=standing.failed,
        ambiguous=bracket.ambiguous & xp.logical_not(flattens),
    )


def play_bar(
    xp: Namespace, position: Position, account: Account, order: Order, bar: BarPrices, venue: Venue
) -> BarOutcome:
    """The outcome of one bar: the order at its open, then the bracket; an intraday floor follows open equity.

    Args:
        xp: `jax.numpy`, or `PlainIntegers`.
        position: what was held at the last close, int32 [B] a field or plain integers.
        account: as it stood at the last close.
        order: what was decided there.
        bar: ticks of the bar.
        venue: scalars, or [B] where accounts trade several markets.
    """
    opened = open_bar(xp, position, account, order, bar, venue.terms)
    return close_bar(xp, opened, bracket_exit(xp, opened.position, opened.account, bar, venue), venue)


def closed_at_last_price(xp: Namespace, position: Position, account: Account, close: Ticks, venue: Venue) -> BarOutcome:
    """The outcome [B] of a session that ends without an open to flatten at: out at ``close``, one slippage worse."""
    held = position.quantity != 0
    price = close - xp.sign(position.quantity) * stop_slippage(xp, venue.terms)
    settled = _settled(xp, position, account, account.floor, price, venue)
    after = account._replace(
        cash=xp.where(held, settled.cash, account.cash), floor=xp.where(held, settled.floor, account.floor)
    )
    reason = xp.where(held, SESSION_END, NO_EXIT)
    standing = with_limits_applied(xp, after, after.cash, reason, venue.rules)
    return BarOutcome(
        position=closed_where(xp, held, position),
        account=standing.account,
        entry_price=position.entry,
        exit_quantity=position.quantity,
        exit_price=price,
        exit_reason=reason,
        risk=xp.abs(position.quantity) * position.stop_ticks * venue.terms.tick_value,
        failed=standing.failed,
        ambiguous=held & False,
    )


def trailed(
    xp: Namespace, position: Position, close: Ticks, true_range_sum: Ticks, yardstick: Yardstick = USUAL
) -> Position:
    """The position [B] after its trailing stop followed the close. It binds from the next bar.

    The close is the bar's last price, so a stop set from it may not be tested on that bar's low.
    """
    side = xp.sign(position.quantity)
    followed = close - side * trail_distance(xp, true_range_sum, yardstick)
    tighter = xp.where(side > 0, xp.maximum(position.stop, followed), xp.minimum(position.stop, followed))
    moves = (side != 0) & (position.trailing != 0)
    return position._replace(stop=xp.where(moves, tighter, position.stop))
