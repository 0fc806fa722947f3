"""Deadlines are total, however many waits share one."""

import math

import pytest

from orchestrator.clock import Deadline


class SimClock:
    """A clock that only moves when it is told to: call it for the time in seconds."""

    def __init__(self, now_s: float) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        """The simulated time."""
        return self.now_s

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now_s += seconds


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
