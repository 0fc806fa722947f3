"""Control worlds: `no_edge`, in which nothing can be earned, and `planted`, whose best expectancy is computed.

Both are the demo market with another drift after its signals: NQ's volatility, gaps, volume and bursts. In `no_edge`
there is none. In `planted` it has the size that is asked for; before costs a rule earns the drift that passes while
it holds, so what the best rule earns follows from the world's parameters, without a trade.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rl_core.errors import ConfigError
from rl_core.planted import ATR_BARS, TARGET_TO_STOP, PlantedEdge
from rl_core.worlds import DRIFT_DECAY_MINUTES, DRIFT_MINUTES, MOVE_ATR, RANGE_TO_SIGMA, World, demo_world, draw_bars

Reals = npt.NDArray[np.float64]

STOP_ATR = 1.5
USUAL_DRIFT_ATR = 0.6
KINDS = ("demo", "no_edge", "planted")
CELL_ATR = 0.03  # of the grid on which the chance to be alive is computed
RANGE_BEYOND_MOVE_ATR = 0.45  # a signal bar's range beyond its move

NO_EDGE = (
    "no_edge: no drift anywhere, with NQ's volatility, gaps, volume and volume bursts. No rule earns anything before "
    "costs, every rule loses its costs after them; a profit here is chance or a fault."
)
PLANTED = (
    "planted edge: a bar of more than 6 times its usual volume is followed by {minutes} minutes of drift the same way, "
    "{drift:.2f} ATR in all. The best rule enters every one at the next open: with a stop of 1.5 ATR and a target of "
    "3 stops it earns {bracket:+.3f} R a trade before costs; no rule of any kind earns more than {most:+.3f} R a "
    "signal. Computed, not measured. This world shows the machinery, not a market."
)


class Optimum(NamedTuple):
    """What can be earned in a planted world, before costs."""

    bracket_r: float  # a trade of the best rule with the usual bracket
    most_r: float  # a signal, without a bracket: the whole drift
    win_share: float  # of bracket trades that reach the target, the rest is stopped


def no_edge_world(seed: int, sessions: int, *, seconds: bool = False) -> World:
    """A market of full NQ sessions from 2024-01-02 on, in which nothing can be earned."""
    drawn = draw_bars(seed, sessions, drift_atr=0.0, seconds=seconds)
    return World(drawn.minutes, drawn.seconds, PlantedEdge(NO_EDGE, 0.0, drawn.signals))


def planted_world(seed: int, sessions: int, *, drift_atr: float = USUAL_DRIFT_ATR, seconds: bool = False) -> World:
    """The same market with a drift of ``drift_atr`` ATR in all after each signal; negative: it reverts."""
    best = optimum(drift_atr)
    drawn = draw_bars(seed, sessions, drift_atr=drift_atr, seconds=seconds)
    signals = drawn.signals if drift_atr >= 0 else -drawn.signals
    text = PLANTED.format(minutes=DRIFT_MINUTES, drift=drift_atr, bracket=best.bracket_r, most=best.most_r)
    return World(drawn.minutes, drawn.seconds, PlantedEdge(text, best.bracket_r, signals))


def world_of(kind: str, seed: int, sessions: int, *, drift_atr: float | None = None, seconds: bool = False) -> World:
    """The world of this ``kind``.

    Raises:
        ConfigError: no such kind, or a drift for a world that has its own.
    """
    if kind not in KINDS:
        raise ConfigError(f"unknown kind of world {kind!r}; known: {', '.join(KINDS)}")
    if drift_atr is not None and kind != "planted":
        raise ConfigError(f"a drift can be chosen for the kind planted, not for {kind}")
    if kind == "planted":
        drift = USUAL_DRIFT_ATR if drift_atr is None else drift_atr
        return planted_world(seed, sessions, drift_atr=drift, seconds=seconds)
    return (demo_world if kind == "demo" else no_edge_world)(seed, sessions, seconds=seconds)


def optimum(drift_atr: float) -> Optimum:
    """What the rule that knows the world earns, from its parameters.

    Before costs the price is a martingale but for the drift, so that a trade earns, on average, the sum over time of
    drift x P(still open). That chance is the solution of the diffusion equation between stop and target, on a grid.
    """
    fading = np.exp(-np.arange(DRIFT_MINUTES) / DRIFT_DECAY_MINUTES)
    minutes = abs(drift_atr) * fading / fading.sum()
    scale = _atr_at_signal()
    stop, target = STOP_ATR * scale, TARGET_TO_STOP * STOP_ATR * scale
    below, above = round(stop / CELL_ATR), round(target / CELL_ATR)
    density = np.zeros(below + above + 1)  # chance of each level, stop and target absorb
    density[below] = 1.0
    earned = 0.0
    variance = 1 / RANGE_TO_SIGMA**2  # ATR^2 a minute
    steps = int(np.ceil(2 * variance / CELL_ATR**2))
    for drift in minutes:
        for _ in range(steps):
            earned += drift / steps * density[1:-1].sum()
            density = _moved(density, drift / steps, variance / steps)
    price = np.arange(-below, above + 1) * CELL_ATR
    win_share = float(((price + stop) * density).sum() / (stop + target))
    return Optimum(float(earned / stop), float(minutes.sum()) / stop, win_share)


def _atr_at_signal() -> float:
    """ATR14 at a signal's close over the mean range of the 13 bars before it: the signal's own range is in it."""
    return (ATR_BARS - 1 + float(np.mean(MOVE_ATR)) + RANGE_BEYOND_MOVE_ATR) / ATR_BARS


def _moved(density: Reals, drift: float, variance: float) -> Reals:
    """The levels' chances a moment later: up or down one cell, with this mean and variance."""
    spread = variance / (2 * CELL_ATR**2)
    up, down = spread + drift / (2 * CELL_ATR), spread - drift / (2 * CELL_ATR)
    inside = np.concatenate([[0.0], density[1:-1], [0.0]])
    after = density - inside * (up + down)
    after[1:] += inside[:-1] * up
    after[:-1] += inside[1:] * down
    return after
