"""PASS, NOT PROVEN, FAIL or IN SAMPLE for a gate: from its whole path beside the paths of other gates."""

from typing import NamedTuple

from rl_core.statistics.bootstrap import Interval
from rl_core.statistics.criteria import GateCriteria
from rl_core.statistics.verdict import Verdict


class GateEvidence(NamedTuple):
    """What a verdict on a gate rests on: its whole path beside others, paired by session."""

    over_random: Interval | None  # mean R a session more than random vetoes at its own rates
    over_approving: Interval | None  # mean R a session more than without a gate
    beaten: float  # share of the random reruns with less R
    in_sample: bool
    synthetic: bool
    proposals: int
    without_verdict: int
    doubts: tuple[str, ...] = ()  # whatever else keeps the word from being PASS or FAIL


def verdict_on_gate(evidence: GateEvidence, criteria: GateCriteria) -> Verdict:
    """What whole paths prove about a gate.

    PASS needs more R than without it and than chance, each with its whole interval above zero, and more than in most of
    the random reruns. FAIL needs the whole interval against chance below zero: such a gate picks the wrong ones.
    """
    found = _word_on(evidence, criteria)
    return found._replace(reasons=(*found.reasons, *criteria.changed("gate")))


def _word_on(evidence: GateEvidence, criteria: GateCriteria) -> Verdict:
    doubts = {
        "the bars are a synthetic world": evidence.synthetic,
        f"{evidence.without_verdict} of {evidence.proposals} proposals went without a verdict": (
            evidence.without_verdict > criteria.most_without_verdict * evidence.proposals
        ),
    }
    reasons = (*(reason for reason, holds in doubts.items() if holds), *evidence.doubts)
    if evidence.in_sample:
        return Verdict("IN SAMPLE", ("bars that the policy or its phase 1 was trained on are included", *reasons))
    named = {"random vetoes at its rates": evidence.over_random, "always approving": evidence.over_approving}
    for other, interval in named.items():
        if interval is None or interval.bounds is None:
            return Verdict("NOT PROVEN", (f"no interval against {other}: too few sessions", *reasons))
        if interval.sessions < criteria.min_sessions:
            reasons = (*reasons, f"{interval.sessions} sessions, fewer than {criteria.min_sessions}")
            break
    return _gate_word(evidence, criteria, named, reasons)


def _gate_word(
    evidence: GateEvidence, criteria: GateCriteria, named: dict[str, Interval | None], reasons: tuple[str, ...]
) -> Verdict:
    """The word, once there is an interval against each of the others."""
    chance = evidence.over_random
    assert chance is not None and chance.high is not None
    if chance.high < 0 and not reasons:
        return Verdict(
            "FAIL", (f"against random vetoes the whole interval lies below zero (up to {chance.high:+.3f})",)
        )
    for other, interval in named.items():
        assert interval is not None and interval.bounds is not None
        low, high = interval.bounds
        if low <= 0:
            reasons = (*reasons, f"against {other} the interval of R a session is {low:+.3f} to {high:+.3f}")
    if evidence.beaten < criteria.sure:
        reasons = (*reasons, f"it does better than {100 * evidence.beaten:.0f} % of the random reruns")
    if reasons:
        return Verdict("NOT PROVEN", reasons)
    return Verdict("PASS", ("more R a session than without it and than chance, each with its whole interval",))
