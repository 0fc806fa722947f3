"""The interval of a mean R a trade, where the trades of one session depend on each other."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from trigate.intervals import FEW_BLOCKS, LEAST_BLOCKS, studentised_interval

RESAMPLES = 10_000

Floats = npt.NDArray[np.float64]


class Interval(NamedTuple):
    """A mean with its interval; no bounds where the evidence is too thin for any."""

    mean: float
    low: float | None
    high: float | None
    level: float  # e.g. 0.95
    sessions: int
    trades: int

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Low and high; None where there are none."""
        return None if self.low is None or self.high is None else (self.low, self.high)

    @property
    def missing(self) -> str:
        """Why there are no bounds; "" if there are."""
        if self.bounds is not None:
            return ""
        if self.sessions < LEAST_BLOCKS:
            counted = "1 session" if self.sessions == 1 else f"{self.sessions} sessions"
            return f"{counted} with trades; at least {LEAST_BLOCKS} are needed"
        return f"{self.sessions} sessions in which all trades ended alike; {FEW_BLOCKS} are needed then"


class _Sums(NamedTuple):
    """Sums over sessions, of totals t and numbers of trades n; scalars or [B]."""

    t: Floats
    n: Floats
    tt: Floats
    tn: Floats
    nn: Floats

    def mean(self) -> Floats:
        """Of all trades: long sessions count for more, as each trade counts once."""
        return self.t / self.n

    def error(self, sessions: int) -> Floats:
        """Standard error of the mean, from each session's t - mean * n (Cochran 1977, equation 6.13)."""
        mean = self.mean()
        squares = np.maximum(self.tt - 2 * mean * self.tn + mean * mean * self.nn, 0.0)
        return np.asarray(np.sqrt(squares * sessions / (sessions - 1)) / self.n)


def session_block_bootstrap(
    values: Floats,
    session: npt.NDArray[np.int64],
    *,
    level: float = 0.95,
    seed: int = 0,
) -> Interval | None:
    """The mean of ``values`` [N] with its bootstrap-t interval over whole sessions; None without a trade.

    There are no bounds under `LEAST_BLOCKS` sessions, nor under `FEW_BLOCKS` where every trade won or every trade lost:
    ten losses in a row are one course in eighteen of a rule that wins a quarter of its trades.

    Args:
        values: [N] one number a trade, e.g. R.
        session: [N] the trading day of each trade.
        level: coverage.
        seed: of the resampling.
    """
    if len(values) == 0:
        return None
    days, row = np.unique(session, return_inverse=True)
    count = len(days)
    no_bounds = Interval(float(values.mean()), None, None, level, count, len(values))
    alike = bool((values > 0).all() or (values <= 0).all())
    if count < LEAST_BLOCKS or (count < FEW_BLOCKS and alike):
        return no_bounds
    total, trades = np.bincount(row, weights=values), np.bincount(row).astype(np.float64)
    columns = (total, trades, total * total, total * trades, trades * trades)
    drawn = np.random.default_rng(seed).integers(0, count, (RESAMPLES, count))
    whole = _Sums(*(column.sum(keepdims=True) for column in columns))
    resampled = _Sums(*(column[drawn].sum(axis=1) for column in columns))
    low, high = studentised_interval(
        float(whole.mean()[0]),
        float(whole.error(count)[0]),
        resampled.mean(),
        resampled.error(count),
        level=level,
    )
    return no_bounds._replace(low=low, high=high)
