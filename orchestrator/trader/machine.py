"""The trading state machine: one event in, a new state, its records and at most one question out.

`advance` reads no clock, socket or file, so that any run can be replayed from its journal.
"""

from decimal import Decimal
from hashlib import blake2b
from typing import Any, Literal, NamedTuple, assert_never

import numpy as np
import numpy.typing as npt

from llm_gate.contract import Approve, EntryProposal, GateFailed, Resize, Reviewed, Veto
from orchestrator.messaging.catalogue import Bar, Seconds
from orchestrator.trader import broker, risk
from orchestrator.trader import events as ledger
from orchestrator.trader.broker import XP, BrokerState
from orchestrator.trader.events import Entry, Recorded
from orchestrator.trader.proposals import propose
from orchestrator.trader.seen_at_close import Sight
from rl_core.contract import ACTION_NAMES, BUY, HOLD, SELL
from rl_core.features.observation import AccountRoom, Mark, management_features, position_features
from rl_core.market.account import after_session, limits_today, opened_day, opening_account
from rl_core.market.costs import capped, fillable, slippage_ticks
from rl_core.market.days import Days, attempt_passed, day_closed, day_opened, expired
from rl_core.market.decisions import KnownAtClose, LegalActions, legal_actions, managed, order_for
from rl_core.market.fills import Venue
from rl_core.market.types import NO_ORDER, BarPrices, Frictions, Limits, Order
from rl_core.trading.hours import opens_too_late

PolicySource = Literal["policy", "timeout", "unreachable", "failed", "malformed", "refused", "illegal"]
Status = Literal["active", "failed", "passed", "stranded", "expired"]


class Setting(NamedTuple):
    """What holds for the whole run."""

    run_id: str
    phase: int  # of the policy: 1 enters, 2 also manages
    venue: Venue
    limits: Limits
    gated: bool  # False: every proposal is taken
    shadow: bool  # the gate judges, and does not act
    fail_factor: Decimal  # share of the size when the gate fails: 0 veto, 1 approve
    max_entries_per_session: int
    frictions: Frictions | None = None  # None: slippage is fixed and every order fills whole


class Pending(NamedTuple):
    """A proposal that waits for its verdict."""

    proposal: EntryProposal
    order: Order


class TraderState(NamedTuple):
    """Everything that a restart must know; a fold of the journal."""

    broker: BrokerState
    attempt: int = 1
    status: Status = "active"
    session: int = -1
    last_bar: Bar | None = None
    sight: Sight | None = None
    pending: Pending | None = None
    order_id: str = ""  # of the working order or the open position
    entry: Entry | None = None
    trades: int = 0
    losing_streak: int = 0
    entries_this_session: int = 0
    days: Days = Days()


class BarSeen(NamedTuple):
    """A bar closed."""

    bar: Bar
    sight: Sight
    seconds: Seconds = ()


class PolicyAnswered(NamedTuple):
    """The policy chose, or failed to (HOLD)."""

    action: int
    source: PolicySource


class GateAnswered(NamedTuple):
    """The gate judged, or failed to."""

    reviewed: Reviewed


class BarsEnded(NamedTuple):
    """There are no more bars."""


Event = BarSeen | PolicyAnswered | GateAnswered | BarsEnded


class AskPolicy(NamedTuple):
    """Which action?"""

    observation: npt.NDArray[np.float32]  # [O]
    legal_actions: tuple[bool, ...]  # [A]


class AskGate(NamedTuple):
    """Approve, veto or shrink?"""

    proposal: EntryProposal


class Advance(NamedTuple):
    """What one event led to."""

    state: TraderState
    records: tuple[Recorded, ...] = ()
    question: AskPolicy | AskGate | None = None


def opening_state(setting: Setting) -> TraderState:
    """A new account, flat."""
    return TraderState(BrokerState(opening_account(XP, setting.venue.rules)))


