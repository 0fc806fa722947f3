"""The trading state machine: one event in; a new state, its records and at most one question out.

`advance` reads no clock, socket or file, so that any run can be replayed from its journal. What the trader waits for
says which events it takes; each cell names what it may wait for next, and - is our own mistake, an AssertionError.

| waits for | since | BarClosed | PolicyAnswered | GateAnswered | OperatorAsked | FlatTimePassed | BarsEnded |
|---|---|---|---|---|---|---|---|
| bar | everything that the last bar asked for is settled | bar, action | - | - | bar | bar | end |
| action | the policy was asked at this close | - | bar, verdict | - | - | - | - |
| verdict | the gate was asked about the policy's entry | - | - | bar | - | - | - |
| end | there are no more bars | - | - | - | - | - | - |

Of a run that sends its orders there are two more waits, whose table stands in sending.py: for the broker's answer to
an order, and for its executions before a bar or an end is taken.

A person's word and the clock's are taken between two bars. A working entry is cancelled then, so that none fills
after it; what is open closes at the next fill that the timing contract allows, by the clock at the last price.

The account has a standing of its own. An ended one is replaced by the next attempt when a bar opens a new session,
so that of one stranded or expired at a session's edge only the record remains (DECISIONS 4).

| account | BarClosed | BarsEnded |
|---|---|---|
| active | active, failed, passed | active, failed, passed, stranded |
| failed | failed, active | failed |
| passed | passed, active | passed |
"""

from decimal import Decimal
from hashlib import blake2b
from typing import Any, assert_never

from llm_gate.contract import Approve, GateFailed, Resize, Reviewed, Veto
from orchestrator.messaging.catalogue import Bar
from orchestrator.trader import events, risk
from orchestrator.trader.at_close import (
    guards_now,
    known_at_close,
    legal_at_close,
    limits_now,
    observation_at_close,
    venue_after_close,
)
from orchestrator.trader.between_bars import take_over, told_between, told_late
from orchestrator.trader.booking import book, record_pause
from orchestrator.trader.carried import ask_to_close, closed_or_carried, is_left
from orchestrator.trader.events import Recorded
from orchestrator.trader.guards import OFF, cut
from orchestrator.trader.meeting import end_session, entries_of, meet_bar, order_that_fills, segments_of
from orchestrator.trader.proposals import propose
from orchestrator.trader.sending import (
    ask_again,
    ask_executions,
    bracket_of,
    cancel_rest,
    may_execute,
    on_order,
    send,
    without_order,
)
from orchestrator.trader.session_edges import breaks_off, close_session, is_over, open_session
from orchestrator.trader.state import (
    AskGate,
    AskPolicy,
    BarClosed,
    BarsEnded,
    CancelOrder,
    Due,
    Event,
    ExecutionsTold,
    FlattenOrder,
    FlatTimePassed,
    GateAnswered,
    OperatorAsked,
    OrderAnswered,
    Pending,
    PolicyAnswered,
    Setting,
    Step,
    SubmitOrder,
    TraderState,
    WaitsFor,
)
from orchestrator.trader.stops import follow_close, stand_at
from rl_core.contract import ACTION_NAMES, BUY, HOLD, SELL
from rl_core.market.account import opening_account
from rl_core.market.broker import XP, BrokerState
from rl_core.market.costs import stop_loss
from rl_core.market.decisions import KnownAtClose, action_mask, managed, order_for
from rl_core.market.types import NO_ORDER, Order


def opening_state(setting: Setting) -> TraderState:
    """A new account, flat."""
    return TraderState(BrokerState(opening_account(XP, setting.venue.rules)))


def advance(state: TraderState, event: Event, setting: Setting) -> Step:
    """Apply one event; which are taken when stands in the table above."""
    assert isinstance(event, _TAKES[state.waits_for]), f"{type(event).__name__} while it waits for {state.waits_for}"
    if isinstance(event, ExecutionsTold):
        return _on_executions(state._replace(waits_for="bar", due=None, told=event.executions), state.due, setting)
    if isinstance(event, Due):
        asks = setting.sends and may_execute(state)
        over = asks and is_over(state, event)
        return ask_executions(state, event, setting, over=over) if asks else _met(state, event, setting)
    match event:
        case PolicyAnswered():
            return _on_action(state._replace(waits_for="bar"), event, setting)
        case GateAnswered():
            return _on_verdict(state._replace(waits_for="bar"), event.reviewed, setting)
        case OrderAnswered(answer):
            step = on_order(state._replace(waits_for="bar"), answer)
            return ask_again(step, setting) if state.due is not None else _go_on(step, setting)
        case OperatorAsked(standing):
            return _stand(state._replace(standing=standing), setting)
    assert_never(event)


