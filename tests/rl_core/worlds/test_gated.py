"""Gated worlds: the computed uplift is what trades give; a gate is told the condition, and a policy does not see it."""

from functools import cache
from itertools import product

import numpy as np
import numpy.typing as npt
import pytest

from rl_core.regimes.labels import PARTS, compute_regimes
from rl_core.worlds.controls import world_of
from rl_core.worlds.demo import World
from rl_core.worlds.gated import (
    PAYING_SHARE,
    RECENT_MINUTES,
    STRONGER_DRIFT_ATR,
    WEAKER_DRIFT_ATR,
    gate_optimum,
    gated_world,
)
from rl_core.worlds.planted_edge import rule_expectancy
from tests.rl_core.markets import seen
from trigate.errors import ConfigError


@cache
def world(form: str = "one_fact", *, twin: bool = False, sessions: int = 30) -> World:
    kind = "gated_twin" if twin else "gated"
    return world_of(kind, 5, sessions, form=form)


def signals_of(made: World) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int8], npt.NDArray[np.bool_]]:
    """Bar, side and whether it pays, of each signal."""
    assert made.edge.pays is not None
    at = np.flatnonzero(made.edge.signals)
    return at, made.edge.signals[at], made.edge.pays[at]


def test_the_computed_uplift_is_what_simulated_trades_give() -> None:
    """Every signal traded alone over 100 sessions: p (1 - p) (R where it pays - R where not), in three standard errors.

    The 0.04 R on top is what the grid leaves to ticks and to volatility that changes.
    """
    made = world(sessions=100)
    _, _, pays = signals_of(made)
    assert made.edge.pays is not None and made.edge.uplift_r is not None
    found = [rule_expectancy(made.minutes, np.where(made.edge.pays == which, made.edge.signals, 0)) for which in (1, 0)]

    share = pays.mean()
    uplift = share * (1 - share) * (found[0].mean_r - found[1].mean_r)
    error = share * (1 - share) * np.hypot(found[0].standard_error, found[1].standard_error)
    best = gate_optimum(STRONGER_DRIFT_ATR)
    assert uplift == pytest.approx(made.edge.uplift_r, abs=3 * error + 0.04)
    assert found[0].mean_r == pytest.approx(best.pays_r, abs=3 * found[0].standard_error + 0.04)
    assert found[1].mean_r == pytest.approx(best.fails_r, abs=3 * found[1].standard_error + 0.04)
    assert share == pytest.approx(PAYING_SHARE, abs=0.08)


@pytest.mark.parametrize("drift_atr", [STRONGER_DRIFT_ATR, WEAKER_DRIFT_ATR])
def test_no_gate_of_the_condition_adds_more_than_the_computed_one(drift_atr: float) -> None:
    """Every share let through where it pays and where not, in steps of a tenth: the best of all of them, by force."""
    best = gate_optimum(drift_atr)
    steps = np.linspace(0, 1, 11)

    earned = [
        (PAYING_SHARE * here * best.pays_r + (1 - PAYING_SHARE) * there * best.fails_r, (here + there) / 2)
        for here, there in product(steps, steps)
    ]

    assert max(r - let_through * best.mean_r for r, let_through in earned) == pytest.approx(best.uplift_r)
    assert max(r for r, _ in earned) - best.mean_r == pytest.approx(best.over_all_r)


def test_the_two_strengths_win_as_often_as_they_are_said_to() -> None:
    """3:1 brackets: R = 4 x the share of wins - 1."""
    shares = [
        round((r + 1) / 4, 2)
        for drift in (STRONGER_DRIFT_ATR, WEAKER_DRIFT_ATR)
        for r in (gate_optimum(drift).pays_r, gate_optimum(drift).fails_r)
    ]

    assert shares == [0.42, 0.17, 0.36, 0.2]


@pytest.mark.parametrize("form", ["one_fact", "two_facts"])
@pytest.mark.parametrize("twin", [False, True])
def test_what_a_gate_is_told_says_which_signals_pay_and_nothing_says_it_in_the_twin(form: str, twin: bool) -> None:
    """The regimes are those that a proposal holds, read as the prompt's phrases read them; about 95 signals."""
    made = world(form, twin=twin)
    at, side, pays = signals_of(made)

    told = compute_regimes(seen(made.minutes))
    trend = told.trends[at, 2] * side
    late = np.isin(told.part[at], [PARTS.index("afternoon"), PARTS.index("late")])
    holds = (trend > 0) != (late if form == "two_facts" else False)

    agreement = float((holds == pays).mean())
    assert len(at) > 60
    assert abs(agreement - 0.5) < 0.2 if twin else agreement > 0.98
    assert (np.abs(trend) < 500).mean() < 0.05, "told as flat"


def test_of_two_facts_neither_alone_tells_anything() -> None:
    at, side, pays = signals_of(world("two_facts", sessions=60))
    close = world("two_facts", sessions=60).minutes.close.astype(np.int64)
    with_trend = (close[at] - close[at - 240]) * side > 0

    assert pays[with_trend].mean() == pytest.approx(pays[~with_trend].mean(), abs=0.2)


def test_the_last_hour_does_not_tell_which_signals_pay() -> None:
    """The chance that the move before a paying signal, seen from its side, is the larger one (AUC): a half."""
    at, side, pays = signals_of(world(sessions=100))
    close = world(sessions=100).minutes.close.astype(np.int64)

    move = (close[at - 1] - close[at - RECENT_MINUTES]) * side
    auc = float((move[pays][:, None] > move[~pays][None, :]).mean())

    assert auc == pytest.approx(0.5, abs=0.1)


def test_the_twin_has_the_same_signals_until_the_first_drift_and_the_same_mean() -> None:
    """Noise, waits and sides are the same draws, so the first signal of both worlds is the same bar and side."""
    edge, twin = world().edge, world(twin=True).edge

    first = int(np.flatnonzero(edge.signals)[0])
    assert first == int(np.flatnonzero(twin.signals)[0]) and edge.signals[first] == twin.signals[first]
    assert twin.uplift_r == 0.0 and twin.expectancy_r == edge.expectancy_r
    assert "no gate adds anything" in twin.text


def test_the_declaration_prints_what_was_computed() -> None:
    best = gate_optimum(WEAKER_DRIFT_ATR)
    text = gated_world(1, 2, drift_atr=WEAKER_DRIFT_ATR, form="two_facts").edge.text

    assert f"{best.uplift_r:+.3f} R a proposal over random vetoes" in text and "against it after that" in text


def test_a_form_that_is_not_known_and_a_drift_that_gates_nothing_are_refused() -> None:
    with pytest.raises(ConfigError, match="unknown form of a gated world 'three'"):
        world_of("gated", 1, 2, form="three")
    with pytest.raises(ConfigError, match="above 0 ATR"):
        world_of("gated", 1, 2, drift_atr=0.0)
    with pytest.raises(ConfigError, match="not for demo"):
        world_of("demo", 1, 2, form="one_fact")
