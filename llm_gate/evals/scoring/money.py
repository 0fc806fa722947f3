"""What a gate's verdicts were worth on recorded proposals, in R a proposal: rows overlap, so nothing is summed."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from llm_gate.contract import EntryProposal
from llm_gate.engines.rules import rule
from llm_gate.evals.scoring.intervals import LEVEL, Figure, Floats, Metric, block_weights, figure, mean_of
from trigate.intervals import LEAST_BLOCKS

SHRUNK_SHARE = 0.5
"""What the three-line rule lets through where it shrinks."""


class RecordedVerdict(NamedTuple):
    """What the gate, and what the three-line rule, did with one recorded proposal."""

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


def money(verdicts: Sequence[RecordedVerdict], *, level: float = LEVEL) -> dict[str, Figure]:
    """Mean R with intervals that resample whole sessions.

    ``r_approved``, ``r_shrunk``, ``r_vetoed`` and ``r_unanswered`` are what those proposals earned at full size.
    ``r_gate``, ``r_always``, ``r_random`` and ``r_rule`` are what a policy earns a proposal with the gate, without
    one, with random verdicts at the gate's rates (their expectation), and with the three-line rule. ``uplift_*`` is
    the gate minus each.
    """
    if not verdicts:
        return {}
    weights = block_weights([verdict.session for verdict in verdicts])
    r = np.array([verdict.r for verdict in verdicts])
    share = np.array([verdict.share for verdict in verdicts])
    rule_shares = np.array([verdict.rule_share for verdict in verdicts])
    labels = [verdict.label for verdict in verdicts]
    random_r = _random(share, r)
    names = {"r_approved": "approve", "r_shrunk": "shrink", "r_vetoed": "veto", "r_unanswered": None}
    metrics: dict[str, Metric] = {
        name: _mean_where(np.array([given == label for given in labels]), r) for name, label in names.items()
    }
    metrics |= {
        "r_gate": mean_of(share * r),
        "r_always": mean_of(r),
        "r_random": random_r,
        "r_rule": mean_of(rule_shares * r),
        "uplift_always": mean_of((share - 1) * r),
        "uplift_random": lambda drawn: mean_of(share * r)(drawn) - random_r(drawn),
        "uplift_rule": mean_of((share - rule_shares) * r),
    }
    figures = {name: figure(metric, weights, level=level) for name, metric in metrics.items()}
    for name, label in names.items():
        figures[name] = figures[name]._replace(rows=labels.count(label))
        # A group of few sessions has no interval, however many the others have.
        if len({verdict.session for verdict in verdicts if verdict.label == label}) < LEAST_BLOCKS:
            figures[name] = figures[name]._replace(low=None, high=None)
    return figures


def _random(share: Floats, r: Floats) -> Metric:
    """Mean R where the verdicts are drawn blindly: of every proposal the mean of ``share`` [N] is let through."""

    def metric(weights: Floats) -> Floats:
        return np.asarray(mean_of(share)(weights) * mean_of(r)(weights))

    return metric


def _mean_where(mask: npt.NDArray[np.bool_], r: Floats) -> Metric:
    """The mean of ``r`` [N] over those that ``mask`` [N] chooses."""

    def metric(weights: Floats) -> Floats:
        return np.asarray((weights @ (mask * r)) / (weights @ mask.astype(np.float64)))

    return metric