def advance(state: TraderState, event: Event, setting: Setting) -> Advance:
    """Apply one event."""
    match event:
        case BarSeen():
            return _on_bar(state, event, setting)
        case PolicyAnswered():
            return _on_action(state, event, setting)
        case GateAnswered():
            return _on_verdict(state, event.reviewed, setting)
        case BarsEnded():
            ended, records = _end_session(state, setting)
            return Advance(ended, records)
    assert_never(event)


def _on_bar(state: TraderState, event: BarSeen, setting: Setting) -> Advance:
    bar, sight = event.bar, event.sight
    records: tuple[Recorded, ...] = ()
    if sight.session != state.session:
        state, records = _end_session(state, setting)
        state, opened = _open_session(state, sight.session, setting)
        records += opened
    elif _opens_too_late(state, bar):
        state, records = _go_flat(state, setting)
    was_paused = state.broker.account.paused
    prices, seconds = BarPrices(bar.open, bar.high, bar.low, bar.close), [row.prices for row in event.seconds]
    state, cancelled = _fill_what_trades(state, bar, setting)
    met = broker.meet(state.broker, prices, bar.ts_event_ns, _venue(state, setting), seconds)
    traded = met.fills or cancelled or met.state.position.quantity
    state = state._replace(broker=met.state, last_bar=bar, sight=sight)
    state, booked = _book(state, met, setting)
    if met.state.account.paused and not was_paused:
        booked += (ledger.day_paused(state.session, state.attempt, met.state.account),)
    state = state._replace(broker=broker.follow(state.broker, bar.close, sight.true_range_sum))
    if traded:
        records += (*booked, *cancelled, ledger.marked(state.broker, bar, setting.venue))
    return _decide(state, records, setting)


def _venue(state: TraderState, setting: Setting) -> Venue:
    """What fills after the last close meet."""
    venue, frictions = setting.venue, setting.frictions
    if frictions is None or state.sight is None:
        return venue
    ticks = slippage_ticks(XP, frictions, state.sight.decision_minute, state.sight.true_range_sum)
    return venue._replace(terms=venue.terms._replace(slippage_ticks=ticks))


def _fill_what_trades(state: TraderState, bar: Bar, setting: Setting) -> tuple[TraderState, tuple[Recorded, ...]]:
    """The working order, capped by the bar's volume; what does not fill in this bar is cancelled."""
    frictions, order = setting.frictions, state.broker.order
    if frictions is None or not (frictions.volume_milli and order.quantity):
        return state, ()
    filling = capped(XP, order, fillable(frictions, bar.volume))
    if filling == order:
        return state, ()
    state = state._replace(broker=state.broker._replace(order=filling))
    return state, (ledger.cancelled(state.order_id, "volume"),)


def _opens_too_late(state: TraderState, bar: Bar) -> bool:
    assert state.last_bar is not None and state.sight is not None
    last = state.last_bar
    rolls = bar.contract != last.contract
    return bool(opens_too_late(last.ts_event_ns, bar.ts_event_ns, state.sight.minutes_to_flat, rolls))


def _go_flat(state: TraderState, setting: Setting) -> tuple[TraderState, tuple[Recorded, ...]]:
    """No open comes in time: cancel what waits, close what is open at the last price."""
    assert state.last_bar is not None
    cancelled = (ledger.cancelled(state.order_id, "session_break"),) if state.broker.order.quantity else ()
    met = broker.end_session(state.broker, state.last_bar.close, state.last_bar.ts_event_ns, _venue(state, setting))
    state, booked = _book(state._replace(broker=met.state), met, setting)
    return state, (*cancelled, *booked)


def _end_session(state: TraderState, setting: Setting) -> tuple[TraderState, tuple[Recorded, ...]]:
    """Go flat, let an end-of-day floor move, and end an account that has no room left for a trade."""
    if state.last_bar is None:
        return state, ()
    state, records = _go_flat(state, setting)
    account = after_session(XP, state.broker.account, setting.venue.rules)
    days = day_closed(state.days, account.cash, setting.venue.rules)
    state = state._replace(broker=state.broker._replace(account=account), days=days)
    closed = ledger.session_closed(state.session, state.attempt, account, days)
    if state.status == "active" and account.cash - account.floor <= setting.limits.risk_budget:
        state = state._replace(status="stranded")
        return state, (*records, closed, ledger.account_ended(state.attempt, "stranded", account))
    return state, (*records, closed)


