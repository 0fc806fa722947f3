"""The three-line rule that every model is compared with."""

from typing import NamedTuple

from llm_gate.contract import EntryProposal, Label
from llm_gate.engines.base import Answer, Question, letter_of

HIGH_VOLATILITY_PERCENTILE = 90
LEAST_ROOM_RISKS_MILLI = 2000
LATE_MINUTES = 45


class Ruling(NamedTuple):
    """A label and the rule it comes from; the reason of an approval is empty."""

    label: Label
    reason: str


def rule(proposal: EntryProposal) -> Ruling:
    """The first of the three rules that speaks against ``proposal``, else an approval."""
    context = proposal.context
    if against_trend(proposal) and context.volatility_percentile > HIGH_VOLATILITY_PERCENTILE:
        return Ruling("veto", f"against the 60-minute trend with volatility above {HIGH_VOLATILITY_PERCENTILE} percent")
    if context.room_to_floor_risks_milli < LEAST_ROOM_RISKS_MILLI:
        return Ruling("veto", "room to the drawdown floor is under twice the trade's risk")
    if context.minutes_to_flat <= LATE_MINUTES:
        return Ruling("shrink", f"within {LATE_MINUTES} minutes of flat")
    return Ruling("approve", "")


def against_trend(proposal: EntryProposal) -> bool:
    """Whether the side opposes the sign of the 60-minute trend; a trend of exactly 0 opposes nobody."""
    trend = proposal.context.trend_60_atr_milli
    return trend < 0 if proposal.side == "buy" else trend > 0


class RulesEngine:
    """Applies the three-line rule; needs no model and no server."""

    name = "rules"
    model = "three-line-rule.v1"
    by_case = True

    async def decide(self, question: Question) -> Answer:
        """The letter that stands for the rule's label, without probabilities."""
        ruling = rule(question.proposal)
        letter = letter_of(ruling.label, question.letters)
        return Answer(question.proposal.proposal_id, letter, None, ruling.reason, "rule")
