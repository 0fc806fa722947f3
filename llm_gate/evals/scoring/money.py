"""What a gate's verdicts were worth on recorded proposals, in R a proposal: rows overlap, so nothing is summed."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from llm_gate.contract import EntryProposal
from llm_gate.engines.rules import rule
from llm_gate.evals.scoring.intervals import Figure, Floats, Metric, block_weights, figure, mean_of

SHRUNK_SHARE = 0.5
"""What the three-line rule lets through where it shrinks."""


class Stake(NamedTuple):
    """A recorded proposal with the gate's verdict and the rule's."""

    session: int
    r: float
    """What the whole proposal earned alone."""
    share: float
    """Of its contracts that the gate let through."""
    label: str | None
    """approve, shrink or veto; None without a verdict, which lets nothing through."""
    rule_share: float


def rule_share(proposal: EntryProposal) -> float:
    """How much of ``proposal`` the three-line rule lets through."""
    label = rule(proposal).label
    contracts = int(SHRUNK_SHARE * proposal.quantity) if label == "shrink" else proposal.quantity
    return 0.0 if label == "veto" else contracts / proposal.quantity


def money(stakes: Sequence[Stake]) -> dict[str, Figure]:
    """Mean R with intervals that resample whole sessions.

    ``r_approved``, ``r_shrunk``, ``r_vetoed`` and ``r_unanswered`` are what those proposals earned at full size.
    ``r_gate``, ``r_always``, ``r_random`` and ``r_rule`` are what a policy earns a proposal with the gate, without
    one, with random verdicts at the gate's rates (their expectation), and with the three-line rule. ``uplift_*`` is
    the gate minus each.
    """
    if not stakes:
        return {}
    weights = block_weights([stake.session for stake in stakes])
    r = np.array([stake.r for stake in stakes])
    share = np.array([stake.share for stake in stakes])
    ruled = np.array([stake.rule_share for stake in stakes])
    labels = [stake.label for stake in stakes]
    random = _random(share, r)
    names = {"r_approved": "approve", "r_shrunk": "shrink", "r_vetoed": "veto", "r_unanswered": None}
    metrics: dict[str, Metric] = {name: _mean_where([said == own for said in labels], r) for name, own in names.items()}
    metrics |= {"r_gate": mean_of(share * r), "r_always": mean_of(r), "r_random": random, "r_rule": mean_of(ruled * r)}
    metrics |= {
        "uplift_always": mean_of((share - 1) * r),
        "uplift_random": lambda drawn: mean_of(share * r)(drawn) - random(drawn),
        "uplift_rule": mean_of((share - ruled) * r),
    }
    found = {name: figure(metric, weights) for name, metric in metrics.items()}
    for name, own in names.items():
        found[name] = found[name]._replace(rows=labels.count(own))
        if len({stake.session for stake in stakes if stake.label == own}) < 2:  # every resample says the same
            found[name] = found[name]._replace(low=None, high=None)
    return found


def _random(share: Floats, r: Floats) -> Metric:
    """Verdicts drawn blindly let the mean share of every proposal through."""

    def metric(weights: Floats) -> Floats:
        return np.asarray(mean_of(share)(weights) * mean_of(r)(weights))

    return metric


def _mean_where(chosen: list[bool], r: Floats) -> Metric:
    own = np.array(chosen)

    def metric(weights: Floats) -> Floats:
        return np.asarray((weights @ (own * r)) / (weights @ own.astype(np.float64)))

    return metric
