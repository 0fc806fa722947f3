"""Where the stop of an open position stands: moved by the policy or the trail, at a broker once it says so; pure."""

from orchestrator.trader import events
from orchestrator.trader.sending import send
from orchestrator.trader.state import MoveStop, Setting, Step, TraderState
from rl_core.market import broker
from rl_core.market.types import Position


def follow_close(state: TraderState, setting: Setting) -> Step:
    """Let a trailing stop follow the last close; it binds from the next bar. What is being closed is left alone."""
    assert state.last_bar is not None and state.view is not None
    if state.broker.order.flatten or state.stray:
        return Step(state)
    moved = broker.follow(state.broker, state.last_bar.close, state.view.true_range_sum, setting.yardstick)
    return stand_at(state, moved.position, setting)


def stand_at(state: TraderState, moved: Position, setting: Setting) -> Step:
    """The position as ``moved``; where orders are sent, its stop counts there once the broker says so."""
    held = state.broker.position
    if not setting.sends or moved.stop == held.stop:
        return Step(state._replace(broker=state.broker._replace(position=moved)))
    sent = MoveStop(state.order_id, state.moves + 1, moved.stop)
    waiting = state.broker._replace(position=moved._replace(stop=held.stop))
    asked = state._replace(broker=waiting, moves=sent.revision)
    return send(Step(asked, (events.stop_moving(*sent),)), sent)
