"""Time at the edge: deadlines on the monotonic clock; the wall clock is for telemetry only."""

import math
import time
from collections.abc import Callable

Clock = Callable[[], float]
"""Seconds that never run backwards, from an arbitrary start."""


class Deadline:
    """One total allowance of seconds, however many waits share it."""

    def __init__(self, seconds: float, clock: Clock = time.monotonic) -> None:
        """Start to count now.

        Raises:
            ValueError: ``seconds`` is negative or not finite.
        """
        if not (math.isfinite(seconds) and seconds >= 0):
            raise ValueError(f"a deadline needs a finite number of seconds from 0 up, not {seconds}")
        self._clock = clock
        self._end_s = clock() + seconds

    def remaining(self) -> float:
        """Seconds left, never below 0."""
        return max(0.0, self._end_s - self._clock())

    @property
    def expired(self) -> bool:
        """Whether nothing is left."""
        return self._clock() >= self._end_s


def wall_time_ns() -> int:
    """Nanoseconds UTC since 1970, for telemetry: nothing is ever decided by it."""
    return time.time_ns()
