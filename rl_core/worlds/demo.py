"""A synthetic NQ-like market with a declared, planted edge, to show the machinery without market data.

Volatility is the minute-of-day profile x a slow daily level x clustering within the day x Student noise and
rare news, each as measured on NQ. Prices are drawn second by second, so minutes and seconds are one market.
"""

from collections.abc import Callable
from dataclasses import replace
from math import log
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rl_core.bars.bars import Bars
from rl_core.exchange.calendar import MINUTES_PER_DAY, NS_PER_MINUTE, Calendar
from rl_core.exchange.instruments import instrument
from rl_core.worlds.nq_noise import draw_gap, draw_sigma, draw_volume, usual_volume
from rl_core.worlds.nq_profile import index_in_session
from rl_core.worlds.planted_edge import ATR_BARS, Expectancy, PlantedEdge, declaration, rule_expectancy
from rl_core.worlds.price_path import (
    MinutePlan,
    Noise,
    PathColumns,
    draw_noise,
    draw_path,
    minutes_of,
    seconds_of,
    spread_volume,
    traded_seconds,
)

__all__ = ["Expectancy", "PlantedEdge", "World", "demo_world", "rule_expectancy"]

MARKET = "NQ"
FIRST_DAY = 19_724  # 2024-01-02, days since 1970-01-01
FIRST_PRICE = 20_000.0  # points
NS_PER_DAY = MINUTES_PER_DAY * NS_PER_MINUTE

SIGNAL_FROM, SIGNAL_UNTIL = (9, 40), (15, 30)
SIGNAL_SPACING, SIGNAL_MEAN_WAIT = 25, 30.0  # minutes: the least between two, and the mean on top
MINUTES_LEFT_AFTER_SIGNAL = 90
BURST_OVER_USUAL = (6.5, 9.0)  # volume of a signal bar
MOVE_ATR = (1.6, 2.1)  # its close-to-close move, in mean ranges of the bars before it
RANGE_TO_SIGMA = 1.6  # E[range] of a Brownian minute
# Mean movement after a signal, in its direction: this many ATR in all, most of it in the first two minutes, so that an
# entry's worth shows before the noise of the trade does. Signals are sparse and their own move is hardly longer than a
# stop, so that random entries, which profit from a signal that comes their way, earn little (+0.02 R).
DRIFT_ATR = 0.38
DRIFT_DECAY_MINUTES, DRIFT_MINUTES = 1.5, 4

EXPECTANCY_R = 0.25
DECLARATION = (
    "planted edge: in 09:40-15:30 ET, 5 to 8 times a session, a bar of 6.5 to 9 times its usual volume that moves "
    "about 1.8 ATR is followed by four minutes of drift the same way. Entering at the next open with a stop of 1.5 ATR "
    "and a target of 3 stops earns about +0.25 R a trade before costs. This world shows the machinery, not a market."
)


class World(NamedTuple):
    """A synthetic market."""

    minutes: Bars
    seconds: Bars | None
    """Only where asked for; they add up exactly to ``minutes``. Seconds without a trade have no bar."""
    edge: PlantedEdge


class Drawn(NamedTuple):
    """Bars and the signals in them."""

    minutes: Bars
    seconds: Bars | None
    signals: npt.NDArray[np.int8]
    """[T] +1, -1 or 0 at the close of each minute bar."""
    pays: npt.NDArray[np.bool_] | None = None
    """[T] where a signal is followed by the better drift; None: every signal is alike."""


class Planned(NamedTuple):
    """What a session is to do beside what chance does."""

    signals: npt.NDArray[np.int8]
    """[M] +1, -1 or 0 at the close of each minute."""
    minutes: MinutePlan
    pays: npt.NDArray[np.bool_] | None = None
    """[M] where a signal is followed by the better drift; None: every signal is alike."""


Planner = Callable[[npt.NDArray[np.float64], np.random.Generator], Callable[[Noise], Planned]]
"""Plans one session of volatility [M]: draws what it needs, then is shown what chance does."""


class _Session(NamedTuple):
    open_ns: int
    minutes: int
    hours_closed: float
    """Since the session before it."""


def demo_world(seed: int, sessions: int, *, first_day: int = FIRST_DAY, seconds: bool = False) -> World:
    """A market of full NQ sessions, in which a rule visible in the features earns +0.25 R.

    Args:
        seed: of every draw; the same seed gives the same bars, with seconds or without.
        sessions: how many trading days.
        first_day: of trading or before it, days since 1970-01-01; by default 2024-01-02.
        seconds: whether to return the one-second bars too.
    """
    drawn = draw_bars(seed, sessions, drift=fading_drift(DRIFT_ATR), first_day=first_day, seconds=seconds)
    return declared(drawn, PlantedEdge(DECLARATION, EXPECTANCY_R, drawn.signals), seed)


def declared(drawn: Drawn, edge: PlantedEdge, seed: int) -> World:
    """A world whose bars say themselves what they are, wherever they are copied."""
    text = declaration(edge, seed)
    seconds = None if drawn.seconds is None else replace(drawn.seconds, world=text)
    return World(replace(drawn.minutes, world=text), seconds, edge)


def fading_drift(drift_atr: float) -> npt.NDArray[np.float64]:
    """[4] what the demo's drift of ``drift_atr`` ATR in all is in each minute after a signal."""
    fading = np.exp(-np.arange(DRIFT_MINUTES) / DRIFT_DECAY_MINUTES)
    return np.asarray(drift_atr * fading / fading.sum())


