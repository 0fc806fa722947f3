"""The judgement of one evaluation: how sure it is after all tries, and the verdict; every caller gets it from here."""

from typing import NamedTuple

from rl_core.evaluation.evaluate import Evaluation
from rl_core.evaluation.tries import tries_of
from rl_core.statistics.criteria import PolicyCriteria
from rl_core.statistics.sharpe import sharpe_of
from rl_core.statistics.verdict import Evidence, Tries, Verdict, origin_doubts, verdict_on


class Circumstances(NamedTuple):
    """Where bars and policy come from, as far as a verdict depends on it."""

    in_sample: bool  # bars were played that the policy, or its phase 1, was trained on
    synthetic: bool  # the bars are a generated world
    trained_on_world: bool  # the policy was trained on one
    training_ended: bool
    doubts: tuple[str, ...] = ()

    @property
    def reasons(self) -> tuple[str, ...]:
        """What keeps a verdict from being PASS or FAIL, besides the trades and what is in sample."""
        origin = origin_doubts(self.synthetic, self.trained_on_world, self.training_ended)
        return (*self.doubts, *origin)


class Judgement(NamedTuple):
    """The verdict, and what it says of the tries."""

    verdict: Verdict
    tries: Tries


def judge(evaluation: Evaluation, tries: int, circumstances: Circumstances, criteria: PolicyCriteria) -> Judgement:
    """What ``evaluation`` proves, as `rl-core evaluate` says it and `bench/verdict.py` calibrates it.

    Args:
        evaluation: trades, sessions and the interval of mean R a trade.
        tries: how many different ones were judged on some of these sessions, this one included.
        circumstances: of bars and policy.
        criteria: what PASS and FAIL need.
    """
    trades = evaluation.trades
    counted = tries_of(tries, sharpe_of(trades.session, trades.r, evaluation.sessions))
    evidence = Evidence(
        expectancy=evaluation.expectancy,
        in_sample=circumstances.in_sample,
        synthetic=circumstances.synthetic,
        trained_on_world=circumstances.trained_on_world,
        training_ended=circumstances.training_ended,
        proposals=0,
        without_verdict=0,
        tries=counted,
        record_faults=circumstances.doubts,
    )
    return Judgement(verdict_on(evidence, criteria), counted)
