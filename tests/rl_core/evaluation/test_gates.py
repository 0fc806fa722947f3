"""A gate drawn by bar vetoes and shrinks at its rates, and says the same whenever it is asked again."""

from fractions import Fraction

from rl_core.evaluation.gates import APPROVED, VETOED, DrawnByBar, Ruling, Wanted
from rl_core.market.types import NO_ORDER, Account

BARS = 20_000
HALF = Fraction(1, 2)


def said(seed: int) -> list[Ruling]:
    """What it says at each bar."""
    gate = DrawnByBar(BARS, vetoed=0.3, shrunk=0.1, factor=HALF, seed=seed)
    return [gate.review(Wanted(bar, NO_ORDER, Account(0, 0), 0)) for bar in range(BARS)]


def test_rates_are_kept_and_draws_repeat() -> None:
    """Four standard errors of 20,000 draws are 0.013."""
    rulings = said(1)

    assert abs(rulings.count(VETOED) / BARS - 0.3) < 0.013
    assert abs(rulings.count(Ruling(HALF)) / BARS - 0.1) < 0.009
    assert rulings.count(APPROVED) == BARS - rulings.count(VETOED) - rulings.count(Ruling(HALF))
    assert said(1) == rulings != said(2)
