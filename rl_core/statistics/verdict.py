"""PASS, NOT PROVEN, FAIL or IN SAMPLE: computed from the evidence, never written; the same for every command."""

from typing import Literal, NamedTuple

from rl_core.statistics.bootstrap import Interval
from rl_core.statistics.criteria import PolicyCriteria

Word = Literal["PASS", "NOT PROVEN", "FAIL", "IN SAMPLE"]


class Tries(NamedTuple):
    """How often the same sessions were looked at, and what is left of the result after that."""

    made: int  # different ones that were judged on some of these sessions, this one included
    deflated: float | None  # probability that the Sharpe ratio is above the luckiest of so many; None: too few sessions


NOT_COUNTED = Tries(1, None)
"""Of a command that counts no tries."""


class Evidence(NamedTuple):
    """What a verdict rests on. No field has a default, so that no command can forget to ask."""

    expectancy: Interval | None  # mean R a trade; None without a trade
    in_sample: bool  # bars were traded that the policy, or the phase 1 that it comes from, was trained on
    synthetic: bool  # the bars are a generated world
    trained_on_world: bool  # the policy was trained on one
    training_ended: bool
    proposals: int  # to a gate; 0 without one
    without_verdict: int  # proposals on which it failed
    tries: Tries
    record_faults: tuple[str, ...]  # what makes the record itself doubtful, such as books that do not agree


class Verdict(NamedTuple):
    """The word and every reason for it."""

    word: Word
    reasons: tuple[str, ...]


def verdict_on(evidence: Evidence, criteria: PolicyCriteria) -> Verdict:
    """What the trades prove about an edge after costs.

    PASS and FAIL need the same: a whole interval on one side of the line, enough sessions and trades, and no doubt
    about where the bars, the policy and the record come from. The line is zero, or for PASS what the criteria ask
    beyond it; criteria that are not the calibrated ones are named beside the word. A profit on training bars proves
    nothing at all, so IN SAMPLE stands before every other word.
    """
    found = _word_on(evidence, criteria)
    return found._replace(reasons=(*found.reasons, *criteria.changed("policy")))


def _word_on(evidence: Evidence, criteria: PolicyCriteria) -> Verdict:
    reasons = (*_of_origin(evidence, criteria), *_too_few(evidence.expectancy, criteria))
    if evidence.in_sample:
        return Verdict(
            "IN SAMPLE",
            (
                "bars that the policy or its phase 1 was trained on, or that had been seen, are included",
                *reasons,
            ),
        )
    bounds = None if evidence.expectancy is None else evidence.expectancy.bounds
    if bounds is None:
        return Verdict("NOT PROVEN", reasons)
    low, high = bounds
    unclear = _unclear(low, high, criteria.more_than_r)
    if low > 0:
        reasons = (*reasons, *_of_luck(evidence.tries, criteria))
    if reasons and not unclear:
        unclear = (f"the interval of mean R, {low:+.3f} to {high:+.3f}, would be clear without these doubts",)
    if reasons or unclear:
        return Verdict("NOT PROVEN", (*reasons, *unclear))
    if high < 0:
        return Verdict("FAIL", (f"the whole interval of mean R lies below zero (up to {high:+.3f})",))
    return Verdict("PASS", (f"the interval of mean R starts at {low:+.3f}",))


def _unclear(low: float, high: float, line: float) -> tuple[str, ...]:
    """Why an interval of mean R is no word by itself: zero lies in it, or it does not reach what was asked."""
    if low <= 0 <= high:
        return (f"the interval of mean R reaches from {low:+.3f} to {high:+.3f}, zero included",)
    if 0 < low <= line:
        return (f"the interval of mean R starts at {low:+.3f}, not above policy.more_than_r = {line:g}",)
    return ()


def _of_origin(evidence: Evidence, criteria: PolicyCriteria) -> tuple[str, ...]:
    """Doubts about the record, the bars, the policy and the gate."""
    silent, asked = evidence.without_verdict, max(1, evidence.proposals)
    gate = f"{silent} of {asked} proposals went without a verdict ({100 * silent / asked:.1f} %)"
    too_silent = silent > criteria.most_without_verdict * asked
    silence = (f"{gate}: the gate did not judge what was traded",) if too_silent else ()

    origin = origin_doubts(evidence.synthetic, evidence.trained_on_world, evidence.training_ended)
    return (*evidence.record_faults, *origin, *silence)


def origin_doubts(synthetic: bool, trained_on_world: bool, training_ended: bool) -> tuple[str, ...]:
    """Doubts about where bars and policy come from."""
    doubts = {
        "the bars are a synthetic world: its edge was planted": synthetic,
        "the policy was trained on a synthetic world": trained_on_world,
        "the training of the policy has not ended": not training_ended,
    }
    return tuple(reason for reason, holds in doubts.items() if holds)


def _of_luck(tries: Tries, criteria: PolicyCriteria) -> tuple[str, ...]:
    """The doubt about a gain that is the best of several; a loss needs no luck."""
    if tries.made == 1 or (tries.deflated is not None and tries.deflated >= criteria.sure):
        return ()
    chance = "unknown" if tries.deflated is None else f"{tries.deflated:.2f}"
    return (
        f"{tries.made} different tries were judged on these sessions; the chance that this one is better than the "
        f"luckiest of so many is {chance}, and {criteria.sure:g} is needed",
    )


def _too_few(expectancy: Interval | None, criteria: PolicyCriteria) -> tuple[str, ...]:
    """Why there are too few trades to judge by; nothing if there are enough."""
    if expectancy is None:
        return ("no trade was closed",)
    if expectancy.bounds is None:
        return (expectancy.missing,)
    doubts = []
    if expectancy.sessions < criteria.min_sessions:
        doubts.append(f"{expectancy.sessions} sessions with trades, fewer than {criteria.min_sessions}")
    if expectancy.trades < criteria.min_trades:
        doubts.append(f"{expectancy.trades} trades, fewer than {criteria.min_trades}")
    return tuple(doubts)
