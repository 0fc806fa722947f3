"""The sessions that a size is fitted on: what the gate lets through, as if each entry were an account's first."""

import numpy as np

from llm_gate.contract import EntryProposal, Label
from orchestrator.report.sized_gate import tape_let_through
from rl_core.evaluation.path_tables import PathTables
from rl_core.evaluation.span import Span
from rl_core.evaluation.tapes import Tape
from tests.orchestrator.report.test_taught_on_span import FIRST_TAUGHT, policy

JUDGED_UNTIL = 12


def let_through(label: Label, told: list[EntryProposal]) -> Tape:
    who, first, _ = policy()

    def judges(proposal: EntryProposal) -> Label:
        told.append(proposal)
        return label if proposal.side == "buy" else "approve"

    tables = PathTables(who.who, who.views.market, who.trading)
    return tape_let_through(tables, who.views, Span(int(first[FIRST_TAUGHT]), int(first[JUDGED_UNTIL])), judges)


def test_it_holds_the_entries_that_the_gate_approves() -> None:
    told: list[EntryProposal] = []
    every, sells = let_through("approve", told), let_through("veto", [])

    assert len(every.session) == len(sells.session) == JUDGED_UNTIL - FIRST_TAUGHT
    buys = sum(proposal.side == "buy" for proposal in told)
    assert 0 < buys < len(told) and every.trades.sum() <= len(told)
    assert every.trades.sum() - sells.trades.sum() >= buys // 2 > 2


def test_the_gate_is_told_of_a_new_account_each_time() -> None:
    """No account stops a tape, so its room is a billion; a regression that was told that would judge something else."""
    told: list[EntryProposal] = []
    let_through("approve", told)

    rooms = np.array([proposal.context.room_to_floor_risks_milli for proposal in told])
    assert len(rooms) > 10 and rooms.min() > 4_000 and rooms.max() < 20_000
    assert {proposal.context.losing_streak for proposal in told} == {0}
