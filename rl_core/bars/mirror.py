"""A market upside down: prices negated about a level, so that a long there is a short here; NumPy only."""

from dataclasses import replace

import numpy as np

from rl_core.bars.bars import Bars
from rl_core.bars.rungs import Ladder


def mirrored(bars: Bars) -> Bars:
    """``bars`` with every price p as level - p, times and volumes as they are.

    The level is the highest high plus the lowest low, so that the prices stay in the range that they had.
    """
    level = int(bars.high.max()) + int(bars.low.min())
    opened, high, low, close = (
        (level - column.astype(np.int64)).astype(np.int32) for column in (bars.open, bars.low, bars.high, bars.close)
    )
    return replace(bars, open=opened, high=high, low=low, close=close, digest="")


def mirrored_ladder(ladder: Ladder) -> Ladder:
    """The rungs of the mirrored bars: highest and lowest change places and sign, fall and rise their places."""
    highest, lowest, fall, rise, opened = np.moveaxis(ladder.rungs, -1, 0)
    return Ladder(ladder.offsets, np.stack([-lowest, -highest, rise, fall, -opened], axis=-1))
