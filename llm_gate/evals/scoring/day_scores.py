"""Whether a model can name the day or the market of recorded cases: shares right with intervals, against chance."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np

from llm_gate.evals.asking.day_task import Attribute, Named, score
from llm_gate.evals.data.log import Row
from llm_gate.evals.scoring.intervals import Figure

ATTRIBUTES: tuple[Attribute, ...] = get_args(Attribute)
ALPHA = 0.05
Z = 1.959964
Word = Literal["NAMES IT", "NO BETTER THAN CHANCE"]


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
