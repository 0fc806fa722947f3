"""Gates on paths that are played again: told what a gate is told, they say what becomes of an entry."""

from collections import Counter
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import NamedTuple

from llm_gate.contract import EntryProposal, Label
from llm_gate.engines.rules import rule
from orchestrator.trader.proposals import propose
from orchestrator.trader.seen_at_close import CloseViewTable
from rl_core.evaluation.gates import APPROVED, VETOED, Ruling, Wanted
from rl_core.market.fills import Venue

NO_ID = "0" * 32  # of a proposal that is kept nowhere

Judges = Callable[[EntryProposal], Label]


class Told(NamedTuple):
    """What turns an entry into what a gate is told of it."""

    views: CloseViewTable
    venue: Venue

    def proposal(self, wanted: Wanted, proposal_id: str = NO_ID) -> EntryProposal:
        """The proposal of ``wanted``, as a run makes it."""
        view = self.views.at(wanted.bar)
        return propose(proposal_id, wanted.order, wanted.account, view, wanted.losing_streak, self.venue)


class RecordedVerdicts:
    """Says again what the gate of a run said, by the bar that it was asked at."""

    def __init__(self, rulings: Mapping[int, Ruling]) -> None:
        """``rulings`` by the index of the bar."""
        self._rulings = rulings

    def review(self, wanted: Wanted) -> Ruling:
        """As it stands in the journal; a question that was never asked goes through, and shows in the trades."""
        return self._rulings.get(wanted.bar, APPROVED)


class JudgedByFacts:
    """Asks a function of the proposal, and counts what it said."""

    def __init__(self, judges: Judges, told: Told, factor: Fraction) -> None:
        """``factor`` of the contracts is what a shrunk entry keeps."""
        self._judges, self._told = judges, told
        self._rulings: Mapping[Label, Ruling] = {"approve": APPROVED, "veto": VETOED, "shrink": Ruling(factor)}
        self.said: Counter[Label] = Counter()
        self.at: dict[int, Label] = {}  # by the bar of the entry

    def review(self, wanted: Wanted) -> Ruling:
        """What the function says of the entry."""
        label = self._judges(self._told.proposal(wanted))
        self.said[label] += 1
        self.at[wanted.bar] = label
        return self._rulings[label]


class Listening:
    """Approves everything, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Wanted] = []

    def review(self, wanted: Wanted) -> Ruling:
        """An approval."""
        self.asked.append(wanted)
        return APPROVED


def three_lines(told: Told, factor: Fraction) -> JudgedByFacts:
    """The first of the three written rules that speaks against the entry, else an approval."""
    return JudgedByFacts(lambda proposal: rule(proposal).label, told, factor)
