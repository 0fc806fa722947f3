"""What fills and prices made of the account, as records: fills, the trade that they close, a pause, an end; pure."""

from orchestrator.trader import events
from orchestrator.trader.events import Entry
from orchestrator.trader.session_edges import end_account
from orchestrator.trader.state import Setting, Step, TraderState
from rl_core.market.attempts import judged, losing_streak_after
from rl_core.market.broker import BrokerStep
from rl_core.market.types import AT_DAILY_LOSS


def book(state: TraderState, met: BrokerStep, setting: Setting) -> Step:
    """Record the fills, the trade that they close, and the account's end."""
    step = Step(state)
    for fill in met.fills:  # an entry may be stopped out in its own bar: two fills, the entry first
        step = step.record(events.filled(state.order_id, fill))
        if fill.reason == "entry":
            step = step._replace(state=step.state._replace(entry=Entry(state.order_id, fill)))
        else:
            step = step.then(_close_trade, met, setting)
    return step.then(_judge_account, met, setting)


def _close_trade(state: TraderState, met: BrokerStep, setting: Setting) -> Step:
    assert state.entry is not None, "an exit without an entry"
    trade = events.trade_of(state.entry, met.fills[-1], met.played, setting.venue)
    closed = state._replace(
        trades=state.trades + 1,
        losing_streak=losing_streak_after(state.losing_streak, trade.pnl),
        entry=None,
        days=state.days._replace(trades_today=state.days.trades_today + 1),
    )
    return Step(closed, (events.trade_closed(closed.trades, state.attempt, trade),))


def _judge_account(state: TraderState, met: BrokerStep, setting: Setting) -> Step:
    if state.status != "active":
        return Step(state)
    held, rules = state.broker, setting.venue.rules
    status = judged(state.days, held.account, held.position, rules, failed=bool(met.played.failed))
    return Step(state) if status == "active" else end_account(state, status)


def record_pause(state: TraderState) -> Step:
    """Say why the session takes no further entry; of an account that has just ended, its end says enough."""
    account = state.broker.account
    if account.paused == AT_DAILY_LOSS:
        return Step(state, (events.day_paused(state.session, state.attempt, account),))
    if state.status != "active":
        return Step(state)
    return Step(state, (events.stood_down(state.session, state.attempt, account),))
