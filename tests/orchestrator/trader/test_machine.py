"""What the trader may never do, whatever happens: random minutes, actions and verdicts, and cases by hand."""

from decimal import Decimal

import pytest
from driven_trader import (
    BUFFER,
    FLAT_MINUTE,
    MINUTE_NS,
    QUIET,
    START,
    TERMS,
    Drive,
    Minute,
    accounts,
    entered,
    minutes,
    quiet,
    reviewed,
    settings_for,
    types,
)
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from llm_gate.contract import Approve, GateFailed, Outcome, Resize, Veto
from orchestrator.messaging.catalogue import Bar
from orchestrator.trader.machine import advance, decision_id
from orchestrator.trader.state import AskGate, BarClosed, GateAnswered, PolicyAnswered, Setting, TraderState
from rl_core.contract import BUY, SELL
from rl_core.market.fills import Venue
from rl_core.market.types import NEVER_LOCKS, PESSIMISTIC, STATIC, Rules

QUICK = settings(
    max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, phases=[Phase.generate]
)


@QUICK
@given(accounts, st.lists(minutes, min_size=30, max_size=80))
def test_no_rule_is_ever_broken(setting: Setting, played: list[Minute]) -> None:
    drive = Drive(setting)

    for minute in played:
        drive.play(minute)
    drive.end()

    assert sum(record.type == "account_opened" for record in drive.records) == drive.state.attempt
    fills = sum(record.type == "fill" for record in drive.records)
    assert fills == 2 * drive.state.trades == 2 * sum(record.type == "trade" for record in drive.records)


def test_an_approved_entry_fills_at_the_next_open_one_slippage_worse() -> None:
    drive = entered(Approve())
    drive.play(QUIET._replace(gap=2))

    position = drive.state.broker.position
    assert (position.quantity, position.entry, position.stop, position.target) == (12, 80_003, 79_973, 80_093)
    assert types(drive) == ["account_opened", "proposed", "intent", "fill"]


@pytest.mark.parametrize(
    ("outcome", "factor", "quantity"),
    [
        (Approve(), "0", 12),
        (Resize(size_factor=Decimal("0.5"), reason=""), "0", 6),
        (Resize(size_factor=Decimal("0.999"), reason=""), "0", 11),
        (Veto(reason=""), "1", 0),
        (GateFailed(cause="timeout"), "0", 0),
        (GateFailed(cause="timeout"), "0.3", 3),
        (GateFailed(cause="timeout"), "1", 12),
    ],
)
def test_the_size_is_the_floor_of_the_factor_times_the_proposal(outcome: Outcome, factor: str, quantity: int) -> None:
    drive = entered(outcome, settings_for(fail_factor=Decimal(factor)), SELL)

    assert drive.state.broker.order.quantity == -quantity


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (Veto(reason=""), "vetoed"),
        (GateFailed(cause="http"), "gate_failed"),
        (Resize(size_factor=Decimal("0.08"), reason=""), "resize_to_zero"),
    ],
)
def test_why_a_proposal_led_to_nothing_is_told_apart(outcome: Outcome, code: str) -> None:
    """0.08 of 12 contracts is less than one; a fault is never counted as a veto."""
    drive = entered(outcome)

    assert [r.payload["code"] for r in drive.records if r.type == "proposal_closed"] == [code]
    assert drive.state.entries_this_session == 0


def test_a_shadow_gate_is_recorded_and_does_not_act() -> None:
    drive = entered(Veto(reason="no"), settings_for(shadow=True))

    assert drive.state.broker.order.quantity == 12


def test_without_a_gate_the_order_follows_the_proposal_at_once() -> None:
    drive = entered(Veto(reason="never asked"), settings_for(gated=False))

    assert types(drive) == ["account_opened", "proposed", "intent"] and drive.state.pending is None


def test_a_verdict_on_nothing_is_our_own_mistake() -> None:
    drive = Drive(settings_for())
    at_close = advance(drive.state, BarClosed(drive._bar(QUIET), drive._view(QUIET)), drive.setting)
    proposed = advance(at_close.state, PolicyAnswered(BUY, "policy"), drive.setting)
    assert isinstance(proposed.question, AskGate)
    foreign = reviewed(proposed.question, Approve()).model_copy(update={"proposal_id": "0" * 32})

    with pytest.raises(AssertionError, match="a verdict for nothing"):
        advance(proposed.state, GateAnswered(foreign), drive.setting)


