"""Deadlines are total, however many waits share one."""

import math

import pytest

from orchestrator.clock import Deadline, MarketClock, Pace


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


def test_a_wall_clock_that_is_set_moves_no_time_of_the_market() -> None:
    """It is read once; three seconds later the market is three seconds further, whatever it says by then."""
    wall_ns, clock = [1_000_000_000_000], SimClock(100.0)
    market = MarketClock(monotonic=clock, wall_ns=lambda: wall_ns[0])

    wall_ns[0] -= 3_600_000_000_000
    clock.advance(3.0)

    assert market.now_ns() == 1_003_000_000_000
    assert market.seconds_since(1_001_000_000_000) == 2.0


def test_a_rehearsal_stands_still_until_it_begins_and_then_runs_faster() -> None:
    """From 50 s of the wall clock on, 700 seconds of the market in each of its own; lateness counts in the latter."""
    clock = SimClock(0.0)
    market = MarketClock(Pace(9_000_000_000, 50_000_000_000, 700.0), monotonic=clock, wall_ns=lambda: 40_000_000_000)

    assert market.now_ns() == 9_000_000_000
    clock.advance(12.0)

    assert market.now_ns() == 9_000_000_000 + 1_400_000_000_000
    assert market.seconds_since(9_000_000_000 + 700_000_000_000) == 1.0