def _open_session(state: TraderState, session: int, setting: Setting) -> tuple[TraderState, tuple[Recorded, ...]]:
    """A new trading day: its limits are set; an account that has ended, or runs out of days, starts over."""
    state = state._replace(session=session, entries_this_session=0)
    rules, account = setting.venue.rules, state.broker.account
    records: tuple[Recorded, ...] = ()
    if state.status == "active" and expired(state.days, session, rules):
        state = state._replace(status="expired")
        records = (ledger.account_ended(state.attempt, "expired", account),)
    if state.status == "active" and state.last_bar is not None:
        account = opened_day(XP, account, rules)
        days = day_opened(state.days, session, account.cash)
        return state._replace(broker=state.broker._replace(account=account), days=days), ()
    attempt = state.attempt + (state.status != "active")
    fresh = state.broker._replace(account=opening_account(XP, rules))
    days = day_opened(Days(), session, fresh.account.cash)
    state = state._replace(broker=fresh, attempt=attempt, status="active", losing_streak=0, days=days)
    return state, (*records, ledger.account_opened(attempt, fresh.account))


def _book(state: TraderState, met: broker.Met, setting: Setting) -> tuple[TraderState, tuple[Recorded, ...]]:
    """Write the fills, the closed trade and the account's end, and count them."""
    records: list[Recorded] = []
    for fill in met.fills:
        records.append(ledger.filled(state.order_id, fill))
        if fill.reason == "entry":
            state = state._replace(entry=Entry(state.order_id, fill))
            continue
        assert state.entry is not None, "an exit without an entry"
        trade = ledger.trade_of(state.entry, fill, met.played, setting.venue)
        state = state._replace(
            trades=state.trades + 1,
            losing_streak=state.losing_streak + 1 if trade.pnl < 0 else 0,
            entry=None,
            days=state.days._replace(trades_today=state.days.trades_today + 1),
        )
        records.append(ledger.trade_closed(state.trades, state.attempt, trade))
    ended: Status | None = None
    if met.played.failed:
        ended = "failed"
    elif attempt_passed(state.days, state.broker.account, state.broker.position, setting.venue.rules):
        ended = "passed"
    if ended is not None and state.status == "active":
        state = state._replace(status=ended)
        records.append(ledger.account_ended(state.attempt, ended, state.broker.account))
    return state, tuple(records)


def _decide(state: TraderState, records: tuple[Recorded, ...], setting: Setting) -> Advance:
    """Flatten if due, else ask the policy where it has a choice."""
    decision, legal = _legal(state, setting)
    if decision.flatten_due and state.broker.position.quantity:
        terms, limits = _venue(state, setting).terms, _limits(state, setting)
        order = order_for(XP, HOLD, state.broker.position, decision, terms, limits)
        state = state._replace(broker=state.broker._replace(order=order))
        return Advance(state, (*records, ledger.flatten_ordered(state.order_id)))
    mask = _mask(legal, setting.phase)
    if not any(mask[1:]):
        return Advance(state, records)
    return Advance(state, records, AskPolicy(_observation(state, legal, setting), mask))


def _limits(state: TraderState, setting: Setting) -> Limits:
    return limits_today(XP, setting.limits, state.broker.account)


def _legal(state: TraderState, setting: Setting) -> tuple[KnownAtClose, LegalActions]:
    assert state.last_bar is not None and state.sight is not None
    sight = state.sight
    entry_open = sight.entry_open and state.status == "active"
    decision = KnownAtClose(state.last_bar.close, sight.true_range_sum, entry_open, sight.flatten_due)
    held = state.broker
    terms, limits = _venue(state, setting).terms, _limits(state, setting)
    return decision, legal_actions(XP, held.position, held.account, decision, terms, limits)


