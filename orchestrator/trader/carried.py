"""What a broker has not closed by a session's end: it is asked to, and the session's books wait until it has; pure.

| ``over`` | since | ExecutionsTold leads to |
|---|---|---|
| "" | an end came, and the broker was asked what it has executed | the end, or: it is asked to close what is left |
| asked | it was asked to, and then once more what it has executed | the end, or: carried |
| carried | not everything had left by then | nothing is decided until the last contract has left, in whichever bar |

A simulated market closes everything by itself where a session ends. A real one is shut, or goes on without us: there an
order that was to be flat may be filled at the next open. So what is open is carried over the session's edge with an
order to close it, alone, and the day is closed with what it really brought.
"""

from orchestrator.trader import events
from orchestrator.trader.between_bars import filled_between
from orchestrator.trader.meeting import entries_of, exits_of, segments_of
from orchestrator.trader.sending import ask_executions, send
from orchestrator.trader.state import BarClosed, Due, FlattenOrder, Setting, Step, TraderState
from rl_core.market.told import FLATTENING
from rl_core.market.types import NO_ORDER


def is_left(state: TraderState) -> bool:
    """Whether the executions that were told at an end leave a contract open, or an entry that may still fill."""
    told = state.told or ()
    wanted = state.broker.order.quantity - sum(each.quantity for each in entries_of(told))
    return bool(wanted or state.broker.position.quantity + sum(each.quantity for each in told))


def ask_to_close(state: TraderState, due: Due, setting: Setting) -> Step:
    """Book what was told, and ask the broker to close what is left of the order, whatever has filled of it."""
    step = _booked(state, setting)
    return send(step._replace(state=step.state._replace(over="asked", due=due)), FlattenOrder(state.order_id))


def closed_or_carried(state: TraderState, due: Due, setting: Setting) -> Step:
    """Book what has filled until the broker took that order; what is still open is carried beyond the end."""
    step = _booked(state, setting)
    held = step.state.broker
    if not held.position.quantity:
        return step._replace(state=step.state._replace(over=""))
    assert state.last_bar is not None, "something is open, so a bar has been"
    carried = step.state._replace(over="carried", broker=held._replace(order=FLATTENING))
    noted = events.still_open(state.order_id, held.position.quantity, state.last_bar.seq)
    step = step._replace(state=carried).record(noted)
    return step.then(ask_executions, due, setting, over=False) if isinstance(due, BarClosed) else step


def _booked(state: TraderState, setting: Setting) -> Step:
    """The books after what was told of an order that met no bar: what entered and what left, in their order."""
    told, ordered = state.told or (), state.broker.order
    step = Step(state._replace(told=None))
    for segment in segments_of(told):
        step = step.then(filled_between, entries_of(segment), ordered, setting)
        step = step.then(filled_between, exits_of(segment), FLATTENING, setting)
    rest = ordered.quantity - sum(each.quantity for each in entries_of(told))
    order = ordered._replace(quantity=rest) if rest else NO_ORDER
    return step._replace(state=step.state._replace(broker=step.state.broker._replace(order=order)))
