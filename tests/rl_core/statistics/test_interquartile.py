"""The interquartile mean and its interval: by hand, and honest about a single seed."""

import numpy as np
import pytest

from rl_core.statistics.interquartile import aggregate, aggregate_means, interquartile_mean


def test_the_outer_quarters_do_not_count() -> None:
    """Of eight values the lowest two and the highest two go: (3 + 4 + 5 + 6) / 4."""
    assert interquartile_mean(np.array([-100.0, 2, 3, 4, 5, 6, 7, 1000])) == 4.5


def test_a_single_seed_has_no_interval_and_says_so() -> None:
    found = aggregate([[0.5]])

    assert (found.iqm, found.low, found.high, found.runs) == (0.5, None, None, 1)
    assert found.label == "+0.500 (a single seed, no interval)"


def test_two_equal_runs_leave_no_doubt() -> None:
    found = aggregate([[0.25, 0.25], [0.25, 0.25]])

    assert (found.iqm, found.low, found.high, found.tasks) == (0.25, 0.25, 0.25, 2)
    assert found.label == "+0.250 (+0.250 to +0.250, 2 seeds)"


def test_runs_are_drawn_within_their_task() -> None:
    """Two tasks far apart, each without spread: drawing across them would give other means than 5."""
    found = aggregate([[0.0] * 4, [10.0] * 4])

    assert (found.low, found.iqm, found.high) == (5.0, 5.0, 5.0)


def test_the_interval_holds_the_mean_and_repeats() -> None:
    found = aggregate([[0.0, 1.0, 2.0, 3.0, 4.0]])

    assert found == aggregate([[0.0, 1.0, 2.0, 3.0, 4.0]])
    assert found.low is not None and found.high is not None
    assert found.low < found.iqm < found.high and found.iqm == pytest.approx(2.0)


def test_luck_in_one_task_does_not_cancel_that_in_another() -> None:
    """Two runs of each of two tasks: a seed's means are 0.5 and 0.5, and yet another draw could have earned 0 or 1."""
    found = aggregate_means([[0.0, 1.0], [1.0, 0.0]], [1, 1])

    assert found.iqm == 0.5 and (found.runs, found.tasks) == (2, 2)
    assert found.low is not None and found.high is not None and found.low < 0.1 and found.high > 0.9


def test_tasks_weigh_as_they_are_told() -> None:
    """(3 x 1 + 1 x 5) / 4, without spread; and a single run has no interval."""
    found, single = aggregate_means([[1.0, 1.0], [5.0, 5.0]], [3, 1]), aggregate_means([[1.0], [5.0]], [3, 1])

    assert (found.iqm, found.low, found.high) == (2.0, 2.0, 2.0)
    assert (single.iqm, single.low) == (2.0, None)
