"""What a gate is to a path that is played again: whoever says how much of an entry goes through."""

from fractions import Fraction
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from rl_core.market.types import Account, Order


class Wanted(NamedTuple):
    """An entry before it is ordered."""

    bar: int  # at whose close it was decided
    order: Order
    account: Account
    losing_streak: int  # trades in a row that lost money


class Ruling(NamedTuple):
    """What a gate says of an entry."""

    share: Fraction  # of the contracts that go through, rounded down
    vetoed: bool = False  # nothing goes through because the gate says so, and not because it failed


APPROVED, VETOED = Ruling(Fraction(1)), Ruling(Fraction(0), vetoed=True)


class Gate(Protocol):
    """Whoever reviews entries."""

    def review(self, wanted: Wanted) -> Ruling:
        """What is to become of the entry."""


class DrawnByBar:
    """Vetoes and shrinks at given rates, blind to the entry; what it does at a bar is drawn before."""

    def __init__(self, bars: int, *, vetoed: float, shrunk: float, factor: Fraction, seed: int) -> None:
        """Draw for each of so many bars.

        Args:
            bars: of the file.
            vetoed: share of entries that are vetoed.
            shrunk: share of entries of which only ``factor`` goes through; together with ``vetoed`` at most 1.
            factor: above 0, below 1.
            seed: of the draws.
        """
        assert vetoed >= 0 and shrunk >= 0 and vetoed + shrunk <= 1 + 1e-9
        drawn = np.random.default_rng(seed).random(bars)
        self._vetoed: npt.NDArray[np.bool_] = drawn < vetoed
        self._shrunk: npt.NDArray[np.bool_] = ~self._vetoed & (drawn < vetoed + shrunk)
        self._factor = factor

    def review(self, wanted: Wanted) -> Ruling:
        """As drawn for the bar of the entry."""
        if self._vetoed[wanted.bar]:
            return VETOED
        return Ruling(self._factor) if self._shrunk[wanted.bar] else APPROVED
