"""Intervals from few blocks: how far resamples lie from the figure, in their own errors."""

import numpy as np
import pytest

from trigate.intervals import LEAST_ERROR_SHARE, studentised_interval, widened_level


def test_the_interval_turns_the_resamples_round_the_figure() -> None:
    """Resamples reach 2 errors below and 1 above: the truth may lie 1 error below, 2 above; an error is 2."""
    resampled, errors = np.linspace(-2.0, 1.0, 10_001), np.ones(10_001)

    low, high = studentised_interval(0.0, 2.0, resampled, errors, level=1.0)

    assert (low, high) == (-2.0, 4.0)


def test_a_resample_with_a_small_error_of_its_own_counts_for_more_but_not_without_end() -> None:
    resampled = np.array([-1.0, 1.0])

    small, none = (studentised_interval(0.0, 1.0, resampled, np.array([0.5, share]), level=1.0) for share in (0.5, 0.0))

    assert small == (-2.0, 2.0)
    assert none == (-1 / LEAST_ERROR_SHARE, 2.0)


def test_values_without_any_spread_have_an_interval_of_no_width() -> None:
    assert studentised_interval(0.5, 0.0, np.full(9, 0.5), np.zeros(9), level=0.95) == (0.5, 0.5)


@pytest.mark.parametrize(("groups", "level"), [(0, 0.95), (1, 0.95), (5, 0.99), (15, 1 - 0.05 / 15)])
def test_many_intervals_are_each_widened(groups: int, level: float) -> None:
    assert widened_level(0.95, groups) == pytest.approx(level)