def draw_bars(
    seed: int, sessions: int, *, drift: npt.NDArray[np.float64], first_day: int = FIRST_DAY, seconds: bool = False
) -> Drawn:
    """The demo market with another drift after its signals; with 0 they mean nothing. The same draws in each.

    Args:
        seed: of every draw.
        sessions: how many trading days.
        drift: [D] ATR in each minute after a signal, in its direction; D is at most the least time between signals.
        first_day: of trading or before it, days since 1970-01-01.
        seconds: whether to return the one-second bars too.
    """
    assert len(drift) <= SIGNAL_SPACING

    def planner(sigma: npt.NDArray[np.float64], generator: np.random.Generator) -> Callable[[Noise], Planned]:
        signals = _draw_signals(len(sigma), generator)
        planned = Planned(signals, _plan(sigma, signals, drift, generator))
        return lambda noise: planned

    return draw_planned(seed, sessions, planner, first_day=first_day, seconds=seconds)


def draw_planned(
    seed: int, sessions: int, planner: Planner, *, first_day: int = FIRST_DAY, seconds: bool = False
) -> Drawn:
    """The demo market in which ``planner`` says where signals are and what follows them."""
    assert sessions > 0
    generator = np.random.default_rng(seed)
    sigma = draw_sigma(sessions, generator)
    last = log(FIRST_PRICE)
    past: list[npt.NDArray[np.int64]] = []
    minute_parts, second_parts, plans = [], [], []
    for session, session_sigma in zip(_schedule(sessions, first_day), sigma, strict=True):
        planned_after = planner(session_sigma[: session.minutes], generator)
        first = last + draw_gap(session.hours_closed, generator)
        noise = draw_noise(session_sigma[: session.minutes], generator)
        planned = planned_after(noise)
        path = draw_path(planned.minutes, noise, first, float(instrument(MARKET).tick_size), generator)
        usual = usual_volume(past, session.minutes)
        log_range = np.log(path.high.max(axis=1) / path.low.min(axis=1))
        volume = draw_volume(log_range, usual, generator)
        bursts = np.rint(usual * generator.uniform(*BURST_OVER_USUAL, session.minutes)).astype(np.int64)
        volume = np.where(planned.signals != 0, bursts, volume)
        traded = spread_volume(volume, traded_seconds(volume, generator), generator)
        minute_parts.append(minutes_of(path, traded, session.open_ns))
        if seconds:
            second_parts.append(seconds_of(path, traded, session.open_ns))
        plans.append(planned)
        past.append(minute_parts[-1].volume)
        last = path.last
    pays = [plan.pays for plan in plans if plan.pays is not None]
    return Drawn(
        minutes=_bars(minute_parts, 60),
        seconds=_bars(second_parts, 1) if seconds else None,
        signals=np.concatenate([plan.signals for plan in plans]),
        pays=np.concatenate(pays) if pays else None,
    )


def _schedule(sessions: int, first_day: int) -> list[_Session]:
    """The first ``sessions`` trading days from ``first_day`` on."""
    enough = first_day + 7 + sessions * 7 // 5 + sessions // 10
    calendar = Calendar.covering(first_day * NS_PER_DAY, enough * NS_PER_DAY)
    start = int(np.searchsorted(calendar.trade_date, first_day))
    assert len(calendar.trade_date) >= start + sessions
    opens, closes = (column[start - 1 : start + sessions] for column in (calendar.open_ns, calendar.close_ns))
    return [
        _Session(
            open_ns=int(opened),
            minutes=int(closed - opened) // NS_PER_MINUTE,
            hours_closed=(opened - before) / NS_PER_MINUTE / 60,
        )
        for before, opened, closed in zip(closes[:-1], opens[1:], closes[1:], strict=True)
    ]


def _draw_signals(minutes: int, generator: np.random.Generator) -> npt.NDArray[np.int8]:
    """[M] +1, -1 or 0: 5 to 8 signals at least 25 minutes apart, none so late that the session ends its trade."""
    signals = np.zeros(minutes, np.int8)
    until = min(index_in_session(*SIGNAL_UNTIL), minutes - MINUTES_LEFT_AFTER_SIGNAL)
    at = index_in_session(*SIGNAL_FROM) + int(generator.integers(SIGNAL_SPACING))
    while at < until:
        signals[at] = generator.choice((-1, 1))
        at += SIGNAL_SPACING + int(generator.exponential(SIGNAL_MEAN_WAIT))
    return signals


def _plan(
    sigma: npt.NDArray[np.float64],
    signals: npt.NDArray[np.int8],
    drift: npt.NDArray[np.float64],
    generator: np.random.Generator,
) -> MinutePlan:
    """The session's volatility [M] with the signals' moves fixed and the ``drift`` [D] after them."""
    planned, fixed = np.zeros_like(sigma), np.full_like(sigma, np.nan)
    for at in np.flatnonzero(signals):
        atr = RANGE_TO_SIGMA * sigma[at - ATR_BARS + 1 : at].mean()
        fixed[at] = signals[at] * atr * generator.uniform(*MOVE_ATR)
        planned[at + 1 : at + 1 + len(drift)] += signals[at] * atr * drift
    return MinutePlan(sigma, planned, fixed)


def _bars(parts: list[PathColumns], interval_s: int) -> Bars:
    columns = PathColumns(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    return Bars(instrument=instrument(MARKET), interval_s=interval_s, **columns._asdict())
