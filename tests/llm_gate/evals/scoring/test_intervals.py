"""Percentiles of a resampling, and when there are none to be had."""

import numpy as np
import pytest

from llm_gate.evals.scoring.intervals import Figure, Floats, Resamples, block_weights, figure, mean_of


def counting(weights: Floats) -> Floats:
    """A metric whose value is 50 and whose hundred resamples come to 0, 1, 2 ... 100."""
    return np.concatenate([[50.0], np.arange(len(weights) - 1, dtype=np.float64)])


def drawn(rows: int) -> Resamples:
    """``rows`` draws of twenty groups of one value, enough for the percentile interval."""
    return Resamples(np.ones((rows, 20)), np.arange(20))


@pytest.mark.parametrize(("level", "low", "high"), [(0.95, 2.5, 97.5), (0.9, 5.0, 95.0), (0.5, 25.0, 75.0)])
def test_the_interval_leaves_as_much_out_on_either_side(level: float, low: float, high: float) -> None:
    assert figure(counting, drawn(102), level=level) == (50.0, pytest.approx(low), pytest.approx(high), 20)


def test_the_default_level_is_95_percent() -> None:
    assert figure(counting, drawn(102))[1:3] == (pytest.approx(2.5), pytest.approx(97.5))


@pytest.mark.parametrize(("known", "has_interval"), [(50, False), (51, True)])
def test_more_than_half_of_the_resamples_must_say_something(known: int, has_interval: bool) -> None:
    def partly(weights: Floats) -> Floats:
        values = np.full(len(weights), np.nan)
        values[: known + 1] = 1.0
        return values

    found = figure(partly, drawn(101))

    assert (found.value, found.low is not None) == (1.0, has_interval)


def test_a_metric_that_cannot_say_has_no_value() -> None:
    found = figure(lambda weights: np.full(len(weights), np.nan), drawn(101))

    assert found == Figure(None, rows=20)


def test_a_group_is_drawn_whole_and_the_mean_is_over_what_was_drawn() -> None:
    """Groups of 1 and 3 values: a resample of twice the second holds six of them, and its mean divides by six."""
    weights = block_weights(["a", "b", "b", "b"], resamples=200).weights
    means = mean_of([8.0, 0.0, 0.0, 0.0])(weights)

    assert {tuple(row) for row in weights[1:].tolist()} == {(0, 2, 2, 2), (1, 1, 1, 1), (2, 0, 0, 0)}
    assert set(np.unique(means)) == {0.0, 2.0, 8.0}
