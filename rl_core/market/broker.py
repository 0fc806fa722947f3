"""The simulated broker: `rl_core.market` over plain integers, its fills numbered without gaps; pure."""

from collections.abc import Sequence
from typing import NamedTuple

from rl_core.market.account import equity, rules_in_force
from rl_core.market.fills import Venue, closed_at_last_price, trailed
from rl_core.market.seconds import play_minute
from rl_core.market.types import (
    EXIT_NAMES,
    FLAT,
    NO_EXIT,
    NO_ORDER,
    Account,
    BarOutcome,
    BarPrices,
    Order,
    PlainIntegers,
    Position,
)
from rl_core.market.yardstick import USUAL, Yardstick

XP = PlainIntegers()
NOTHING_PLAYED = (0, 0, 0, NO_EXIT, 0, False, False)  # the fields of a `BarOutcome` after position and account


class Fill(NamedTuple):
    """One execution."""

    execution: int  # dense, from 1; of several parts the last one's
    quantity: int  # contracts, signed as bought (+) or sold (-)
    price: int  # ticks
    commission: int  # cents, with what a mean price in whole ticks leaves of several parts
    ts_event_ns: int  # start of the bar it happened in
    reason: str  # entry, or why it was closed
    parts: int = 1  # executions that it came in


class BrokerState(NamedTuple):
    """What the broker holds."""

    account: Account
    position: Position = FLAT
    order: Order = NO_ORDER
    executions: int = 0


class BrokerStep(NamedTuple):
    """What one bar, or the session's end, did to the broker's state."""

    state: BrokerState
    fills: tuple[Fill, ...]
    played: BarOutcome


def meet(
    state: BrokerState, prices: BarPrices, ts_event_ns: int, venue: Venue, seconds: Sequence[BarPrices] = ()
) -> BrokerStep:
    """The working order and bracket meet one bar, by its ``seconds`` where the venue asks; the order is used up."""
    if untouched(state):
        return BrokerStep(
            state._replace(order=NO_ORDER), (), BarOutcome(state.position, state.account, *NOTHING_PLAYED)
        )
    venue = in_force(state, venue)
    entered = state.order.quantity
    # `order_for` gives no order to an account in a position, and `play_bar` would fill none.
    assert not (entered and state.position.quantity), "an entry works while a position is open"
    played = play_minute(state.position, state.account, state.order, prices, seconds, venue)
    fills: tuple[Fill, ...] = ()
    if entered:
        fill = Fill(
            execution=state.executions + 1,
            quantity=entered,
            price=played.entry_price,
            commission=abs(entered) * venue.terms.commission,
            ts_event_ns=ts_event_ns,
            reason="entry",
        )
        fills = (fill,)
    fills += _exit_fills(played, state.executions + len(fills), ts_event_ns, venue)
    after = BrokerState(played.account, played.position, NO_ORDER, state.executions + len(fills))
    return BrokerStep(after, fills, played)


def untouched(state: BrokerState) -> bool:
    """Whether no bar changes anything: nothing is held or ordered, the balance is above floor and day's limit."""
    order, account = state.order, state.account
    idle = not (state.position.quantity or order.quantity or order.flatten)
    return bool(idle and account.cash > max(account.floor, account.day_floor))


def end_session(state: BrokerState, last_close: int, ts_event_ns: int, venue: Venue) -> BrokerStep:
    """Nothing survives a session: the order is cancelled, an open position leaves at the last close."""
    venue = in_force(state, venue)
    played = closed_at_last_price(XP, state.position, state.account, last_close, venue)
    fills = _exit_fills(played, state.executions, ts_event_ns, venue)
    return BrokerStep(BrokerState(played.account, FLAT, NO_ORDER, state.executions + len(fills)), tuple(fills), played)


def follow(state: BrokerState, close: int, true_range_sum: int, yardstick: Yardstick = USUAL) -> BrokerState:
    """The trailing stop, moved at the close; it binds from the next bar."""
    if not state.position.trailing:
        return state
    return state._replace(position=trailed(XP, state.position, close, true_range_sum, yardstick))


def equity_at(state: BrokerState, mark: int, venue: Venue) -> int:
    """Cents of balance plus open profit at ``mark`` ticks."""
    return int(equity(state.account, state.position, mark, venue.terms))


def in_force(state: BrokerState, venue: Venue) -> Venue:
    """The venue with the rules as they bind this account: a locked floor is a static one."""
    if not state.account.locked:
        return venue  # as it is: building the rules anew costs a tenth of a bar
    return venue._replace(rules=rules_in_force(XP, venue.rules, state.account))


def _exit_fills(played: BarOutcome, executions: int, ts_event_ns: int, venue: Venue) -> tuple[Fill, ...]:
    if played.exit_reason == NO_EXIT:
        return ()
    fill = Fill(
        execution=executions + 1,
        quantity=-played.exit_quantity,
        price=played.exit_price,
        commission=abs(played.exit_quantity) * venue.terms.commission,
        ts_event_ns=ts_event_ns,
        reason=EXIT_NAMES[played.exit_reason],
    )
    return (fill,)
