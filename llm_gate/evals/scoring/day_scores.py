"""Whether a model can name the day or the market of recorded cases: shares right with intervals, against chance."""

from collections import Counter
from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

from llm_gate.evals.data.log import Row
from llm_gate.evals.data.true_days import Attribute
from llm_gate.evals.scoring.intervals import Figure

ATTRIBUTES: tuple[Attribute, ...] = get_args(Attribute)
ALPHA = 0.05
Word = Literal["NAMES IT", "NO BETTER THAN CHANCE"]


class NamingScore(NamedTuple):
    """How often a model named one attribute."""

    attribute: Attribute
    asked: int
    answered: int
    right: int
    guessing: float
    """Share right of a model that guesses: 1 over the options."""
    unrelated: float
    """Share right if the answers were dealt at random: high where one option is loved and most truths are it."""
    p_value: float
    """Probability of as many right at the larger of the two shares; no answer counts as wrong."""


def naming_score(
    attribute: Attribute, answers: Sequence[str | None], truths: Sequence[str], options: int
) -> NamingScore:
    """Compare the right answers with guessing among ``options``, by an exact one-sided binomial test.

    Args:
        attribute: what the model was asked for.
        answers: [N] the option it chose, None where it gave no answer.
        truths: [N] the option that is right.
        options: how many there were to choose from.
    """
    from scipy.stats import binom  # slow to load, and it looks for torch

    right = sum(answer == truth for answer, truth in zip(answers, truths, strict=True))
    guessing, unrelated = 1.0 / options, _unrelated(answers, truths)
    return NamingScore(
        attribute=attribute,
        asked=len(truths),
        answered=sum(answer is not None for answer in answers),
        right=right,
        guessing=guessing,
        unrelated=unrelated,
        p_value=float(binom.sf(right - 1, len(truths), max(guessing, unrelated))),
    )


def _unrelated(answers: Sequence[str | None], truths: Sequence[str]) -> float:
    """Expected share right when the answers are dealt at random: the chance agreement of Cohen's kappa (1960)."""
    answer_counts, truth_counts = Counter(answers), Counter(truths)
    agreeing = sum(answer_counts[option] * truth_counts[option] for option in truth_counts)
    return agreeing / len(truths) ** 2 if truths else 0.0


class DayNaming(NamedTuple):
    """How one model named one attribute of the recorded days."""

    model: str
    word: Word
    score: NamingScore
    right: Figure
    """Share right."""

    @property
    def chance(self) -> float:
        """The larger of guessing and of the same answers dealt at random."""
        return max(self.score.guessing, self.score.unrelated)


def day_namings(rows: Sequence[Row]) -> list[DayNaming]:
    """Score every model and attribute; NAMES IT at 5 percent over all of them (Bonferroni)."""
    groups: dict[tuple[str, Attribute], list[Row]] = {}
    for attribute in ATTRIBUTES:
        for row in rows:
            if row.task == attribute:
                groups.setdefault((row.model, attribute), []).append(row)
    namings = []
    for (model, attribute), group in groups.items():
        score = naming_score(
            attribute, [row.answer for row in group], [str(row.truth) for row in group], group[0].options or 1
        )
        word: Word = "NAMES IT" if score.p_value * len(groups) < ALPHA else "NO BETTER THAN CHANCE"
        namings.append(DayNaming(model=model, word=word, score=score, right=wilson_share(score.right, score.asked)))
    return namings


def wilson_share(right: int, asked: int) -> Figure:
    """A share with its 95 % interval (Wilson 1927), which does not shrink to a point at 0 and 1."""
    from scipy.stats import binomtest  # slow to load, and it looks for torch

    if asked == 0:
        return Figure(None)
    interval = binomtest(right, asked).proportion_ci(confidence_level=1 - ALPHA, method="wilson")
    return Figure(right / asked, float(interval.low), float(interval.high), asked)
