"""What one bar does to an order and a bracket: DESIGN.md section 4, for longs and shorts alike.

Everything is computed in the coordinates of a long: prices are multiplied by the side, so that
``adverse`` is the extreme towards the stop and ``favourable`` the one towards the target.
"""

from typing import NamedTuple

from rl_core.market.account import (
    equity,
    floor_after_close,
    floor_after_open_equity,
    touches_daily_loss,
    touches_floor,
)
from rl_core.market.costs import stop_slippage, trail_distance
from rl_core.market.types import (
    ADAPTIVE,
    DAILY_LOSS,
    FLAT,
    FLATTEN,
    LIQUIDATION,
    NO_EXIT,
    SESSION_END,
    STOP,
    TARGET,
    UNLIMITED,
    Account,
    BarPrices,
    Bool,
    Int,
    Namespace,
    Order,
    Played,
    Position,
    Rules,
    Terms,
)

THROUGH_TICKS = 1  # a target is a limit order: the bar must trade beyond it


class Venue(NamedTuple):
    """What holds for a whole run: costs, the account's rules, and how a bar's inside is read."""

    terms: Terms
    rules: Rules
    resolution: Int  # PESSIMISTIC | ADAPTIVE | SECONDS (where a bar has no seconds: as PESSIMISTIC)


class BarExit(NamedTuple):
    """How a bar, or one second of it, ends a bracket."""

    price: Int  # ticks; in the coordinates of a long until `bracket_exit` hands it out
    reason: Int  # NO_EXIT, STOP, TARGET, LIQUIDATION or DAILY_LOSS
    floor: Int  # cents, as the prices up to the exit have raised it
    ambiguous: Bool


class OpenedBar(NamedTuple):
    """A bar whose open has met the order."""

    position: Position
    account: Account  # the entry's commission is paid
    flattens: Bool  # out at the open, whatever follows
    bar: BarPrices


class _Sided(NamedTuple):
    """One bar and one bracket in the coordinates of a long."""

    open: Int
    adverse: Int
    favourable: Int
    close: Int
    entry: Int
    stop: Int
    target: Int
    value: Int  # cents per tick of the whole position, at least 1
    cash: Int
    day_floor: Int  # cents; open equity here is out for the day


