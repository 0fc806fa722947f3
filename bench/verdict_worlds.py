"""Many cheap worlds at once: the regular hours of NQ-like sessions, with or without an edge, side by side in one view.

They are the control worlds of `rl_core.worlds.controls`, drawn minute by minute instead of second by second: the same
volatility, and the same signals, a bar of 6.5 to 9 times its usual volume that moves about 1.8 ATR. What follows a
signal is `fading_drift`, or nothing.
"""

from functools import cache
from math import log
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rl_core.bars.bars import Bars
from rl_core.exchange.calendar import NS_PER_MINUTE, Calendar, locate
from rl_core.exchange.instruments import instrument
from rl_core.features.features import FIRST_WARM, Features
from rl_core.features.market_view import MarketView
from rl_core.trading.hours import hours_of
from rl_core.trading.setup import Trading, TradingConfig, compile_trading
from rl_core.worlds.demo import (
    BURST_OVER_USUAL,
    FIRST_PRICE,
    MARKET,
    MOVE_ATR,
    RANGE_TO_SIGMA,
    SIGNAL_MEAN_WAIT,
    SIGNAL_SPACING,
    fading_drift,
)
from rl_core.worlds.nq_noise import draw_gap, draw_sigma
from rl_core.worlds.nq_profile import SESSION_MINUTES, index_in_session
from rl_core.worlds.planted_edge import ATR_BARS, true_range_sum

