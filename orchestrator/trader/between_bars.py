"""What a broker has filled since the last close, as it comes to light by an answer to something else; pure."""

from orchestrator.messaging.broker import Execution
from orchestrator.trader import events
from orchestrator.trader.booking import book
from orchestrator.trader.meeting import enter_between_bars, exits_of, leave_between_bars
from orchestrator.trader.state import Setting, Step, TraderState
from rl_core.market.broker import BrokerStep


def told_between(state: TraderState, setting: Setting) -> Step:
    """Book what the broker has filled since the last close, if it has; a close that waits for it marks it."""
    if not state.told:
        return Step(state._replace(told=None))
    step = Step(state)
    if state.broker.order.quantity and state.broker.position.quantity:
        more = enter_between_bars(state, setting)
        step = step.then(take_over, more, told=exits_of(state.told)).then(book, more, setting)
    if step.state.told:
        left = leave_between_bars(step.state, setting)
        step = step.then(take_over, left).then(book, left, setting)
    if state.closing or state.last_bar is None:
        return step
    return step.record(events.marked(step.state.broker, state.last_bar, setting.venue))


def take_over(state: TraderState, after: BrokerStep, told: tuple[Execution, ...] = ()) -> Step:
    """The account as it is ``after``; ``told`` is still to be booked."""
    return Step(state._replace(broker=after.state, told=told or None))