def test_a_waiting_order_does_not_survive_the_session() -> None:
    drive = entered(Approve())
    drive.play(QUIET._replace(session_break=True))

    cancelled = [record.payload["code"] for record in drive.records if record.type == "cancelled"]
    assert cancelled == ["session_break"] and drive.state.broker.position.quantity == 0
    assert "fill" not in types(drive)


def test_a_waiting_order_does_not_survive_silence_over_the_flat_time() -> None:
    """The next bar of the same session opens 35 minutes later, after the flat time."""
    drive = entered(Approve())
    drive.play(QUIET._replace(silent=34))

    assert types(drive) == ["account_opened", "proposed", "intent", "cancelled"]


def test_a_position_over_silent_minutes_leaves_at_the_last_close() -> None:
    """In at 80,001 with 12; the last close is 80,000, out at 79,999: 12 x -2 x 50 - 24 x 60 = -2,640 cents."""
    drive = entered(Approve())
    drive.play(QUIET)
    drive.play(QUIET._replace(silent=30, gap=500))

    (trade,) = (record.payload for record in drive.records if record.type == "trade")
    assert (trade["reason"], trade["exit"], trade["pnl"]) == ("session_end", 79_999, -2_640)
    assert trade["exit_ns"] == MINUTE_NS


def test_what_is_open_is_flattened_before_the_flat_time() -> None:
    drive = entered(Approve())
    for _ in range(FLAT_MINUTE - 1):
        drive.play(QUIET)

    trade = next(record.payload for record in drive.records if record.type == "trade")
    assert trade["reason"] == "flatten" and trade["exit_ns"] == (FLAT_MINUTE - BUFFER) * MINUTE_NS
    assert [record.payload["order"] for record in drive.records if record.type == "flatten"] == [trade["order_id"]]


def test_a_failed_account_trades_no_more_and_is_replaced_next_session() -> None:
    """A gap of 400 ticks against 12 contracts loses far more than the room."""
    drive = entered(Approve())
    drive.play(QUIET)
    drive.play(QUIET._replace(gap=-400))
    drive.play(QUIET._replace(action=BUY))
    failed = drive.state

    drive.play(QUIET._replace(session_break=True, action=BUY))

    assert (failed.status, failed.attempt, failed.broker.order.quantity) == ("failed", 1, 0)
    assert types(drive).count("proposed") == 2
    assert (drive.state.status, drive.state.attempt, drive.state.losing_streak) == ("active", 2, 0)
    assert drive.state.broker.account.cash == START


def test_a_passed_account_stops_too() -> None:
    """The target of 90 ticks with 12 contracts is $540 before costs; two reach the $600."""
    drive = entered(Approve())
    drive.play(QUIET)
    drive.play(QUIET._replace(up=200, close=0, action=BUY))
    assert drive.state.status == "active"
    drive.play(QUIET)
    drive.play(QUIET._replace(up=200, close=0))
    drive.play(QUIET._replace(action=BUY))

    ended = [record.payload["status"] for record in drive.records if record.type == "account_ended"]
    assert ended == ["passed"] and drive.state.broker.account.cash >= START + 60_000
    assert types(drive).count("intent") == 2


def test_a_trade_that_comes_to_exactly_nothing_ends_a_losing_streak() -> None:
    """A stop loses. Then break-even, at 60 cents a tick and a side: the stop is 3 ticks up, slips 1 and pays 2 x 60."""
    terms = TERMS._replace(tick_value=60)
    drive = entered(
        Approve(), settings_for(venue=Venue(terms, Rules(START, 10**6, 10**6, STATIC, NEVER_LOCKS), PESSIMISTIC))
    )
    drive.play(QUIET)
    drive.play(QUIET._replace(down=40))
    lost = drive.state.losing_streak
    drive.play(QUIET._replace(action=BUY))
    drive.play(QUIET._replace(up=40, close=8, action=1))  # break-even is the second of what is legal
    drive.play(QUIET._replace(gap=-10, up=0, down=40))

    trades = [record.payload["pnl"] for record in drive.records if record.type == "trade"]
    assert lost == 1 and trades[0] < 0 and trades[1:] == [0]
    assert drive.state.losing_streak == 0


