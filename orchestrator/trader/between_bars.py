"""What a broker has filled since the last close, as it comes to light by an answer to something else; pure."""

from orchestrator.messaging.broker import Execution
from orchestrator.trader import events
from orchestrator.trader.booking import book
from orchestrator.trader.meeting import (
    enter_between_bars,
    entries_of,
    exits_of,
    leave_between_bars,
    segments_of,
)
from orchestrator.trader.state import Setting, Step, TraderState
from rl_core.market.broker import BrokerStep
from rl_core.market.told import ENTRY
from rl_core.market.types import NO_ORDER, Order


def told_between(state: TraderState, setting: Setting) -> Step:
    """Book what the broker has filled since the last close, if it has; a close that waits for it marks it."""
    if not state.told:
        return Step(state._replace(told=None))
    ordered, (first, *late) = state.broker.order, segments_of(state.told)
    state = state._replace(told=first)
    step = Step(state)
    if state.broker.order.quantity and state.broker.position.quantity:
        more = enter_between_bars(state, setting)
        step = step.then(take_over, more, told=exits_of(first)).then(book, more, setting)
    if step.state.told:
        left = leave_between_bars(step.state, setting)
        step = step.then(take_over, left).then(book, left, setting)
    step = step.then(told_late, ordered, late, setting)
    if state.closing or state.last_bar is None:
        return step
    return step.record(events.marked(step.state.broker, state.last_bar, setting.venue))


def told_late(state: TraderState, ordered: Order, late: list[tuple[Execution, ...]], setting: Setting) -> Step:
    """Book parts of an entry that came after an exit, each with what left of it; what is open then is to be closed.

    Each joins what is open, at the mean price of both, or is a position of its own where nothing is.
    """
    step = Step(state)
    for segment in late:
        step = step._replace(state=step.state._replace(stray=True))
        step = step.then(filled_between, entries_of(segment), ordered, setting)
        step = step.then(filled_between, exits_of(segment), NO_ORDER, setting)
    return step


def filled_between(state: TraderState, told: tuple[Execution, ...], order: Order, setting: Setting) -> Step:
    """Book parts of one entry, as much of the ``order`` as they are, or of one exit, if there are any."""
    if not told:
        return Step(state)
    if told[0].leg == ENTRY:
        order = order._replace(quantity=sum(each.quantity for each in told))
    state = state._replace(told=told, broker=state.broker._replace(order=order))
    more = bool(order.quantity and state.broker.position.quantity)
    met = (enter_between_bars if more else leave_between_bars)(state, setting)
    return Step(state).then(take_over, met).then(book, met, setting)


def take_over(state: TraderState, after: BrokerStep, told: tuple[Execution, ...] = ()) -> Step:
    """The account as it is ``after``; ``told`` is still to be booked."""
    return Step(state._replace(broker=after.state, told=told or None))
