"""What fills and prices made of the account, as records: fills, the trade that they close, a pause, an end; pure."""

from collections.abc import Sequence

from orchestrator.trader import events
from orchestrator.trader.events import OpenTrade, TradeRecord
from orchestrator.trader.session_edges import end_account
from orchestrator.trader.state import Setting, Step, TraderState
from rl_core.market.attempts import judged, losing_streak_after
from rl_core.market.broker import BrokerStep, Fill
from rl_core.market.fills import Venue
from rl_core.market.told import mean_price
from rl_core.market.types import AT_DAILY_LOSS, BarOutcome, Terms


def book(state: TraderState, met: BrokerStep, setting: Setting) -> Step:
    """Record the fills, the trade that they close, and the account's end."""
    step = Step(state)
    for fill in met.fills:  # an entry may be stopped out in its own bar: two fills, the entry first
        step = step.record(events.filled(state.order_id, fill))
        if fill.reason == "entry":
            step = step.then(_enter, fill, met, setting)
        elif met.state.position.quantity:
            step = step.then(_leave_in_part, met)
        else:
            step = step.then(_close_trade, met, setting)
    return step.then(_judge_account, met, setting)


def _enter(state: TraderState, fill: Fill, met: BrokerStep, setting: Setting) -> Step:
    """Begin a trade, or let a later part of its entry count at the mean price of both."""
    trade = state.open_trade
    if trade is None:
        return Step(state._replace(open_trade=OpenTrade(state.order_id, fill, at=fill.price)))
    first, grown = trade.entry, met.state.position
    quantity = first.quantity + fill.quantity
    mean = mean_price(quantity, abs(first.quantity) * first.price + abs(fill.quantity) * fill.price)
    # What rounding left at the position's own mean was paid; where a part has left before, the trade's is another.
    stayed = grown.quantity - fill.quantity
    paid = mean_price(grown.quantity, abs(stayed) * trade.at + abs(fill.quantity) * fill.price).rest
    both = first._replace(
        execution=fill.execution,
        quantity=quantity,
        price=mean.price,
        commission=first.commission + fill.commission + (mean.rest - paid) * setting.venue.terms.tick_value,
        parts=first.parts + fill.parts,
    )
    return Step(state._replace(open_trade=trade._replace(entry=both, at=grown.entry)))


def _leave_in_part(state: TraderState, met: BrokerStep) -> Step:
    """Keep what has left of a trade that goes on: it is one trade, and closes with its last contract."""
    trade = state.open_trade
    assert trade is not None, "an exit without an entry"
    ambiguous = trade.ambiguous or bool(met.played.ambiguous)
    goes_on = trade._replace(left=(*trade.left, met.fills[-1]), ambiguous=ambiguous)
    return Step(state._replace(open_trade=goes_on))


def _close_trade(state: TraderState, met: BrokerStep, setting: Setting) -> Step:
    assert state.open_trade is not None, "an exit without an entry"
    trade = trade_of(state.open_trade, met.fills[-1], met.played, setting.venue)
    closed = state._replace(
        trades=state.trades + 1,
        losing_streak=losing_streak_after(state.losing_streak, trade.pnl),
        open_trade=None,
        days=state.days._replace(trades_today=state.days.trades_today + 1),
    )
    return Step(closed, (events.trade_closed(closed.trades, state.attempt, trade),))


def _judge_account(state: TraderState, met: BrokerStep, setting: Setting) -> Step:
    """End the account where it has; one of whose position a part is still leaving ends once that is gone."""
    if state.status != "active":
        return Step(state)
    held, rules = state.broker, setting.venue.rules
    failed = state.failing or bool(met.played.failed)
    if failed and held.position.quantity and state.open_trade is not None and state.open_trade.left:
        return Step(state._replace(failing=True))
    status = judged(state.days, held.account, held.position, rules, failed=failed)
    return Step(state) if status == "active" else end_account(state._replace(failing=False), status)


def record_pause(state: TraderState) -> Step:
    """Say why the session takes no further entry; of an account that has just ended, its end says enough."""
    account = state.broker.account
    if account.paused == AT_DAILY_LOSS:
        return Step(state, (events.day_paused(state.session, state.attempt, account),))
    if state.status != "active":
        return Step(state)
    return Step(state, (events.stood_down(state.session, state.attempt, account),))


def trade_of(trade: OpenTrade, leaving: Fill, played: BarOutcome, venue: Venue) -> TradeRecord:
    """The trade that ``leaving`` closes: one exit at the mean price of all that left, for the reason of most of it."""
    start, left = trade.entry, (*trade.left, leaving)
    exit_, costs = _left_for(left, venue.terms)
    gross = (exit_ - start.price) * start.quantity * venue.terms.tick_value
    costs += start.commission
    return TradeRecord(
        order_id=trade.order_id,
        quantity=start.quantity,
        entry_ns=start.ts_event_ns,
        entry=start.price,
        exit_ns=leaving.ts_event_ns,
        exit=exit_,
        reason=max(left, key=lambda fill: abs(fill.quantity)).reason,
        gross=gross,
        costs=costs,
        pnl=gross - costs,
        # What is lost at the stop by the whole of the entry; ``played`` knows that of the contracts that left last.
        risk=played.risk // abs(leaving.quantity) * abs(start.quantity),
        ambiguous=trade.ambiguous or bool(played.ambiguous),
    )


def _left_for(left: Sequence[Fill], terms: Terms) -> tuple[int, int]:
    """The mean price of the fills in whole ticks, and what was paid besides: commissions, and what rounding leaves.

    Each fill's own rest stands in its commission. It is taken back, so that the mean is rounded once.
    """
    quantity, contracts = sum(fill.quantity for fill in left), sum(abs(fill.quantity) for fill in left)
    commissions = contracts * terms.commission
    rests = (sum(fill.commission for fill in left) - commissions) // terms.tick_value
    total = sum(abs(fill.quantity) * fill.price for fill in left) + (rests if quantity > 0 else -rests)
    mean = mean_price(quantity, total)
    return mean.price, commissions + mean.rest * terms.tick_value
