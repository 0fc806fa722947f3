"""Control worlds: `no_edge`, in which nothing can be earned; `planted`, `reverting`, `gated`: their best is computed.

All are the demo market with another drift after its signals: NQ's volatility, gaps, volume and bursts. In `no_edge`
there is none. In `planted` it has the size that is asked for, in `reverting` it goes back in part, so that managing
the position pays; before costs a rule earns the drift that passes while it holds, so what the best rule earns follows
from the world's parameters, without a trade. `gated` and its twin: `rl_core.worlds.gated`.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rl_core.worlds.demo import DRIFT_MINUTES, World, declared, demo_world, draw_bars, fading_drift
from rl_core.worlds.gated import gated_world
from rl_core.worlds.planted_edge import PlantedEdge
from rl_core.worlds.planted_value import ATR14_AT_SIGNAL, STOP_ATR, bracket_value, managed_value
from trigate.errors import ConfigError

Reals = npt.NDArray[np.float64]

USUAL_DRIFT_ATR = 0.6
RISE_ATR, FALL_ATR = 1.5, 1.0  # of the reverting world; the fall spreads over minutes 7 to 12
REVERT_FROM, REVERT_UNTIL = 6, 12
GATED = ("gated", "gated_twin")
KINDS = ("demo", "no_edge", "planted", "reverting", *GATED)

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
REVERTING = (
    "planted edge that reverts: a bar of more than 6 times its usual volume is followed by {rising} minutes of drift "
    "the same way, {rise:.1f} ATR in all, and in minutes {first} to {last} by {fall:.1f} ATR the other way. Entering "
    "every one at the next open earns {plain:+.3f} R a trade before costs with the bracket left alone, and at most "
    "{managed:+.3f} R with breakeven and trail. Computed, not measured. This world shows the machinery, not a market."
)


class Optimum(NamedTuple):
    """What can be earned in a planted world, before costs."""

    bracket_r: float  # a trade of the best rule with the usual bracket
    most_r: float  # a signal, without a bracket: the whole drift
    win_share: float  # of bracket trades that reach the target, the rest is stopped


def no_edge_world(seed: int, sessions: int, *, seconds: bool = False) -> World:
    """A market of full NQ sessions from 2024-01-02 on, in which nothing can be earned."""
    drawn = draw_bars(seed, sessions, drift=fading_drift(0.0), seconds=seconds)
    return declared(drawn, PlantedEdge(NO_EDGE, 0.0, drawn.signals), seed)


def planted_world(seed: int, sessions: int, *, drift_atr: float = USUAL_DRIFT_ATR, seconds: bool = False) -> World:
    """The same market with a drift of ``drift_atr`` ATR in all after each signal; negative: it reverts."""
    best = optimum(drift_atr)
    drawn = draw_bars(seed, sessions, drift=fading_drift(drift_atr), seconds=seconds)
    signals = drawn.signals if drift_atr >= 0 else -drawn.signals
    text = PLANTED.format(minutes=DRIFT_MINUTES, drift=drift_atr, bracket=best.bracket_r, most=best.most_r)
    return declared(drawn, PlantedEdge(text, best.bracket_r, signals), seed)


def reverting_world(seed: int, sessions: int, *, seconds: bool = False) -> World:
    """The same market with a drift after each signal that goes back in part: managing the position pays."""
    drift = reverting_drift()
    drawn = draw_bars(seed, sessions, drift=drift, seconds=seconds)
    plain = bracket_value(drift).mean_r
    text = REVERTING.format(
        rise=RISE_ATR,
        rising=DRIFT_MINUTES,
        fall=FALL_ATR,
        first=REVERT_FROM + 1,
        last=REVERT_UNTIL,
        plain=plain,
        managed=managed_value(drift),
    )
    return declared(drawn, PlantedEdge(text, plain, drawn.signals), seed)


def world_of(
    kind: str,
    seed: int,
    sessions: int,
    *,
    drift_atr: float | None = None,
    form: str | None = None,
    seconds: bool = False,
) -> World:
    """The world of this ``kind``.

    Raises:
        ConfigError: no such kind or form, or a drift or form for a world that has its own.
    """
    if kind not in KINDS:
        raise ConfigError(f"unknown kind of world {kind!r}; known: {', '.join(KINDS)}")
    if drift_atr is not None and kind not in ("planted", *GATED):
        raise ConfigError(f"a drift can be chosen for the kinds planted and gated, not for {kind}")
    if form is not None and kind not in GATED:
        raise ConfigError(f"a form can be chosen for the kind gated and its twin, not for {kind}")
    asked = {name: value for name, value in (("drift_atr", drift_atr), ("form", form)) if value is not None}
    return MAKERS[kind](seed, sessions, seconds=seconds, **asked)


def optimum(drift_atr: float) -> Optimum:
    """What the rule that knows the world earns, from its parameters (`rl_core.worlds.planted_value`)."""
    minutes = fading_drift(abs(drift_atr))
    bracket = bracket_value(minutes)
    return Optimum(bracket.mean_r, float(minutes.sum()) / (STOP_ATR * ATR14_AT_SIGNAL), bracket.win_share)


def reverting_drift() -> Reals:
    """[12] ATR in each minute after a signal of the reverting world."""
    drift = np.zeros(REVERT_UNTIL)
    drift[:DRIFT_MINUTES] = fading_drift(RISE_ATR)
    drift[REVERT_FROM:] = -FALL_ATR / (REVERT_UNTIL - REVERT_FROM)
    return drift


MAKERS: Mapping[str, Callable[..., World]] = {
    "demo": demo_world,
    "no_edge": no_edge_world,
    "planted": planted_world,
    "reverting": reverting_world,
    "gated": gated_world,
    "gated_twin": partial(gated_world, twin=True),
}