OPENS = index_in_session(9, 30)
MINUTES = 390  # of the regular hours
FIRST_SIGNAL, LAST_SIGNAL = 20, 350  # minutes of the regular hours
WARM_SESSIONS = -(-(FIRST_WARM + 1) // MINUTES)  # of each world: its first ones are seen and not traded
USUAL_VOLUME, VOLUME_SPREAD = 1000.0, 0.4  # contracts a minute, and the standard deviation of its logarithm
CALENDAR = ("1999-12-27", "2026-06-01")
HOURS_CLOSED, HOURS_CLOSED_AT_WEEKENDS = 17.5, 65.5

Reals = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class Worlds(NamedTuple):
    """``W`` worlds of ``S`` sessions each, one after the other; every session has 390 bars."""

    view: MarketView
    trading: Trading
    worlds: int
    sessions: int

    def by_session(self, column: npt.NDArray[np.generic]) -> Integers:
        """[W * S, 390] of a column [T]."""
        return np.asarray(column, np.int64).reshape(-1, MINUTES)

    @property
    def may_enter(self) -> Bools:
        """[W * S, 390] where an entry may be decided; never in the sessions that only warm a world up."""
        view = self.view
        open_to_us = view.hours.entry_open & view.features.warm & ~view.last_in_session
        allowed = open_to_us.reshape(self.worlds, self.sessions, MINUTES)
        allowed[:, :WARM_SESSIONS] = False
        return allowed.reshape(-1, MINUTES)


class _Signals(NamedTuple):
    """[N] where something is planted, or would be in a world with an edge."""

    session: Integers
    minute: Integers
    side: Integers
    move: Reals  # of the signal's own bar, in ATR


def drawn_worlds(seed: int, worlds: int, sessions: int, *, drift_atr: float) -> Worlds:
    """``worlds`` of ``sessions`` after a warm-up; ``drift_atr`` ATR follow each signal, 0 where there is no edge."""
    rng = np.random.default_rng(seed)
    each = WARM_SESSIONS + sessions
    sigma = draw_sigma(worlds * each, rng)[:, OPENS : OPENS + MINUTES]
    signals = _drawn_signals(worlds * each, rng)
    bars = _bars(sigma, signals, fading_drift(drift_atr), each, rng)
    trading = compile_trading(TradingConfig(), bars.instrument)
    return Worlds(_seen(bars, trading), trading, worlds, each)


def _seen(bars: Bars, trading: Trading) -> MarketView:
    """The view of the bars without the rows of features, which no rule looks at and which take most of its time."""
    located = locate(bars.ts_event_ns, bars.instrument.calendar)
    ranges = true_range_sum(bars, located.session).astype(np.int32)
    features = Features(np.zeros((len(bars), 1), np.float32), ranges, np.ones(len(bars), np.bool_))
    hours = hours_of(bars.ts_event_ns, located, trading.pack, trading.hours)
    return MarketView(bars, located, hours, features, trading.yardstick)


def _drawn_signals(sessions: int, rng: np.random.Generator) -> _Signals:
    """As the demo world has them: at least 25 minutes apart, 30 more in the mean."""
    rows = []
    for session in range(sessions):
        minute = FIRST_SIGNAL + int(rng.integers(SIGNAL_SPACING))
        while minute < LAST_SIGNAL:
            rows.append((session, minute))
            minute += SIGNAL_SPACING + int(rng.exponential(SIGNAL_MEAN_WAIT))
    session, minutes = np.array(rows, np.int64).T
    side = rng.choice(np.array([-1, 1]), len(rows))
    return _Signals(session, minutes, side, rng.uniform(*MOVE_ATR, len(rows)))


def _bars(sigma: Reals, signals: _Signals, drift: Reals, each: int, rng: np.random.Generator) -> Bars:
    """The bars [S * 390] of sessions whose minutes have the volatility ``sigma`` [S, 390]."""
    returns = sigma * rng.standard_normal(sigma.shape)
    before = signals.minute[:, None] - np.arange(1, ATR_BARS)
    atr = RANGE_TO_SIGMA * sigma[signals.session[:, None], before].mean(axis=1)
    returns[signals.session, signals.minute] = signals.side * signals.move * atr
    for later, share in enumerate(drift.tolist(), start=1):
        returns[signals.session, signals.minute + later] += signals.side * atr * share
    volume = USUAL_VOLUME * np.exp(VOLUME_SPREAD * rng.standard_normal(sigma.shape))
    volume[signals.session, signals.minute] = USUAL_VOLUME * rng.uniform(*BURST_OVER_USUAL, len(signals.session))
    ends = _first_logs(returns.sum(axis=1), each, rng)[:, None] + np.cumsum(returns, axis=1)
    starts = ends - returns
    # The extremes of a Brownian bridge of variance v from a to b: (a + b +- sqrt((b - a)^2 - 2 v ln U)) / 2.
    rise, fall = (np.sqrt(returns**2 - 2 * sigma**2 * np.log1p(-rng.random(sigma.shape))) for _ in range(2))
    logs = (starts, (starts + ends + rise) / 2, (starts + ends - fall) / 2, ends)
    tick = float(instrument(MARKET).tick_size)
    opened, high, low, close = (np.rint(np.exp(x) / tick).astype(np.int32).reshape(-1) for x in logs)
    return Bars(
        instrument=instrument(MARKET),
        interval_s=60,
        ts_event_ns=_minutes_of(len(sigma)),
        open=opened,
        high=high,
        low=low,
        close=close,
        volume=np.maximum(1, np.rint(volume)).astype(np.int64).reshape(-1),
    )


def _first_logs(moves: Reals, each: int, rng: np.random.Generator) -> Reals:
    """[S] logarithm of each session's first price: every world begins at the same one, so that costs stay as they are.

    Args:
        moves: [S] of each whole session.
        each: sessions of a world.
        rng: draws the gaps between sessions.
    """
    weekends = np.arange(len(moves)) % 5 == 0
    closed = np.where(weekends, HOURS_CLOSED_AT_WEEKENDS, HOURS_CLOSED)
    steps = np.array([draw_gap(float(hours), rng) for hours in closed])
    steps[1:] += moves[:-1]
    steps = steps.reshape(-1, each)
    steps[:, 0] = 0.0
    return np.asarray(log(FIRST_PRICE) + np.cumsum(steps, axis=1).reshape(-1))


def _minutes_of(sessions: int) -> Integers:
    """[S * 390] starts of the minutes of the regular hours of so many full sessions, in ns UTC."""
    opens = _full_sessions()
    assert sessions <= len(opens), f"the calendar has {len(opens)} full sessions, {sessions} are asked for"
    return (opens[:sessions, None] + np.arange(MINUTES) * NS_PER_MINUTE).reshape(-1)


@cache
def _full_sessions() -> Integers:
    """[S] ns UTC at which the regular hours of each full session begin."""
    first, last = (int(np.datetime64(day, "ns").astype(np.int64)) for day in CALENDAR)
    calendar = Calendar.covering(first, last)
    full = calendar.length_ns == SESSION_MINUTES * NS_PER_MINUTE
    return np.asarray(calendar.open_ns[full] + OPENS * NS_PER_MINUTE)
