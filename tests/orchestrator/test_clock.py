"""Deadlines are total, and simulated time moves only when told to."""

import math

import pytest

from orchestrator.clock import Deadline, SimClock


def test_several_waits_share_one_allowance() -> None:
    """2 s, of which 0.5 s and then 1 s go by: 0.5 s are left; 0 is the floor."""
    clock = SimClock(100.0)
    deadline = Deadline(2.0, clock)

    clock.advance(0.5)
    clock.advance(1.0)
    left, over = deadline.remaining(), deadline.expired
    clock.advance(5.0)

    assert (left, over) == (0.5, False)
    assert (deadline.remaining(), deadline.expired) == (0.0, True)


def test_a_deadline_of_nothing_has_expired() -> None:
    assert Deadline(0.0).expired


@pytest.mark.parametrize("seconds", [-1.0, math.nan, math.inf])
def test_a_deadline_is_finite_and_not_negative(seconds: float) -> None:
    with pytest.raises(ValueError, match="deadline"):
        Deadline(seconds)


@pytest.mark.parametrize("seconds", [-0.1, math.nan])
def test_time_never_runs_backwards(seconds: float) -> None:
    with pytest.raises(ValueError, match="advance"):
        SimClock().advance(seconds)
