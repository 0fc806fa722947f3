"""Worlds in which a gate can pay: a signal's worth hangs on what a gate is told and a policy does not see.

The demo market, with a drift after each signal that goes with it where the condition holds and half as far against it
where it does not. The condition is about the 240-minute trend, which a gate is told. A policy sees the last hour or
so: a signal comes only where what is older decides the trend, whichever way that hour went. With the form ``one_fact``
a signal pays that goes with the trend; with ``two_facts`` one that goes with it until 12:30 ET and against it after
that, so that neither fact alone tells anything, and no sum of single facts does. Whether a signal pays is drawn, half
of them do, and its side follows from that and from the trend as it stands. So what the best gate adds follows from
the parameters, without a trade.

The twin has the same signals after the same noise, of which the same share pays, but a coin says which.
"""

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from rl_core.worlds.demo import (
    MINUTES_LEFT_AFTER_SIGNAL,
    MOVE_ATR,
    RANGE_TO_SIGMA,
    SIGNAL_FROM,
    SIGNAL_UNTIL,
    Planned,
    Planner,
    World,
    declared,
    draw_planned,
    fading_drift,
)
from rl_core.worlds.nq_profile import index_in_session
from rl_core.worlds.planted_edge import ATR_BARS, PlantedEdge
from rl_core.worlds.planted_value import bracket_value
from rl_core.worlds.price_path import MinutePlan, Noise
from trigate.errors import ConfigError

Reals = npt.NDArray[np.float64]
Form = Literal["one_fact", "two_facts"]

STRONGER_DRIFT_ATR, WEAKER_DRIFT_ATR = 1.15, 0.75  # targets are reached in 42 and 17, or in 36 and 20 of 100
AGAINST_SHARE = 0.5  # of the drift, the other way, where a signal does not pay
PAYING_SHARE = 0.5  # of the signals
TREND_MINUTES = 240
MEAN_WAIT = 5.0  # minutes beyond the recent ones, from signal to signal
STEP = 30  # minutes until it is tried again where the trend does not do
RECENT_MINUTES = 60  # of the trend: a policy sees hardly anything of what came before them
LEAST_TREND_ATR = 2.6  # what its older part has beyond the recent one: neither that nor the signal's move can turn it
TURN = (12, 30)  # ET; where the second fact changes, as the part of the session that a gate is told does

CONDITIONS: dict[Form, str] = {
    "one_fact": "where it goes with the 240-minute trend",
    "two_facts": "where it goes with the 240-minute trend until 12:30 ET or against it after that",
}
DECLARATION = (
    "gated edge, {form}: a bar of more than 6 times its usual volume is followed by 4 minutes of drift, {drift:.2f} "
    "ATR the same way {condition}, {against:.2f} ATR the other way where not; half of them pay. Entering every one at "
    "the next open, with a stop of 1.5 ATR and a target of 3 stops, earns {pays:+.3f} R a trade before costs where it "
    "pays and {fails:+.3f} R where not, {mean:+.3f} R in all. The best gate adds {uplift:+.3f} R a proposal over "
    "random vetoes as often, {over_all:+.3f} R over approving all. Computed, not measured. This world shows the "
    "machinery, not a market."
)
TWIN = (
    "twin of the gated edge: a bar of more than 6 times its usual volume is followed by 4 minutes of drift, "
    "{drift:.2f} ATR the same way or {against:.2f} ATR the other way, and a coin says which. Entering every one earns "
    "{mean:+.3f} R a trade before costs; no gate adds anything over random vetoes. Computed, not measured. This world "
    "shows the machinery, not a market."
)


class GateOptimum(NamedTuple):
    """What can be earned in a gated world, before costs, in R a trade or proposal."""

    pays_r: float  # a trade where the condition holds
    fails_r: float  # and where not
    mean_r: float  # of every signal
    uplift_r: float  # the most that a gate can add over random vetoes at its own rate
    over_all_r: float  # the most that it can add over approving everything


class _Draws(NamedTuple):
    """What chance says of a session's signals, before its prices are known; [S] each."""

    wait: npt.NDArray[np.int64]  # minutes to the next signal
    move: Reals  # of the signal bar, ATR
    follows: npt.NDArray[np.bool_]  # the condition holds
    coin: npt.NDArray[np.bool_]  # the twin's signal pays


class _Placed(NamedTuple):
    at: int
    side: int
    pays: bool
    atr: float


