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


def judgement(truth: Sequence[str], said: Sequence[str | None], *, comparisons: int = 1) -> Judgement:
    """Whether the answers beat the commonest label and a blind draw.

    Args:
        truth: [N] at least one label.
        said: [N] the answers; None, a missing one, counts as wrong.
        comparisons: how many such verdicts stand side by side; the interval is widened for them (Bonferroni), since
            of many models without judgement one would seem to have some.
    """
    level = 1 - (1 - LEVEL) / max(1, comparisons)
    found = figure(accuracy(truth, said), block_weights(range(len(truth)), resamples=4000), level=level)
    majority = majority_rate(truth)
    if len(truth) < MIN_CASES:
        return Judgement("NO JUDGEMENT SHOWN", f"{len(truth)} cases, fewer than {MIN_CASES}", found, majority)
    assert found.value is not None and found.low is not None and found.high is not None, "as many cases have one"
    bounds = f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f} at {100 * level:.1f} %)"
    base = f"the commonest label alone gets {majority:.3f}"
    if len(set(said)) == 1:
        constant = "no answer" if said[0] is None else "the same answer"
        return Judgement("NO JUDGEMENT SHOWN", f"{constant} to all {len(truth)} cases; {base}", found, majority)
    if found.low <= majority:
        return Judgement("NO JUDGEMENT SHOWN", f"accuracy {bounds}; {base}", found, majority)
    return Judgement("JUDGEMENT", f"accuracy {bounds}; {base}", found, majority)
