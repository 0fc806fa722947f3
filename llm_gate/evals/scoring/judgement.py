"""JUDGEMENT or NO JUDGEMENT SHOWN: computed from answers to labelled cases, never written."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from llm_gate.evals.scoring.intervals import LEVEL, Figure, block_weights, figure
from llm_gate.evals.scoring.metrics import accuracy, majority_rate

Word = Literal["JUDGEMENT", "NO JUDGEMENT SHOWN"]
MIN_CASES = 20


class Judgement(NamedTuple):
    """The word, and the accuracy against what needs no judgement."""

    word: Word
    reason: str
    accuracy: Figure
    majority: float


def judgement(truth: Sequence[str], answers: Sequence[str | None], *, comparisons: int = 1) -> Judgement:
    """Whether the answers beat the commonest label and a blind draw.

    Args:
        truth: [N] at least one label.
        answers: [N] the answers; None, a missing one, counts as wrong.
        comparisons: how many such verdicts stand side by side; the interval is widened for them (Bonferroni), since
            of many models without judgement one would seem to have some.
    """
    level = 1 - (1 - LEVEL) / max(1, comparisons)
    observed = figure(accuracy(truth, answers), block_weights(range(len(truth)), resamples=4000), level=level)
    majority = majority_rate(truth)
    if len(truth) < MIN_CASES:
        return Judgement("NO JUDGEMENT SHOWN", f"{len(truth)} cases, fewer than {MIN_CASES}", observed, majority)
    assert observed.value is not None and observed.low is not None and observed.high is not None, (
        "as many cases have one"
    )
    bounds = f"{observed.value:.3f} ({observed.low:.3f} to {observed.high:.3f} at {100 * level:.1f} %)"
    base = f"the commonest label alone gets {majority:.3f}"
    if len(set(answers)) == 1:
        constant = "no answer" if answers[0] is None else "the same answer"
        return Judgement("NO JUDGEMENT SHOWN", f"{constant} to all {len(truth)} cases; {base}", observed, majority)
    if observed.low <= majority:
        return Judgement("NO JUDGEMENT SHOWN", f"accuracy {bounds}; {base}", observed, majority)
    return Judgement("JUDGEMENT", f"accuracy {bounds}; {base}", observed, majority)
