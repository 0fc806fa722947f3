"""What a policy's management made of its own entries, beside the same entries with their brackets left alone."""

from rl_core.evaluation.judgement import Circumstances
from rl_core.evaluation.outcomes import Outcomes
from rl_core.evaluation.trades import Trades
from rl_core.statistics.criteria import ManagementCriteria
from rl_core.statistics.management_verdict import (
    ManagementVerdict,
    managed_beside_alone,
    verdict_on_management,
)


def judge_management(
    trades: Trades, outcomes: Outcomes, circumstances: Circumstances, criteria: ManagementCriteria
) -> ManagementVerdict:
    """The verdict on how ``trades`` of phase 2 were managed; each bracket alone is played by a fresh account."""
    alone, _ = outcomes.usual(trades.decided, trades.side)
    managed = managed_beside_alone(trades.r, alone, trades.session, level=criteria.level)
    return verdict_on_management(managed, criteria, in_sample=circumstances.in_sample, doubts=circumstances.reasons)