@pytest.mark.parametrize(("room", "status"), [(0, "stranded"), (1, "active")])
def test_a_room_of_exactly_one_risk_budget_strands_an_account_and_a_cent_more_does_not(room: int, status: str) -> None:
    """The day closes on the balance that it opened with, $500 and ``room`` cents above a static floor."""
    rules = Rules(START, 10**6, 50_000 + room, STATIC, NEVER_LOCKS)
    drive = quiet(settings_for(venue=Venue(TERMS, rules, PESSIMISTIC)))

    drive.end()

    assert drive.state.status == status


def at_the_target(**rules: int) -> Drive:
    """$540 before costs of one target, of $500 asked for, in an account that must trade on two days."""
    pack = Rules(START, 50_000, 120_000, STATIC, NEVER_LOCKS, min_days=2)._replace(**rules)
    drive = entered(Approve(), settings_for(venue=Venue(TERMS, pack, PESSIMISTIC)))
    drive.play(QUIET)
    drive.play(QUIET._replace(up=200, close=0))
    assert drive.state.broker.account.cash >= START + 50_000
    return drive


def test_an_account_at_its_target_stands_down_until_the_next_day_and_passes_once_its_days_are_made() -> None:
    """The second day's first trade makes the count: at break-even or better, the target is still banked."""
    drive = at_the_target()
    for _ in range(3):
        drive.play(QUIET._replace(action=BUY))
    first_day = types(drive)
    drive.play(QUIET._replace(session_break=True, action=BUY))
    drive.play(QUIET)
    drive.play(QUIET._replace(up=200, close=0))

    assert first_day.count("proposed") == 1 and first_day.count("stood_down") == 1
    (stood,) = (record for record in drive.records if record.type == "stood_down")
    assert stood.payload == {"session": 0, "attempt": 1, "cash": START + 12 * (90 * 50 - 120)}
    assert types(drive).count("proposed") == 2
    assert drive.state.status == "passed"


def test_an_account_that_falls_below_its_target_on_the_next_day_trades_on_until_it_is_there_again() -> None:
    drive = at_the_target()
    drive.play(QUIET._replace(session_break=True, action=BUY))
    drive.play(QUIET)
    drive.play(QUIET._replace(down=40))
    assert drive.state.broker.account.cash < START + 50_000
    drive.play(QUIET._replace(action=BUY))

    assert types(drive).count("proposed") == 3 and types(drive).count("stood_down") == 1
    assert drive.state.status == "active"


def test_an_account_may_trade_on_at_its_target() -> None:
    drive = at_the_target(stand_down=0)
    drive.play(QUIET._replace(action=BUY))

    assert types(drive).count("proposed") == 2 and "stood_down" not in types(drive)
    assert drive.state.status == "active"


def test_an_account_without_room_for_a_trade_is_stranded_at_the_session_end() -> None:
    """Room 120,000; two stops of some 20,000 each and the intraday floor leave less than the 50,000 of a trade."""
    rules = Rules(START, 10**6, 70_000, STATIC, NEVER_LOCKS)
    drive = entered(Approve(), settings_for(venue=Venue(TERMS, rules, PESSIMISTIC)))
    drive.play(QUIET)
    drive.play(QUIET._replace(down=40))
    open_still = drive.state.status
    drive.play(QUIET._replace(session_break=True))

    ended = [record.payload["status"] for record in drive.records if record.type == "account_ended"]
    assert (open_still, ended, drive.state.attempt) == ("active", ["stranded"], 2)


NARROW = settings_for(venue=Venue(TERMS, Rules(START, 10**6, 90_000, STATIC, NEVER_LOCKS), PESSIMISTIC))
"""Room 90,000, less than two trades' budget of 50,000, and more than one."""


def refused(drive: Drive, sessions: int, outcome: Outcome, *, proposes: bool = True) -> list[object]:
    """So many sessions of two proposals each that the gate answers alike; how the accounts ended."""
    for _ in range(sessions):
        drive.play(QUIET._replace(session_break=True, action=BUY if proposes else 0, outcome=outcome))
        drive.play(QUIET._replace(action=BUY if proposes else 0, outcome=outcome))
    drive.play(QUIET._replace(session_break=True))
    return [record.payload for record in drive.records if record.type == "account_ended"]