def _on_executions(told: TraderState, due: Due | None, setting: Setting) -> Step:
    """What they come to: between two bars, at the end of a session, or in the bar that was due."""
    if due is None:
        return _go_on(told_between(told, setting), setting)
    if told.over == "asked":
        step = closed_or_carried(told, due, setting)
        return step if step.state.over else step.then(_met, due, setting)
    if is_over(told, due) and is_left(told):
        return ask_to_close(told, due, setting)
    return _met(told, due, setting)


def _met(state: TraderState, event: Due, setting: Setting) -> Step:
    """What a bar or an end comes to, once the broker's executions are told where there is one."""
    match event:
        case BarClosed():
            return _on_bar(state, event, setting)
        case FlatTimePassed():
            return _go_flat(state, setting)
        case BarsEnded():
            return _end_session(state._replace(waits_for="end"), setting)
    assert_never(event)


_TAKES: dict[WaitsFor, tuple[type[Event], ...]] = {
    "bar": (BarClosed, OperatorAsked, FlatTimePassed, BarsEnded),
    "action": (PolicyAnswered,),
    "verdict": (GateAnswered,),
    "order": (OrderAnswered,),
    "executions": (ExecutionsTold,),
    "end": (),
}


def _on_bar(state: TraderState, event: BarClosed, setting: Setting) -> Step:
    step = Step(state)
    if state.over == "carried":  # its session goes on until everything has left
        return _meet_bar(state, event, setting)
    if event.view.session != state.session:
        step = step.then(_end_session, setting).then(open_session, event.view.session, setting)
    elif breaks_off(state, event.bar):
        step = step.then(_go_flat, setting)
    return step.then(_meet_bar, event, setting)


def _stand(state: TraderState, setting: Setting) -> Step:
    """Stand as a person wants: cancel a working entry unless trading goes on, and order what is open closed."""
    if state.standing == "trading" or state.last_bar is None:
        return Step(state)
    step = Step(state)
    if state.broker.order.quantity and setting.sends:
        return send(step, CancelOrder(state.order_id))
    if state.broker.order.quantity:
        step = without_order(state, "operator")
    return step if state.standing != "flat" else step.then(_flatten_if_due, setting)


def _go_flat(state: TraderState, setting: Setting) -> Step:
    """Cancel what waits, and close what is open at the last price, as no open comes in time to do it."""
    step = Step(state)
    if state.broker.order.quantity:
        step = step.record(events.cancelled(state.order_id, "session_break"))
    closed = end_session(state, setting)
    return step.then(take_over, closed).then(book, closed, setting)


def _end_session(state: TraderState, setting: Setting) -> Step:
    """Go flat, let an end-of-day floor move, and end an account that has no room left for a trade."""
    if state.last_bar is None:
        return Step(state)
    return _go_flat(state, setting).then(close_session, setting)


def _meet_bar(state: TraderState, event: BarClosed, setting: Setting) -> Step:
    """Let the working order and the bracket meet the bar, book what filled, and let the trail follow the close."""
    bar = event.bar
    first, *late = segments_of(state.told or ()) or [()]
    state = state if state.told is None else state._replace(told=first)
    order, cancelled = order_that_fills(state, bar, setting)
    met = meet_bar(state._replace(broker=state.broker._replace(order=order)), event, setting)
    after = state._replace(broker=met.state, last_bar=bar, view=event.view, told=None)
    step = Step(after).then(book, met, setting).then(told_late, state.broker.order, late, setting)
    if met.state.account.paused != state.broker.account.paused:
        step = step.then(record_pause)
    entered = order.quantity + sum(each.quantity for part in late for each in entries_of(part))
    if cancelled and setting.sends and entered != state.broker.order.quantity:
        return cancel_rest(step, state.broker.order, entered, cancelled[0].payload["code"])
    # After the booking, which settles the day on the stop that was in force: the trail binds from the next bar.
    step = step.record(*(() if setting.sends else cancelled)).then(follow_close, setting)
    if step.question is not None:
        return step._replace(state=step.state._replace(closing=True))
    if state.over == "carried" and not met.state.position.quantity:
        step = step.then(_end_carried, event.view.session, setting)
    return step.then(_close, setting, touched=bool(met.fills or cancelled or met.state.position.quantity))


