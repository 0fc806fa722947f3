"""Control worlds: `no_edge`, in which nothing can be earned, and `planted`, whose optimal expectancy is computed.

Both are the demo market without its signals: NQ's volatility, gaps and volume. `no_edge` is a martingale, so every rule
loses its costs. In `planted` a minute of unusual volume is followed by a drift of known size for a known time; the
rule that knows it is the best there is, and what it earns is computed from the world's own parameters.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rl_core.bars import Bars
from rl_core.planted import ATR_BARS, PlantedEdge
from rl_core.worlds import RANGE_TO_SIGMA, World, draw_bars

STOP_ATR, TARGET_TO_STOP = 1.5, 3
DEFAULT_DRIFT = 0.04

NO_EDGE = (
    "no_edge: a martingale with NQ's volatility, gaps, volume and volume bursts. No rule earns anything before costs; "
    "every rule loses its costs after them. A profit here is chance or a fault."
)


class Optimum(NamedTuple):
    """What the best rule of a planted world earns."""

    expectancy_r: float  # a trade, before costs
    win_share: float  # of trades that reach the target
    mean_minutes: float  # that a trade lasts


def no_edge_world(seed: int, sessions: int, *, seconds: bool = False) -> World:
    """A market in which nothing can be earned.

    Args:
        seed: of every draw.
        sessions: how many trading days from 2024-01-02.
        seconds: whether to return the one-second bars too.
    """
    drawn = draw_bars(seed, sessions, drift_atr=0.0, seconds=seconds)
    return World(drawn.minutes, drawn.seconds, PlantedEdge(NO_EDGE, 0.0, drawn.signals))
