"""Whether a model can name the day or the market of recorded cases: shares right with intervals, against chance."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np

from llm_gate.evals.data.log import Row
from llm_gate.evals.data.true_days import Attribute
from llm_gate.evals.scoring.intervals import Figure

ATTRIBUTES: tuple[Attribute, ...] = get_args(Attribute)
ALPHA = 0.05
Z = 1.959964
Word = Literal["NAMES IT", "NO BETTER THAN CHANCE"]


class Named(NamedTuple):
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


def score(attribute: Attribute, named: Sequence[str | None], truths: Sequence[str], options: int) -> Named:
    """Right answers against guessing among ``options``; exact binomial, one-sided."""
    right = sum(answer == truth for answer, truth in zip(named, truths, strict=True))
    answered = sum(answer is not None for answer in named)
    guessing, unrelated = 1.0 / options, _unrelated(named, truths)
    p_value = _at_least(right, len(truths), max(guessing, unrelated))
    return Named(attribute, len(truths), answered, right, guessing, unrelated, p_value)


def _unrelated(named: Sequence[str | None], truths: Sequence[str]) -> float:
    """Expected share right when the answers are dealt at random: the chance agreement of Cohen's kappa (1960)."""
    answers, days = Counter(named), Counter(truths)
    return sum(answers[option] * days[option] for option in days) / len(truths) ** 2 if truths else 0.0


def _at_least(right: int, asked: int, chance: float) -> float:
    """Probability of ``right`` or more in ``asked`` independent answers."""
    if chance >= 1.0 or right == 0:
        return 1.0
    terms = (
        math.exp(
            math.lgamma(asked + 1)
            - math.lgamma(k + 1)
            - math.lgamma(asked - k + 1)
            + k * math.log(chance)
            + (asked - k) * math.log1p(-chance)
        )
        for k in range(right, asked + 1)
    )
    return min(1.0, math.fsum(terms))


class Probed(NamedTuple):
    """How one model named one attribute."""

    model: str
    word: Word
    named: Named
    right: Figure
    """Share right."""

    @property
    def chance(self) -> float:
        """The larger of guessing and of the same answers dealt at random."""
        return max(self.named.guessing, self.named.unrelated)


def probed(rows: Sequence[Row]) -> list[Probed]:
    """The score of every model and attribute; NAMES IT at 5 percent over all of them (Bonferroni)."""
    groups: dict[tuple[str, Attribute], list[Row]] = {}
    for attribute in ATTRIBUTES:
        for row in rows:
            if row.task == attribute:
                groups.setdefault((row.model, attribute), []).append(row)
    found = []
    for (model, attribute), own in groups.items():
        named = score(attribute, [row.answer for row in own], [str(row.truth) for row in own], own[0].options or 1)
        word: Word = "NAMES IT" if named.p_value * len(groups) < ALPHA else "NO BETTER THAN CHANCE"
        found.append(Probed(model, word, named, wilson(named.right, named.asked)))
    return found


def wilson(right: int, asked: int) -> Figure:
    """A share with its 95 % interval (Wilson 1927), which does not shrink to a point at 0 and 1."""
    if asked == 0:
        return Figure(None)
    share = right / asked
    middle = (share + Z * Z / (2 * asked)) / (1 + Z * Z / asked)
    half = Z / (1 + Z * Z / asked) * np.sqrt(share * (1 - share) / asked + Z * Z / (4 * asked * asked))
    return Figure(share, max(0.0, float(middle - half)), min(1.0, float(middle + half)), asked)