def _end_carried(state: TraderState, session: int, setting: Setting) -> Step:
    """The end of the session that waited for the broker, now that everything has left, and the bar's own begins."""
    step = Step(state._replace(over=""))
    if session == state.session:
        return step
    return step.then(close_session, setting).then(open_session, session, setting)


def _close(state: TraderState, setting: Setting, *, touched: bool) -> Step:
    """The rest of a bar's close, once the stop stands where it does: the account is marked, and then decided."""
    assert state.last_bar is not None
    marks = (events.marked(state.broker, state.last_bar, setting.venue),) if touched else ()
    return Step(state, marks).then(_decide, setting)


def _go_on(step: Step, setting: Setting) -> Step:
    """A close that the broker was waited for goes on, unless more is asked of it."""
    if not step.state.closing or step.question is not None:
        return step
    return step._replace(state=step.state._replace(closing=False)).then(_close, setting, touched=True)


def _decide(state: TraderState, setting: Setting) -> Step:
    """Flatten if due, else ask the policy where it has a choice."""
    step = Step(state).then(_note_guards, setting).then(_flatten_if_due, setting)
    if step.state.broker.order.flatten:
        return step
    _, legal = legal_at_close(step.state, setting)
    mask = action_mask(legal, setting.phase)
    # One that fell silent is asked without a choice too: only its answer ends the silence.
    if not (any(mask[1:]) or "policy_silent" in guards_now(step.state, setting)):
        return step
    question = AskPolicy(observation_at_close(step.state, legal, setting), mask)
    return step._replace(state=step.state._replace(waits_for="action"), question=question)


def _note_guards(state: TraderState, setting: Setting) -> Step:
    """Record each guard that changes something at this close, once a session and effect."""
    holding = guards_now(state, setting)
    if not holding:
        return Step(state)
    assert state.last_bar is not None
    known, legal = legal_at_close(state, setting._replace(guards=OFF))
    closes = state.broker.position.quantity != 0 and not known.flatten_due
    acting = {(name, effect) for name, effect in holding.items() if legal.enter or (closes and effect == "flat")}
    new = sorted(acting - state.guarded.told)
    told = state.guarded._replace(
        told=state.guarded.told.union(new), lost=state.guarded.lost or "loss_a_day" in holding
    )
    records = tuple(events.guarded(name, effect, state.last_bar.seq) for name, effect in new)
    return Step(state._replace(guarded=told), records)


def _flatten_if_due(state: TraderState, setting: Setting) -> Step:
    """Order what is open closed, where that is due and was not ordered: a broker may need several bars for it."""
    if not state.broker.position.quantity or state.broker.order.flatten:
        return Step(state)
    known = known_at_close(state, setting)
    if not (known.flatten_due or state.stray):
        return Step(state)
    flattening = state._replace(broker=state.broker._replace(order=_order(state, HOLD, known, setting)))
    step = Step(flattening, (events.flatten_ordered(state.order_id),))
    return send(step, FlattenOrder(state.order_id)) if setting.sends else step


def _order(state: TraderState, action: int, known: KnownAtClose, setting: Setting) -> Order:
    terms, limits = venue_after_close(state, setting).terms, limits_now(state, setting)
    return order_for(XP, action, state.broker.position, known, terms, limits)


def _on_action(state: TraderState, event: PolicyAnswered, setting: Setting) -> Step:
    known, legal = legal_at_close(state, setting)
    mask = action_mask(legal, setting.phase)
    assert event.action < len(mask) and mask[event.action], "the runner lets only legal actions through"
    so_far = state.guarded.silent
    silent = {"policy": 0, "late": so_far}.get(event.source, so_far + 1)  # nobody was asked at the close of a late bar
    state = state._replace(guarded=state.guarded._replace(silent=silent))
    if event.action in (BUY, SELL):
        return _propose(state, event.action, known, setting)
    if event.action == HOLD:
        return Step(state)
    moved = managed(XP, event.action, state.broker.position, known, venue_after_close(state, setting).terms)
    step = Step(state, (events.stop_managed(state.order_id, ACTION_NAMES[event.action], moved),))
    return step.then(stand_at, moved, setting)


