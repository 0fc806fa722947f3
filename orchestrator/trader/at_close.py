"""What the trader knows at a close: the legal actions, what the policy is shown, and the terms of the next fills."""

import numpy as np
import numpy.typing as npt

from orchestrator.trader.guards import OFF, Effect, GuardName, Watched, cut, in_force
from orchestrator.trader.state import Setting, TraderState
from rl_core.features.observation import AccountRoom, Mark, one_observation
from rl_core.market import broker
from rl_core.market.account import limits_today
from rl_core.market.broker import XP
from rl_core.market.costs import size, slippage_ticks, stop_distance, stop_loss
from rl_core.market.decisions import KnownAtClose, LegalActions, legal_actions
from rl_core.market.fills import Venue
from rl_core.market.types import Limits

_NOTHING = LegalActions(enter=False, breakeven=False, enable_trail=False, disable_trail=False)


def known_at_close(state: TraderState, setting: Setting) -> KnownAtClose:
    """What is known at the last close."""
    assert state.last_bar is not None and state.view is not None
    view = state.view
    held_back = guards_now(state, setting)
    # An ended account waits for the next session, whatever the hours allow; a halted run for a person.
    entry_open = view.entry_open and state.status == "active" and state.standing == "trading" and not held_back
    if setting.entries is not None:
        entry_open = entry_open and state.last_bar.seq in setting.entries  # elsewhere there is nothing to choose
    own = setting.own_at(state.last_bar)
    flatten_due = view.flatten_due or state.standing == "flat" or state.failing or "flat" in held_back.values()
    return KnownAtClose(
        close=state.last_bar.close,
        true_range_sum=view.true_range_sum,
        entry_open=entry_open,
        flatten_due=flatten_due,
        yardstick=setting.yardstick,
        bracket=None if own is None else own.distances,
    )


def legal_at_close(state: TraderState, setting: Setting) -> tuple[KnownAtClose, LegalActions]:
    """What is known at the last close, and which actions the policy may choose there."""
    known, held = known_at_close(state, setting), state.broker
    if not held.position.quantity and (known.flatten_due or not known.entry_open):
        return known, _NOTHING  # as `legal_actions` finds: most bars of a run are such
    terms, limits = venue_after_close(state, setting).terms, limits_now(state, setting)
    return known, legal_actions(XP, held.position, held.account, known, terms, limits)


def guards_now(state: TraderState, setting: Setting) -> dict[GuardName, Effect]:
    """The guards that hold back at the last close, and how."""
    if setting.guards == OFF:
        return {}
    assert state.last_bar is not None and state.view is not None
    terms, limits = venue_after_close(state, setting).terms, limits_now(state, setting)
    own = setting.own_at(state.last_bar)
    usual = stop_distance(XP, state.view.true_range_sum, setting.yardstick)
    stop_ticks = usual if own is None else own.distances.stop_ticks
    quantity = cut(setting.guards, size(XP, stop_ticks, terms, limits))
    seen = Watched(
        equity=broker.equity_at(state.broker, state.last_bar.close, setting.venue),
        floor=state.broker.account.floor,
        opened=state.guarded.opened,
        lost=state.guarded.lost,
        entries=state.entries_this_session,
        silent=state.guarded.silent,
        minutes_to_flat=state.view.minutes_to_flat,
        at_stake=quantity * stop_loss(XP, stop_ticks, terms),
    )
    return in_force(setting.guards, seen)


def observation_at_close(state: TraderState, legal: LegalActions, setting: Setting) -> npt.NDArray[np.float32]:
    """What the policy was trained to see at a close [O] float32: market, position and, in phase 2, the account."""
    assert state.last_bar is not None and state.view is not None
    mark = Mark(state.last_bar.close, state.view.true_range_sum, setting.yardstick.atr_bars)
    equity = broker.equity_at(state.broker, mark.close, setting.venue)
    room = AccountRoom(equity, state.broker.account.floor, setting.venue.rules.max_loss)
    seen_room = room if setting.phase == 2 else None
    return one_observation(state.view.window, state.broker.position, mark, seen_room, legal.enter)


def venue_after_close(state: TraderState, setting: Setting) -> Venue:
    """What fills after the last close meet."""
    venue, frictions = setting.venue, setting.frictions
    if frictions is None or state.view is None:
        return venue
    ticks = slippage_ticks(XP, frictions, state.view.decision_minute, state.view.true_range_sum)
    return venue._replace(terms=venue.terms._replace(slippage_ticks=ticks))


def limits_now(state: TraderState, setting: Setting) -> Limits:
    """What one trade may risk today."""
    return limits_today(XP, setting.limits, state.broker.account)