def _mask(legal: LegalActions, phase: int) -> tuple[bool, ...]:
    entering = (True, legal.enter, legal.enter)
    return entering if phase == 1 else (*entering, legal.breakeven, legal.enable_trail, legal.disable_trail)


def _observation(state: TraderState, legal: LegalActions, setting: Setting) -> npt.NDArray[np.float32]:
    assert state.last_bar is not None and state.sight is not None
    position, account = state.broker.position, state.broker.account
    mark = Mark(state.last_bar.close, state.sight.true_range_sum)
    parts = [state.sight.window, position_features(np, position, mark)]
    if setting.phase == 2:
        now = broker.equity_at(state.broker, mark.close, setting.venue)
        standing = AccountRoom(now, account.floor, setting.venue.rules.max_loss)
        parts.append(management_features(np, position, standing, legal.enter))
    return np.concatenate(parts)


def _on_action(state: TraderState, event: PolicyAnswered, setting: Setting) -> Advance:
    decision, legal = _legal(state, setting)
    mask = _mask(legal, setting.phase)
    assert event.action < len(mask) and mask[event.action], "the runner lets only legal actions through"
    if event.action in (BUY, SELL):
        return _propose(state, event.action, decision, setting)
    if event.action == HOLD:
        return Advance(state)
    moved = managed(XP, event.action, state.broker.position, decision, _venue(state, setting).terms)
    state = state._replace(broker=state.broker._replace(position=moved))
    return Advance(state, (ledger.stop_managed(state.order_id, ACTION_NAMES[event.action], moved),))


def _propose(state: TraderState, action: int, decision: KnownAtClose, setting: Setting) -> Advance:
    assert state.last_bar is not None and state.sight is not None
    terms, limits = _venue(state, setting).terms, _limits(state, setting)
    order = order_for(XP, action, state.broker.position, decision, terms, limits)
    proposal_id = decision_id(setting.run_id, state.last_bar)
    proposal = propose(proposal_id, order, state.broker.account, state.sight, state.losing_streak, setting.venue)
    record = ledger.proposed(proposal, order, state.last_bar)
    if not setting.gated:
        placed = _place(state, proposal_id, order, setting)
        return placed._replace(records=(record, *placed.records))
    return Advance(state._replace(pending=Pending(proposal, order)), (record,), AskGate(proposal))


def decision_id(run_id: str, bar: Bar) -> str:
    """The name of the one entry decision of a bar: 32 hex digits, the same at every restart."""
    text = f"{run_id}|{bar.seq}|{bar.ts_event_ns}|0"
    return blake2b(text.encode(), digest_size=16).hexdigest()


def _on_verdict(state: TraderState, reviewed: Reviewed, setting: Setting) -> Advance:
    pending = state.pending
    assert pending is not None and reviewed.proposal_id == pending.proposal.proposal_id, "a verdict for nothing"
    state = state._replace(pending=None)
    factor = Decimal(1) if setting.shadow else _factor(reviewed, setting)
    sign = 1 if pending.order.quantity > 0 else -1
    quantity = int(factor * abs(pending.order.quantity))
    if quantity == 0:
        code = _closing_code(reviewed)
        return Advance(state, (ledger.proposal_closed(reviewed.proposal_id, code),))
    return _place(state, reviewed.proposal_id, pending.order._replace(quantity=sign * quantity), setting)


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


def _place(state: TraderState, order_id: str, order: Order, setting: Setting) -> Advance:
    exposure = risk.Exposure(state.broker.account, state.status == "active", state.entries_this_session)
    limits = risk.RiskLimits(_limits(state, setting), setting.max_entries_per_session)
    if denial := risk.check(order, exposure, _venue(state, setting), limits):
        return Advance(state, (ledger.denied(order_id, denial),))
    state = state._replace(
        broker=state.broker._replace(order=order),
        order_id=order_id,
        entries_this_session=state.entries_this_session + 1,
    )
    assert state.broker.order != NO_ORDER
    return Advance(state, (ledger.intended(order_id, order),))
