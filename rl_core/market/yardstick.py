"""The lengths in which a policy sees and trades: how far back it looks, and how far off stop and target lie."""

from fractions import Fraction
from typing import NamedTuple


class Yardstick(NamedTuple):
    """Fixed for a run and exact, so that every distance is a whole number of ticks on every machine."""

    atr_bars: int = 14  # the ATR is the mean of so many true ranges
    window: int = 20  # bars of features in an observation
    stop_atr: Fraction = Fraction(3, 2)  # ATRs from the fill to the stop
    target_stops: Fraction = Fraction(3)  # stops from the fill to the target
    trail_atr: Fraction = Fraction(1)  # ATRs from a close to the stop that trails it


USUAL = Yardstick()
