"""How a bar, or a session's end, meets what is open: the fills are computed here, or those that a broker told."""

from orchestrator.messaging.broker import Execution
from orchestrator.messaging.catalogue import Bar
from orchestrator.trader import events
from orchestrator.trader.at_close import venue_after_close
from orchestrator.trader.events import Recorded
from orchestrator.trader.state import BarClosed, Setting, TraderState
from rl_core.market import broker
from rl_core.market.broker import XP, BrokerStep
from rl_core.market.costs import capped, fillable
from rl_core.market.own_bracket import at_own_prices
from rl_core.market.told import ENTRY, EXITS, ToldFill, end_as_told, enter_more, meet_as_told, taken_together
from rl_core.market.types import EXIT_NAMES, NO_EXIT, NO_ORDER, BarPrices, Code, Order


def order_that_fills(state: TraderState, bar: Bar, setting: Setting) -> tuple[Order, tuple[Recorded, ...]]:
    """The working order, capped by the bar's volume; the rest of it is cancelled, as no order lives two bars.

    One whose own stop or target the bar's open has passed is cancelled whole. Of an order that was sent, the part that
    was told to have filled.
    """
    order = state.broker.order
    filling = _capped(order, bar, setting)
    placed = filling
    if state.own is not None and filling.quantity:
        fill = bar.open + XP.sign(filling.quantity) * venue_after_close(state, setting).terms.slippage_ticks
        placed = at_own_prices(filling, state.own, fill)
    code = "own_price_passed" if placed == NO_ORDER and filling != NO_ORDER and order.quantity else "volume"
    if state.told is not None:
        placed = _as_told(order, state)
    return placed, () if placed.quantity == order.quantity else (events.cancelled(state.order_id, code),)


def _capped(order: Order, bar: Bar, setting: Setting) -> Order:
    """As much of the order as the bar's volume fills."""
    frictions = setting.frictions
    if frictions is None or not frictions.volume_milli or not order.quantity:
        return order
    return capped(XP, order, fillable(frictions, bar.volume))


def _as_told(order: Order, state: TraderState) -> Order:
    """The part of the order that was told to have filled, with what it brought at prices as distances from its fill.

    One that has filled beyond such a price all the same has its leg there at once: a tick away, as none is nearer.
    """
    entered = entries_of(state.told or ())
    part = order._replace(quantity=sum(each.quantity for each in entered))
    if state.own is None or not entered:
        return part
    side, price = (1 if part.quantity > 0 else -1), _told(entered).price
    stop, target = state.own.stop, state.own.target
    return part._replace(
        stop_ticks=part.stop_ticks if stop is None else max(1, side * (price - stop)),
        target_ticks=part.target_ticks if target is None else max(1, side * (target - price)),
    )


def meet_bar(state: TraderState, event: BarClosed, setting: Setting) -> BrokerStep:
    """What the bar does to what is open and to the order that fills."""
    # `venue_after_close` reads the close before this bar: what slips inside a bar must not depend on how the bar ended.
    bar, venue = event.bar, venue_after_close(state, setting)
    prices, seconds = BarPrices(bar.open, bar.high, bar.low, bar.close), [row.prices for row in event.seconds]
    if state.told is not None:
        return meet_as_told(state.broker, _fills(state), prices, venue, seconds, begun=_begun(state))
    return broker.meet(state.broker, prices, bar.ts_event_ns, venue, seconds)


def end_session(state: TraderState, setting: Setting) -> BrokerStep:
    """What the end of a session does to what is open."""
    assert state.last_bar is not None
    last, venue = state.last_bar, venue_after_close(state, setting)
    if state.told is not None:
        return end_as_told(state.broker, _fills(state), venue)
    # The last bar is over when this is known: nobody could have sold at its close. The next open may be hours away
    # and another contract's, so the close is the nearest price there is.
    return broker.end_session(state.broker, last.close, last.ts_event_ns, venue)


def segments_of(told: tuple[Execution, ...]) -> list[tuple[Execution, ...]]:
    """Split before each entry that comes after an exit: each begins with what entered, and ends with what left."""
    segments: list[tuple[Execution, ...]] = []
    for each in told:
        if segments and not (each.leg == ENTRY and segments[-1][-1].leg != ENTRY):
            segments[-1] += (each,)
        else:
            segments.append((each,))
    return segments


def entries_of(told: tuple[Execution, ...]) -> tuple[Execution, ...]:
    """Those that opened something."""
    return tuple(each for each in told if each.leg == ENTRY)


def exits_of(told: tuple[Execution, ...]) -> tuple[Execution, ...]:
    """Those that closed something."""
    return tuple(each for each in told if each.leg != ENTRY)


def enter_between_bars(state: TraderState, setting: Setting) -> BrokerStep:
    """What the broker has filled of the working order since the last close adds to what is open."""
    more = enter_more(state.broker, _fills(state)[0], venue_after_close(state, setting))
    own, held, grown = state.own, state.broker.position, more.state.position
    if own is None:
        return more
    stays = grown._replace(
        stop=grown.stop if own.stop is None else held.stop, target=grown.target if own.target is None else held.target
    )
    return more._replace(state=more.state._replace(position=stays))


def leave_between_bars(state: TraderState, setting: Setting) -> BrokerStep:
    """What the broker has closed since the last close, or entered where nothing was open, comes to.

    It counts as a bar of the one price that it filled at last.
    """
    fills, known = _fills(state), state.broker
    if known.order.quantity:
        known = known._replace(order=_as_told(known.order, state))
    price = fills[-1].price
    prices, venue = BarPrices(price, price, price, price), venue_after_close(state, setting)
    return meet_as_told(known, fills, prices, venue, begun=_begun(state))


def _begun(state: TraderState) -> Code:
    """Why a part of what is open has left by other than its stop and target; NO_EXIT if none has."""
    left = () if state.open_trade is None else state.open_trade.left
    others = [fill.reason for fill in left if fill.reason not in EXITS]
    return EXIT_NAMES.index(others[-1]) if others else NO_EXIT


def _fills(state: TraderState) -> list[ToldFill]:
    """The entry and the exit that were told, each with its parts taken together."""
    assert state.told is not None
    return [_told(parts) for parts in (entries_of(state.told), exits_of(state.told)) if parts]


def _told(parts: tuple[Execution, ...]) -> ToldFill:
    """Parts of one entry, or of one exit, taken together."""
    told = [ToldFill(each.number, each.leg, each.quantity, each.price, each.ts_event_ns) for each in parts]
    return taken_together(told)
