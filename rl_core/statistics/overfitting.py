"""The probability that choosing the best of several in sample chooses badly (PBO), by symmetric cross-validation.

Source: Bailey, Borwein, López de Prado and Zhu 2017, "The probability of backtest overfitting", Journal of
Computational Finance 20(4).
"""

from itertools import combinations
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

BLOCKS = 16

Floats = npt.NDArray[np.float64]


class Overfitting(NamedTuple):
    """What became, outside, of the one that was best inside."""

    probability: float  # that the best inside is below the median outside
    splits: int
    median_rank: float  # of the best inside, outside: 0 worst, 1 best
    loss_share: float  # of the splits in which it lost outside


def overfitting(results: Floats, *, blocks: int = BLOCKS) -> Overfitting:
    """PBO of ``results`` [T, N]: what each of N candidates earned in each of T periods, such as sessions.

    Time is cut into ``blocks``; each half of them chooses the candidate of the best Sharpe ratio, and the other half
    tells how it ranks. Ties share their rank. Periods beyond a multiple of ``blocks`` are left out at the end.

    Raises:
        ValueError: fewer than two candidates, an odd number of blocks, or fewer than two periods a block.
    """
    from scipy.stats import rankdata  # slow to load

    periods, candidates = results.shape
    if candidates < 2 or blocks % 2 or periods < 2 * blocks:
        raise ValueError(f"{candidates} candidates and {periods} periods do not make {blocks} blocks of two or more")
    length = periods // blocks
    cut = results[: length * blocks].reshape(blocks, length, candidates)
    sums, squares = cut.sum(axis=1), (cut**2).sum(axis=1)  # [blocks, N]
    chosen = list(combinations(range(blocks), blocks // 2))
    inside = np.zeros((len(chosen), blocks))
    inside[np.arange(len(chosen))[:, None], np.array(chosen)] = 1
    count = length * blocks // 2
    best = _sharpe(inside @ sums, inside @ squares, count).argmax(axis=1)
    outside = (1 - inside) @ sums
    ranks = rankdata(_sharpe(outside, (1 - inside) @ squares, count), axis=1)
    rows = np.arange(len(chosen))
    rank = ranks[rows, best] / (candidates + 1)
    return Overfitting(
        probability=float((rank <= 0.5).mean()),
        splits=len(chosen),
        median_rank=float(np.median((ranks[rows, best] - 1) / (candidates - 1))),
        loss_share=float((outside[rows, best] < 0).mean()),
    )


def _sharpe(sums: Floats, squares: Floats, count: int) -> Floats:
    """Mean over standard deviation; 0 where nothing varies."""
    mean = sums / count
    variance = np.maximum(squares / count - mean**2, 0.0)
    still = variance <= 1e-12 * np.maximum(squares / count, 1e-300)
    return np.asarray(np.where(still, 0.0, mean / np.sqrt(np.where(still, 1.0, variance))))