def _propose(state: TraderState, action: int, known: KnownAtClose, setting: Setting) -> Step:
    assert state.last_bar is not None and state.view is not None
    order = _order(state, action, known, setting)
    proposal_id = decision_id(setting.run_id, state.last_bar)
    proposal = propose(proposal_id, order, state.broker.account, state.view, state.losing_streak, setting.venue)
    own = setting.own_at(state.last_bar)
    step = Step(state, (events.proposed(proposal, order, state.last_bar, own),))
    if not setting.gated:
        return step.then(_place, proposal_id, order, None, setting)
    pending = state._replace(pending=Pending(proposal, order), waits_for="verdict")
    return step._replace(state=pending, question=AskGate(proposal))


def decision_id(run_id: str, bar: Bar) -> str:
    """The name of the one entry decision of a bar: 32 hex digits, the same at every restart."""
    text = f"{run_id}|{bar.seq}|{bar.ts_event_ns}|0"
    return blake2b(text.encode(), digest_size=16).hexdigest()


def _on_verdict(state: TraderState, reviewed: Reviewed, setting: Setting) -> Step:
    pending = state.pending
    assert pending is not None and reviewed.proposal_id == pending.proposal.proposal_id, "a verdict for nothing"
    state = state._replace(pending=None)
    if isinstance(reviewed.outcome, Veto) and not setting.shadow:
        state = state._replace(refusals=state.refusals._replace(vetoes=state.refusals.vetoes + 1))
    factor = Decimal(1) if setting.shadow else _factor(reviewed, setting)
    sign = 1 if pending.order.quantity > 0 else -1
    # Floored towards zero on both sides: half of 3 contracts is 1, long or short.
    quantity = int(factor * abs(pending.order.quantity))
    if quantity == 0:
        return Step(state, (events.proposal_closed(reviewed.proposal_id, _closing_code(reviewed)),))
    return _place(state, reviewed.proposal_id, pending.order._replace(quantity=sign * quantity), reviewed, setting)


def _factor(reviewed: Reviewed, setting: Setting) -> Decimal:
    match reviewed.outcome:
        case Approve():
            return Decimal(1)
        case Resize(size_factor=factor):
            return factor
        case Veto():
            return Decimal(0)
        case GateFailed():
            return setting.fail_factor
    assert_never(reviewed.outcome)


def _closing_code(reviewed: Reviewed) -> str:
    codes: dict[type[Any], str] = {Veto: "vetoed", Resize: "resize_to_zero", GateFailed: "gate_failed"}
    return codes[type(reviewed.outcome)]


def _place(state: TraderState, order_id: str, order: Order, reviewed: Reviewed | None, setting: Setting) -> Step:
    """Make the order a working one, unless our own limits deny it: they see what gate and guard left of it."""
    wanted, order = order.quantity, order._replace(quantity=cut(setting.guards, order.quantity))
    exposure = risk.Exposure(
        account=state.broker.account,
        active=state.status == "active",
        entries_this_session=state.entries_this_session,
    )
    limits = risk.RiskLimits(limits_now(state, setting), setting.max_entries_per_session)
    if denial := risk.check(order, exposure, venue_after_close(state, setting), limits):
        return Step(state, (events.denied(order_id, denial),))
    assert state.last_bar is not None
    smaller = (events.cut_by_guard(order_id, wanted, order.quantity, state.last_bar.seq),)
    placed = state._replace(
        broker=state.broker._replace(order=order),
        order_id=order_id,
        own=setting.own_at(state.last_bar),
        stray=False,
        entries_this_session=state.entries_this_session + 1,
        moves=0,
    )
    assert order != NO_ORDER
    plan = _plan(placed, reviewed, setting) if setting.advises else ()
    intent = events.intended(order_id, order, placed.own)
    step = Step(placed, (*(smaller if order.quantity != wanted else ()), intent, *plan))
    return send(step, SubmitOrder(bracket_of(order_id, order, placed.own))) if setting.sends else step


def _plan(state: TraderState, reviewed: Reviewed | None, setting: Setting) -> tuple[Recorded, ...]:
    """The working order as a person is told of it, with what it may lose and why it was made."""
    assert state.last_bar is not None and state.view is not None
    order, regime = state.broker.order, state.view.regime
    risked = abs(order.quantity) * stop_loss(XP, order.stop_ticks, venue_after_close(state, setting).terms)
    why = events.Why(risked, regime.label, regime.session_part, reviewed)
    return (events.planned(state.order_id, order, state.last_bar, why),)