def _sided(xp: Namespace, position: Position, account: Account, bar: BarPrices, venue: Venue) -> _Sided:
    terms, side = venue.terms, xp.sign(position.quantity)
    long = side >= 0
    return _Sided(
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


def _equity_at(price: Int, b: _Sided) -> Int:
    return b.cash + (price - b.entry) * b.value


def _price_at(level: Int, b: _Sided) -> Int:
    """The highest price at which equity is at ``level`` cents or below."""
    return b.entry + (level - b.cash) // b.value


def _floor_at(xp: Namespace, floor: Int, price: Int, b: _Sided, rules: Rules) -> Int:
    """The floor once the price was at ``price``."""
    return floor_after_open_equity(xp, floor, _equity_at(price, b), rules)


def _killing_floor(xp: Namespace, floor: Int, rules: Rules) -> Int:
    """The floor that open equity must stay above; none where only closed balances count."""
    return xp.where(rules.kills_open != 0, floor, -UNLIMITED)


def _kill(xp: Namespace, floor: Int, b: _Sided, rules: Rules) -> Int:
    """The open equity that ends the position: the floor's or the day's limit, whichever is higher."""
    return xp.maximum(_killing_floor(xp, floor, rules), b.day_floor)


def _gap(xp: Namespace, floor: Int, b: _Sided, slip: Int, rules: Rules) -> BarExit:
    """The exit at the open, if the bar opens beyond a level; it never traded at the level itself."""
    open_equity = _equity_at(b.open, b)
    at_floor, at_day_floor = open_equity <= _killing_floor(xp, floor, rules), open_equity <= b.day_floor
    stopped = at_floor | at_day_floor | (b.open <= b.stop)
    reached = b.open >= b.target + THROUGH_TICKS
    killed_by = xp.where(at_floor, LIQUIDATION, xp.where(at_day_floor, DAILY_LOSS, STOP))
    reason = xp.where(stopped, killed_by, xp.where(reached, TARGET, NO_EXIT))
    best = xp.where(reached, b.target, b.open)  # the open was seen, but nothing beyond a filled target
    return BarExit(xp.where(stopped, b.open - slip, b.target), reason, _floor_at(xp, floor, best, b, rules), False)


def _inside(xp: Namespace, floor: Int, b: _Sided, slip: Int, venue: Venue) -> BarExit:
    """The exit inside the bar, after an open between the levels."""
    rules = venue.rules
    reached = b.favourable >= b.target + THROUGH_TICKS
    adaptive = venue.resolution == ADAPTIVE
    favourable_first = adaptive & (b.favourable - b.open < b.open - b.adverse)

    # Pessimistic: the best price raises the floor although the stop comes first; two worst cases at once, on purpose.
    best = xp.where(reached, xp.maximum(b.open, b.target - 1), b.favourable)
    seen_before = xp.where(adaptive & xp.logical_not(favourable_first), b.open, best)
    floor_before = _floor_at(xp, floor, seen_before, b, rules)
    killing = _killing_floor(xp, floor_before, rules)
    kill = _kill(xp, floor_before, b, rules)
    in_reach = (b.adverse <= b.stop) | (_equity_at(b.adverse, b) <= kill)
    stopped = in_reach & xp.logical_not(favourable_first & reached)
    targeted = reached & xp.logical_not(stopped)

    floor_after = _floor_at(xp, floor_before, xp.where(targeted, b.target, b.favourable), b, rules)
    # Only the floor can kill late: the day's limit did not move in the bar.
    late_kill = _kill(xp, floor_after, b, rules)
    late = xp.logical_not(stopped | targeted) & (_equity_at(b.close, b) <= late_kill)

    kill_price = _price_at(xp.where(stopped, kill, late_kill), b)  # one division, which is what a bar costs most
    killed_by = xp.where(_equity_at(kill_price, b) <= killing, LIQUIDATION, DAILY_LOSS)
    stop_reason = xp.where(kill_price >= b.stop, killed_by, STOP)
    reason = xp.where(targeted, TARGET, xp.where(late, LIQUIDATION, NO_EXIT))
    level = xp.where(stopped, xp.maximum(b.stop, kill_price), kill_price)
    return BarExit(
        price=xp.where(targeted, b.target, level - slip),
        reason=xp.where(stopped, stop_reason, reason),
        floor=xp.where(stopped, floor_before, floor_after),
        ambiguous=in_reach & reached,
    )


def bracket_exit(xp: Namespace, position: Position, account: Account, bar: BarPrices, venue: Venue) -> BarExit:
    """How the bar ends the bracket, first at its open and then inside; ``price`` in real ticks."""
    b = _sided(xp, position, account, bar, venue)
    slip = stop_slippage(xp, venue.terms)
    gap = _gap(xp, account.floor, b, slip, venue.rules)
    inside = _inside(xp, account.floor, b, slip, venue)
    gapped, held = gap.reason != NO_EXIT, position.quantity != 0
    return BarExit(
        price=xp.sign(position.quantity) * xp.where(gapped, gap.price, inside.price),
        reason=xp.where(held, xp.where(gapped, gap.reason, inside.reason), NO_EXIT),
        floor=xp.where(held, xp.where(gapped, gap.floor, inside.floor), account.floor),
        ambiguous=held & xp.logical_not(gapped) & inside.ambiguous,
    )


def resting_level(xp: Namespace, position: Position, account: Account, bar: BarPrices, venue: Venue) -> Int:
    """The price at which stop, floor or daily loss acts while the floor rests, in the coordinates of a long."""
    b = _sided(xp, position, account, bar, venue)
    return xp.maximum(b.stop, _price_at(_kill(xp, account.floor, b, venue.rules), b))


def closed_where(xp: Namespace, closing: Bool, position: Position) -> Position:
    """The position made flat where ``closing`` holds."""
    return Position(*(xp.where(closing, flat, field) for flat, field in zip(FLAT, position, strict=True)))


def _settled(xp: Namespace, position: Position, account: Account, price: Int, venue: Venue) -> Account:
    """The account once the whole position was closed at ``price`` ticks."""
    commission = xp.abs(position.quantity) * venue.terms.commission
    cash = equity(account, position, price, venue.terms) - commission
    return account._replace(cash=cash, floor=floor_after_close(xp, account.floor, cash, venue.rules))


class _LimitedAccount(NamedTuple):
    """An account after a bar, with its limits applied."""

    account: Account
    failed: Bool


def _limited(xp: Namespace, account: Account, open_equity: Int, reason: Int, rules: Rules) -> _LimitedAccount:
    """What the floor and the daily loss make of an account that exited for ``reason`` and stands at ``open_equity``."""
    daily = (reason == DAILY_LOSS) | touches_daily_loss(xp, account, open_equity, rules)
    failed = (reason == LIQUIDATION) | touches_floor(xp, account, open_equity, rules)
    return _LimitedAccount(
        account=account._replace(paused=xp.maximum(account.paused, xp.where(daily, 1, 0))),
        failed=failed | (daily & (rules.daily_fails != 0)),
    )


def _entered(xp: Namespace, position: Position, order: Order, bar: BarPrices, terms: Terms) -> Position:
    """The position after the order met the open; an open position lets no entry in."""
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
    return Position(*(xp.where(enters, a, b) for a, b in zip(new, position, strict=True)))


def open_bar(
    xp: Namespace, position: Position, account: Account, order: Order, bar: BarPrices, terms: Terms
) -> OpenedBar:
    """The order meets the open."""
    was_flat = position.quantity == 0
    position = _entered(xp, position, order, bar, terms)
    enters = was_flat & (position.quantity != 0)
    entry_costs = xp.where(enters, xp.abs(position.quantity) * terms.commission, 0)
    account = account._replace(cash=account.cash - entry_costs)
    return OpenedBar(position, account, order.flatten & (position.quantity != 0), bar)


def close_bar(xp: Namespace, opened: OpenedBar, bracket: BarExit, venue: Venue) -> Played:
    """The bar once it is known how it ends the bracket; a flatten at its open comes before that."""
    position, account, flattens, bar = opened
    reason = xp.where(flattens, FLATTEN, bracket.reason)
    slip = stop_slippage(xp, venue.terms)
    price = xp.where(flattens, bar.open - xp.sign(position.quantity) * slip, bracket.price)
    open_equity = equity(account, position, bar.open, venue.terms)
    floor_at_open = floor_after_open_equity(xp, account.floor, open_equity, venue.rules)
    account = account._replace(floor=xp.where(flattens, floor_at_open, bracket.floor))

    exits = reason != NO_EXIT
    settled = _settled(xp, position, account, price, venue)
    after = account._replace(
        cash=xp.where(exits, settled.cash, account.cash), floor=xp.where(exits, settled.floor, account.floor)
    )
    remaining = closed_where(xp, exits, position)
    standing = _limited(xp, after, equity(after, remaining, bar.close, venue.terms), reason, venue.rules)
    return Played(
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


def play_bar(xp: Namespace, position: Position, account: Account, order: Order, bar: BarPrices, venue: Venue) -> Played:
    """One bar: the order at its open, then the bracket; the floor follows open equity where the pack says so."""
    opened = open_bar(xp, position, account, order, bar, venue.terms)
    return close_bar(xp, opened, bracket_exit(xp, opened.position, opened.account, bar, venue), venue)


def closed_at_last_price(xp: Namespace, position: Position, account: Account, close: Int, venue: Venue) -> Played:
    """The session's end without an open to flatten at: out at the last close, one slippage worse."""
    held = position.quantity != 0
    price = close - xp.sign(position.quantity) * stop_slippage(xp, venue.terms)
    settled = _settled(xp, position, account, price, venue)
    after = account._replace(
        cash=xp.where(held, settled.cash, account.cash), floor=xp.where(held, settled.floor, account.floor)
    )
    reason = xp.where(held, SESSION_END, NO_EXIT)
    standing = _limited(xp, after, after.cash, reason, venue.rules)
    return Played(
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


def trailed(xp: Namespace, position: Position, close: Int, true_range_sum: Int) -> Position:
    """The position after its trailing stop followed the close; it binds from the next bar."""
    side = xp.sign(position.quantity)
    followed = close - side * trail_distance(xp, true_range_sum)
    tighter = xp.where(side > 0, xp.maximum(position.stop, followed), xp.minimum(position.stop, followed))
    moves = (side != 0) & (position.trailing != 0)
    return position._replace(stop=xp.where(moves, tighter, position.stop))
