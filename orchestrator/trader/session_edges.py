"""What a session's edges do to the account: a day is closed or opened, an attempt ends or the next one begins."""

from orchestrator.messaging.catalogue import Bar
from orchestrator.trader import events
from orchestrator.trader.state import BarClosed, Due, Guarded, Setting, Step, TraderState
from rl_core.market.attempts import (
    REFUSED_SESSIONS,
    Refusals,
    Status,
    closed_day,
    new_attempt,
    next_day,
    refusals_after,
    stranded,
)
from rl_core.market.days import expired
from rl_core.trading.hours import opens_too_late


def is_over(state: TraderState, event: Due) -> bool:
    """Whether what is open cannot meet the event's bar, if it has one; what was carried so far meets it."""
    if not isinstance(event, BarClosed):
        return True
    if state.over == "carried":
        return False
    return event.view.session != state.session or breaks_off(state, event.bar)


def breaks_off(state: TraderState, bar: Bar) -> bool:
    """Whether ``bar`` opens after the flat time of what was open before it, or is another contract's."""
    assert state.last_bar is not None and state.view is not None
    last = state.last_bar
    rolls = bar.contract != last.contract
    return bool(opens_too_late(last.ts_event_ns, bar.ts_event_ns, state.view.minutes_to_flat, rolls))


def close_session(state: TraderState, setting: Setting) -> Step:
    """End the day of a flat account: an end-of-day floor moves, and one without room for a trade ends."""
    return _close_day(state, setting).then(_count_refusals, setting).then(_strand, setting)


def open_session(state: TraderState, session: int, setting: Setting) -> Step:
    """Begin a trading day: its limits are set; an account that has ended, or runs out of days, starts over."""
    step = Step(state._replace(session=session, entries_this_session=0))
    if state.status == "active" and expired(state.days, session, setting.venue.rules):
        step = step.then(end_account, "expired")
    goes_on = step.state.status == "active" and state.last_bar is not None
    return step.then(_open_day if goes_on else _open_account, setting).then(_open_guards)


def _open_guards(state: TraderState) -> Step:
    """What a session's guards begin with; a policy that is silent stays so over night."""
    return Step(state._replace(guarded=Guarded(opened=state.broker.account.cash, silent=state.guarded.silent)))


def end_account(state: TraderState, status: Status, *, refused_sessions: int = 0) -> Step:
    """The account has ended with ``status``; ``refused_sessions``: in so many its gate refused every entry."""
    record = events.account_ended(state.attempt, status, state.broker.account, refused_sessions=refused_sessions)
    return Step(state._replace(status=status), (record,))


def _open_day(state: TraderState, setting: Setting) -> Step:
    account, days = next_day(state.broker.account, state.days, state.session, setting.venue.rules)
    return Step(state._replace(broker=state.broker._replace(account=account), days=days))


def _open_account(state: TraderState, setting: Setting) -> Step:
    """Open the account of the next attempt; of the first one where no bar came yet."""
    attempt = state.attempt + (state.status != "active")
    account, days = new_attempt(state.session, setting.venue.rules)
    opened = state._replace(
        broker=state.broker._replace(account=account),
        attempt=attempt,
        status="active",
        losing_streak=0,
        refusals=Refusals(),
        days=days,
    )
    return Step(opened, (events.account_opened(attempt, account),))


def _close_day(state: TraderState, setting: Setting) -> Step:
    account, days = closed_day(state.broker.account, state.days, setting.venue.rules)
    closed = state._replace(broker=state.broker._replace(account=account), days=days)
    return Step(closed, (events.session_closed(state.session, state.attempt, account, days),))


def _count_refusals(state: TraderState, setting: Setting) -> Step:
    """Count a session whose every entry the gate vetoed near the floor."""
    account, entries, budget = state.broker.account, state.entries_this_session, setting.limits.risk_budget
    return Step(state._replace(refusals=refusals_after(state.refusals, account, entries, budget)))


def _strand(state: TraderState, setting: Setting) -> Step:
    """End an account that will not trade any more: its room is within one trade's budget, or the gate lets nothing by.

    A gate that vetoes near the floor, as the three-line rule does under two risks, would else veto for ever: without a
    trade the room never changes.
    """
    if state.status != "active":
        return Step(state)
    if stranded(state.broker.account, setting.limits.risk_budget):
        return end_account(state, "stranded")
    if state.refusals.sessions >= REFUSED_SESSIONS:
        return end_account(state, "stranded", refused_sessions=state.refusals.sessions)
    return Step(state)