def gated_world(
    seed: int,
    sessions: int,
    *,
    drift_atr: float = STRONGER_DRIFT_ATR,
    form: Form = "one_fact",
    twin: bool = False,
    seconds: bool = False,
) -> World:
    """A market of full NQ sessions in which a gate that is told the trend can pay, or its ``twin``, in which none can.

    Raises:
        ConfigError: no such form, or a drift that is not above zero.
    """
    if form not in get_args(Form):
        raise ConfigError(f"unknown form of a gated world {form!r}; known: {', '.join(get_args(Form))}")
    if not drift_atr > 0:
        raise ConfigError(f"the drift of a gated world is above 0 ATR, not {drift_atr:g}")
    best = gate_optimum(drift_atr)
    drawn = draw_planned(seed, sessions, _planner(drift_atr, form, twin=twin), seconds=seconds)
    text = (TWIN if twin else DECLARATION).format(
        form=form,
        condition=CONDITIONS[form],
        drift=drift_atr,
        against=AGAINST_SHARE * drift_atr,
        pays=best.pays_r,
        fails=best.fails_r,
        mean=best.mean_r,
        uplift=best.uplift_r,
        over_all=best.over_all_r,
    )
    edge = PlantedEdge(text, best.mean_r, drawn.signals, drawn.pays, 0.0 if twin else best.uplift_r)
    return declared(drawn, edge, seed)


def gate_optimum(drift_atr: float) -> GateOptimum:
    """What the gate that knows the world adds, from its parameters (`rl_core.worlds.planted_value`).

    With a share p of signals that pay, a gate that lets exactly those through earns p x pays_r a proposal; random
    vetoes as often earn p x mean_r. No gate has a greater covariance of what it lets through with what it earns.
    """
    pays = bracket_value(fading_drift(drift_atr)).mean_r
    fails = bracket_value(fading_drift(-AGAINST_SHARE * drift_atr)).mean_r
    mean = PAYING_SHARE * pays + (1 - PAYING_SHARE) * fails
    return GateOptimum(pays, fails, mean, PAYING_SHARE * (pays - mean), PAYING_SHARE * pays - max(mean, 0.0))


def _planner(drift_atr: float, form: Form, *, twin: bool) -> Planner:
    with_it, against = fading_drift(drift_atr), fading_drift(-AGAINST_SHARE * drift_atr)

    def planner(sigma: Reals, generator: np.random.Generator) -> Callable[[Noise], Planned]:
        draws = _draw(len(sigma), generator)

        def planned_after(noise: Noise) -> Planned:
            steps = noise.minute.copy()
            signals, pays = np.zeros(len(sigma), np.int8), np.zeros(len(sigma), bool)
            drift, fixed = np.zeros_like(sigma), np.full_like(sigma, np.nan)
            for signal, move in zip(_placed(steps, sigma, draws, form, twin=twin), draws.move, strict=False):
                at, after = signal.at, with_it if signal.pays else against
                following = np.s_[at + 1 : at + 1 + len(after)]
                signals[at], pays[at] = signal.side, signal.pays
                fixed[at] = signal.side * signal.atr * move
                drift[following] = signal.side * signal.atr * after
                steps[at] = fixed[at]  # the next signal's trend is of the prices with all that was added
                steps[following] += drift[following]
            return Planned(signals, MinutePlan(sigma, drift, fixed), pays)

        return planned_after

    return planner


def _draw(minutes: int, generator: np.random.Generator) -> _Draws:
    """As many draws as a session could hold signals, so that every world takes as many from ``generator``."""
    most = minutes // RECENT_MINUTES
    wait = RECENT_MINUTES + generator.exponential(MEAN_WAIT, most).astype(np.int64)
    wait[0] = generator.integers(RECENT_MINUTES)
    paying = generator.random((2, most)) < PAYING_SHARE
    return _Draws(wait, generator.uniform(*MOVE_ATR, most), paying[0], paying[1])


def _placed(steps: Reals, sigma: Reals, draws: _Draws, form: Form, *, twin: bool) -> Iterator[_Placed]:
    """The session's signals, one by one: ``steps`` [M], each minute's return, must hold those before by then."""
    until = min(index_in_session(*SIGNAL_UNTIL), len(steps) - MINUTES_LEFT_AFTER_SIGNAL)
    at = index_in_session(*SIGNAL_FROM)
    for wait, follows, coin in zip(draws.wait, draws.follows, draws.coin, strict=True):
        at += int(wait)
        older = 0.0
        while at < until:
            atr = float(RANGE_TO_SIGMA * sigma[at - ATR_BARS + 1 : at].mean())
            older = float(steps[at + 1 - TREND_MINUTES : at - RECENT_MINUTES].sum())
            recent = float(steps[at - RECENT_MINUTES : at].sum())
            # The same whichever way the recent minutes went: so those, which a policy sees, do not tell the trend.
            if abs(older) - abs(recent) >= LEAST_TREND_ATR * atr:
                break
            at += STEP
        else:
            return
        with_trend = bool(follows) != (form == "two_facts" and at >= index_in_session(*TURN))
        side = int(np.sign(older)) * (1 if with_trend else -1)
        yield _Placed(at, side, bool(coin if twin else follows), atr)
