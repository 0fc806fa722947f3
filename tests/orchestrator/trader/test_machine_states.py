"""The tables at the top of the trading state machine, held against what `advance` takes, refuses and leads to."""

import re
from itertools import product, takewhile

import pytest
from driven_trader import Drive, Minute, accounts, minutes, reviewed, settings_for
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from llm_gate.contract import Approve
from orchestrator.trader import machine
from orchestrator.trader.machine import advance
from orchestrator.trader.state import (
    AskGate,
    AskPolicy,
    BarClosed,
    BarsEnded,
    Event,
    FlatTimePassed,
    GateAnswered,
    OperatorAsked,
    PolicyAnswered,
    Setting,
    Step,
    TraderState,
)
from rl_core.contract import BUY, HOLD

Table = dict[tuple[str, str], set[str]]
EVENTS = ("BarClosed", "PolicyAnswered", "GateAnswered", "OperatorAsked", "FlatTimePassed", "BarsEnded")
QUIET = Minute(0, False, 0, 10, 10, 4, 280, HOLD, Approve())


def table(first: str) -> Table:
    """(row, event) -> where it may lead, of the table whose first head is ``first``; a refused event leads nowhere."""
    lines = (machine.__doc__ or "").splitlines()
    (head,) = (number for number, line in enumerate(lines) if line.startswith(f"| {first} |"))
    rows = takewhile(lambda line: line.startswith("|"), lines[head + 2 :])
    heads = cells_of(lines[head])
    return {
        (cells_of(row)[0], event): set(re.findall(r"\w+", cell))
        for row in rows
        for event, cell in zip(heads, cells_of(row), strict=True)
        if event in EVENTS
    }


def cells_of(row: str) -> list[str]:
    """The cells of one line of a table."""
    return [cell.strip() for cell in row.strip("|").split("|")]


WAITS, ACCOUNT = table("waits for"), table("account")


class Situation:
    """A trader in each of its waits, and the events that can be tried on it."""

    def __init__(self) -> None:
        self.drive = Drive(settings_for())
        self.setting = self.drive.setting
        bar = BarClosed(self.drive._bar(QUIET), self.drive._view(QUIET))
        asked = self.advance(self.drive.state, bar)
        proposed = self.advance(asked.state, PolicyAnswered(BUY, "policy"))
        assert isinstance(asked.question, AskPolicy) and isinstance(proposed.question, AskGate)
        verdict = GateAnswered(reviewed(proposed.question, Approve()))
        self.states = {
            "bar": self.advance(proposed.state, verdict).state,
            "action": asked.state,
            "verdict": proposed.state,
            "end": self.advance(self.drive.state, BarsEnded()).state,
        }
        self.drive.minute, self.drive.seq = 1, 1
        later = BarClosed(self.drive._bar(QUIET), self.drive._view(QUIET))
        self.events: dict[str, tuple[Event, ...]] = {
            "BarClosed": (later, later._replace(view=later.view._replace(entry_open=False))),
            "PolicyAnswered": (PolicyAnswered(HOLD, "policy"), PolicyAnswered(BUY, "policy")),
            "GateAnswered": (verdict,),
            "OperatorAsked": (OperatorAsked("halted"), OperatorAsked("flat"), OperatorAsked("trading")),
            "FlatTimePassed": (FlatTimePassed(),),
            "BarsEnded": (BarsEnded(),),
        }

    def advance(self, state: TraderState, event: Event) -> Step:
        """One event under this situation's setting."""
        return advance(state, event, self.setting)


def test_the_table_has_a_cell_for_every_wait_and_event() -> None:
    assert set(WAITS) == set(product(("bar", "action", "verdict", "end"), EVENTS))


@pytest.mark.parametrize(("wait", "event"), sorted(WAITS))
def test_an_event_is_taken_and_leads_where_the_table_says(wait: str, event: str) -> None:
    """A bar is tried in and out of entry hours, an answer with and without an entry: together they reach each cell."""
    situation = Situation()
    state, tried = situation.states[wait], situation.events[event]
    assert state.waits_for == wait

    if not WAITS[wait, event]:
        for one in tried:
            with pytest.raises(AssertionError, match=f"{event} while it waits for {wait}"):
                situation.advance(state, one)
        return
    steps = [situation.advance(_flat(state) if event == "BarClosed" else state, one) for one in tried]

    assert {step.state.waits_for for step in steps} == WAITS[wait, event]
    for step in steps:
        assert isinstance(step.question, AskPolicy) == (step.state.waits_for == "action")
        assert isinstance(step.question, AskGate) == (step.state.waits_for == "verdict")


def _flat(state: TraderState) -> TraderState:
    """Without the order of its last proposal: a phase-2 policy is always asked while a position is open."""
    order = state.broker.order._replace(quantity=0, stop_ticks=0, target_ticks=0)
    return state._replace(broker=state.broker._replace(order=order))


@settings(
    max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, phases=[Phase.generate]
)
@given(accounts, st.lists(minutes, min_size=30, max_size=80))
def test_an_account_goes_only_where_the_table_says(setting: Setting, played: list[Minute]) -> None:
    drive = Drive(setting)
    for minute in played:
        before = drive.state.status
        drive.play(minute)
        assert drive.state.status in ACCOUNT[before, "BarClosed"]
    before = drive.state.status

    drive.end()

    assert drive.state.status in ACCOUNT[before, "BarsEnded"]


def test_every_standing_of_the_table_is_reached() -> None:
    """From `active` by a stop far below, a target, and one stop in an account with little room."""
    gap, target, stop = QUIET._replace(gap=-400), QUIET._replace(up=200, close=0), QUIET._replace(down=40)
    little = settings_for().venue.rules._replace(max_loss=70_000)
    small = settings_for(venue=settings_for().venue._replace(rules=little))
    plays = {"failed": (gap, settings_for()), "passed": (target, settings_for()), "stranded": (stop, small)}

    for status, (exit_bar, setting) in plays.items():
        drive = Drive(setting)
        for _ in range(2):  # two targets pass
            drive.play(QUIET._replace(action=BUY))
            drive.play(QUIET)
            drive.play(exit_bar)
            if status != "passed":
                break
        if status == "stranded":
            assert drive.state.status == "active"
            drive.end()
        assert drive.state.status == status
        assert status in ACCOUNT["active", "BarsEnded"]
        if status != "stranded":
            drive.play(QUIET._replace(session_break=True))
            assert drive.state.status == "active"