def test_an_account_that_the_gate_refuses_near_its_floor_is_stranded_after_three_sessions() -> None:
    """Without a trade the room never changes: a gate that vetoes under two risks would veto for ever."""
    two = refused(Drive(NARROW), 2, Veto(reason="near the floor"))
    drive = Drive(NARROW)
    three = refused(drive, 3, Veto(reason="near the floor"))

    assert two == []
    assert three == [
        {"attempt": 1, "status": "stranded", "cash": START, "floor": START - 90_000, "refused_sessions": 3}
    ]
    assert (drive.state.attempt, drive.state.status, drive.state.refusals.sessions) == (2, "active", 0)


def test_only_vetoes_near_the_floor_that_act_strand_an_account() -> None:
    """Not a failure, which says nothing of the account; nor shadow, where the entry is made; nor with room."""
    no = Veto(reason="no")
    wide = NARROW._replace(venue=NARROW.venue._replace(rules=NARROW.venue.rules._replace(max_loss=100_000)))

    assert refused(Drive(NARROW), 4, GateFailed(cause="timeout")) == []
    assert refused(Drive(NARROW._replace(shadow=True)), 4, no) == []
    assert refused(Drive(wide), 4, no) == [], "exactly two budgets of room are not under two"


def test_a_session_without_a_proposal_says_nothing_and_one_with_an_entry_begins_anew() -> None:
    no = Veto(reason="no")
    drive = Drive(NARROW)

    assert refused(drive, 2, no) == []
    assert refused(drive, 2, no, proposes=False) == []
    assert drive.state.refusals.sessions == 2
    drive.play(QUIET._replace(action=BUY))
    drive.play(QUIET._replace(session_break=True))
    assert drive.state.refusals.sessions == 0


def test_entries_a_session_are_limited() -> None:
    drive = Drive(settings_for(max_entries_per_session=1))
    drive.play(QUIET._replace(action=BUY))
    drive.play(QUIET._replace(down=40))
    drive.play(QUIET._replace(action=BUY))

    denied = [record.payload["code"] for record in drive.records if record.type == "denied"]
    assert denied == ["entries_per_session"] and drive.state.broker.order.quantity == 0


def test_a_losing_streak_counts_and_ends_with_a_winner() -> None:
    drive = Drive(settings_for())
    streaks = []
    for bar in (QUIET._replace(down=60, close=8), QUIET._replace(down=60, close=8), QUIET._replace(up=150, close=0)):
        drive.play(QUIET._replace(action=BUY))
        drive.play(bar)
        streaks.append(drive.state.losing_streak)

    assert streaks == [1, 2, 0]


def test_a_trail_is_recorded_follows_every_rising_close_and_never_falls() -> None:
    """Closes at 80,030, 80,070 and 80,060: the stop stays one distance below the highest of them."""
    drive, stops = entered(Approve()), []
    for bar in (QUIET._replace(up=30, down=0, close=8, action=2), QUIET._replace(up=40, down=0, close=8), QUIET):
        drive.play(bar)
        stops.append(drive.state.broker.position.stop)

    managed = [record.payload for record in drive.records if record.type == "managed"]
    assert [(p["action"], p["trailing"], p["stop"]) for p in managed] == [("trail_on", 1, stops[0])]
    assert [stop - stops[0] for stop in stops] == [0, 40, 40]


def test_the_name_of_a_decision_follows_from_run_and_bar_alone() -> None:
    bar = Bar(seq=3, ts_event_ns=60, open=1, high=1, low=1, close=1, volume=1)
    others = [bar.model_copy(update={"seq": 4}), bar.model_copy(update={"ts_event_ns": 120})]

    names = {decision_id("a", bar), decision_id("b", bar), *(decision_id("a", other) for other in others)}

    assert len(names) == 4 and all(len(name) == 32 for name in names)
    assert decision_id("a", bar) == decision_id("a", bar.model_copy(update={"close": 9}))


def test_states_are_values() -> None:
    """The same event on the same state gives the same answer: nothing hides in between."""
    drive = quiet()
    state: TraderState = drive.state
    bar, view = drive._bar(QUIET), drive._view(QUIET)

    first, again = (advance(state, BarClosed(bar, view), drive.setting) for _ in range(2))

    assert first.records == again.records and first.state.broker == again.state.broker
    assert drive.state is state
