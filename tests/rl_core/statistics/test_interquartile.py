"""The interquartile mean and its interval: by hand, and honest about a single seed."""

import numpy as np
import pytest

from rl_core.statistics.interquartile import aggregate, interquartile_mean


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
