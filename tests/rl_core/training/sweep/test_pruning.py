"""A member is left where its training stays under the median of those before it: Optuna's rule, computed ahead."""

from typing import Any

import numpy as np
import optuna
import pytest

from rl_core.training.sweep.pruning import FIRST_PART, LEAST_MEMBERS, PARTS, curve_of, left_at, medians_of


def row(step: int, episodes: int, earned: float | None) -> dict[str, Any]:
    return {"step": step, "episodes": episodes, "episode_return": earned}


def test_a_part_is_the_mean_of_the_episodes_that_ended_in_it() -> None:
    """Of 100 bars a part is 10: (2 x 1 + 4 x 3) / 6 in the first; none ended in the second; the third is not over."""
    rows = [row(5, 2, 1.0), row(10, 4, 3.0), row(20, 0, None), row(25, 1, 9.0)]

    assert curve_of(rows, 100) == {1: pytest.approx(14 / 6)}
    assert curve_of([*rows, row(30, 1, 7.0)], 100) == {1: pytest.approx(14 / 6), 3: 8.0}


def test_nobody_is_left_while_few_were_judged() -> None:
    curves = [{part: 1.0 for part in range(1, PARTS + 1)}] * (LEAST_MEMBERS - 1)

    assert medians_of(curves) == {} and left_at({5: -9.0}, medians_of(curves)) is None
    assert left_at({5: -9.0}, medians_of([*curves, curves[0]])) == 5


def test_one_good_part_keeps_a_member() -> None:
    medians = dict.fromkeys(range(1, PARTS + 1), 1.0)

    assert left_at({1: 2.0, 5: 0.0, 6: 0.0}, medians) is None
    assert left_at({1: 0.0, FIRST_PART: 0.5}, medians) == FIRST_PART
    assert left_at({1: 0.0, 2: 0.0, PARTS: 0.0}, medians) is None, "neither too early nor when all is trained"


@pytest.mark.parametrize("seed", range(5))
def test_it_decides_as_optunas_median_pruner(seed: int) -> None:
    drawn = np.random.default_rng(seed).normal(size=(6, PARTS))
    curves = [{part: float(value) for part, value in enumerate(each, 1)} for each in drawn]
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=LEAST_MEMBERS, n_warmup_steps=FIRST_PART)
    study = optuna.create_study(direction="maximize", pruner=pruner)
    for curve in curves[:-1]:
        study.add_trial(optuna.trial.create_trial(value=0.0, intermediate_values=curve))
    trial = study.ask()

    theirs = None
    for part in range(1, PARTS):
        trial.report(curves[-1][part], part)
        if trial.should_prune():
            theirs = part
            break

    assert left_at(curves[-1], medians_of(curves[:-1])) == theirs
