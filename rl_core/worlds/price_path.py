"""One session of a synthetic market, second by second: prices between the minutes' volatility, then volume."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rl_core.bars.bars import NS_PER_SECOND

SECONDS = 60
# Share of a second's variance that happens between its predecessor's last trade and its first.
GAP_SHARE = 0.3
# At 60 contracts a minute this share of the seconds holds a trade; more volume, more seconds.
TRADES_PER_CONTRACT = 0.3

Floats = npt.NDArray[np.float64]


class MinutePlan(NamedTuple):
    """What the ``M`` minutes of a session are to do, in logarithms of the price."""

    sigma: Floats
    """[M] standard deviation of the minute's return."""
    drift: Floats
    """[M] expected return."""
    fixed: Floats
    """[M] return that the minute must make exactly; NaN where it is free."""


class Noise(NamedTuple):
    """What chance does to a session, in logarithms of the price; [M, 60] each."""

    gap: Floats
    """From a second's last trade to the next one's first."""
    body: Floats
    """From a second's first trade to its last."""

    @property
    def minute(self) -> Floats:
        """[M] the return that each minute would make by chance alone."""
        return np.asarray((self.gap + self.body).sum(axis=1))


class Path(NamedTuple):
    """Prices of every second, traded or not, in ticks."""

    open: npt.NDArray[np.int32]
    """[M, 60] and so on."""
    high: npt.NDArray[np.int32]
    low: npt.NDArray[np.int32]
    close: npt.NDArray[np.int32]
    last: float
    """Logarithm of the price at the end, unrounded."""


class PathColumns(NamedTuple):
    """Bars of one session before they become ``Bars``: ns UTC, ticks, contracts; [N] each."""

    ts_event_ns: npt.NDArray[np.int64]
    open: npt.NDArray[np.int32]
    high: npt.NDArray[np.int32]
    low: npt.NDArray[np.int32]
    close: npt.NDArray[np.int32]
    volume: npt.NDArray[np.int64]


def draw_noise(sigma: Floats, generator: np.random.Generator) -> Noise:
    """The chance part of minutes whose returns have the standard deviation ``sigma`` [M]."""
    shape = (len(sigma), SECONDS)
    variance = (sigma**2 / SECONDS)[:, None]
    gap = generator.standard_normal(shape) * np.sqrt(GAP_SHARE * variance)
    body = generator.standard_normal(shape) * np.sqrt((1 - GAP_SHARE) * variance)
    return Noise(gap, body)


def draw_path(plan: MinutePlan, noise: Noise, first: float, tick: float, generator: np.random.Generator) -> Path:
    """A path that starts at ``first`` (log price); extremes are those of Brownian bridges within each second.

    A bridge of variance v from a to b has maximum (a + b + sqrt((b - a)^2 - 2 v ln U)) / 2.
    """
    shape = noise.gap.shape
    variance = (plan.sigma**2 / SECONDS)[:, None]
    body = noise.body + (plan.drift / SECONDS)[:, None]
    body += _correction(plan.fixed, noise.gap, body)
    ends = first + np.cumsum(noise.gap + body).reshape(shape)
    starts = ends - body
    spread = -2 * (1 - GAP_SHARE) * variance
    rise = np.sqrt(body**2 + spread * np.log1p(-generator.random(shape)))
    fall = np.sqrt(body**2 + spread * np.log1p(-generator.random(shape)))
    middle = starts + ends
    logs = (starts, (middle + rise) / 2, (middle - fall) / 2, ends)
    opened, high, low, close = (np.rint(np.exp(x) / tick).astype(np.int32) for x in logs)
    return Path(opened, high, low, close, last=float(ends[-1, -1]))


def traded_seconds(volume: npt.NDArray[np.int64], generator: np.random.Generator) -> npt.NDArray[np.bool_]:
    """[M, 60] seconds with a trade, for minutes of about ``volume`` [M] contracts; one at least in each."""
    drawn = generator.random((len(volume), SECONDS))
    traded = drawn < -np.expm1(-TRADES_PER_CONTRACT * volume / SECONDS)[:, None]
    traded[np.arange(len(volume)), drawn.argmin(axis=1)] = True
    return traded


def spread_volume(
    volume: npt.NDArray[np.int64], traded: npt.NDArray[np.bool_], generator: np.random.Generator
) -> npt.NDArray[np.int64]:
    """[M, 60] contracts of each second: one where traded, the rest of the minute's ``volume`` [M] at random."""
    rest = np.maximum(volume - traded.sum(axis=1), 0)
    weights = generator.standard_exponential(traded.shape) * traded
    return np.asarray(traded + generator.poisson(weights / weights.sum(axis=1, keepdims=True) * rest[:, None]))


def seconds_of(path: Path, volume: npt.NDArray[np.int64], open_ns: int) -> PathColumns:
    """The one-second bars of the seconds with ``volume`` [M, 60], from the session's open in ns UTC."""
    at = np.flatnonzero(volume)
    opened, high, low, close = (column.ravel()[at] for column in (path.open, path.high, path.low, path.close))
    return PathColumns(open_ns + at * NS_PER_SECOND, opened, high, low, close, volume.ravel()[at])


def minutes_of(path: Path, volume: npt.NDArray[np.int64], open_ns: int) -> PathColumns:
    """The bars [M] that the traded seconds ``volume`` [M, 60] of each minute add up to; every minute has one."""
    traded = volume > 0
    minute = np.arange(len(volume))
    first, last = traded.argmax(axis=1), SECONDS - 1 - traded[:, ::-1].argmax(axis=1)
    return PathColumns(
        ts_event_ns=open_ns + minute * (SECONDS * NS_PER_SECOND),
        open=path.open[minute, first],
        high=np.where(traded, path.high, np.iinfo(np.int32).min).max(axis=1),
        low=np.where(traded, path.low, np.iinfo(np.int32).max).min(axis=1),
        close=path.close[minute, last],
        volume=volume.sum(axis=1),
    )


def _correction(fixed: Floats, gap: Floats, body: Floats) -> Floats:
    """[M, 1] what each second of a fixed minute lacks to make that minute's return; 0 in free minutes."""
    lacking = (fixed - (gap + body).sum(axis=1)) / SECONDS
    return np.where(np.isnan(lacking), 0.0, lacking)[:, None]
