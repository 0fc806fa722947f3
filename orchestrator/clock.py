"""Time at the edge: deadlines on the monotonic clock; the wall clock for telemetry and the market's time of day."""

import math
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import NamedTuple

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
    """Nanoseconds UTC since 1970: for telemetry, and once at the start of a market's clock."""
    return time.time_ns()


def today() -> date:
    """The day in UTC, by the wall clock: rule packs are read on a day, and grow old."""
    return datetime.fromtimestamp(wall_time_ns() / 1e9, UTC).date()


class Pace(NamedTuple):
    """How a market's time runs beside the wall clock's: as fast, unless recorded bars are played faster."""

    market_ns: int = 0  # time of the market, UTC, at the wall time ``wall_ns``; before that it stands still
    wall_ns: int = 0
    speed: float = 1.0  # seconds of the market in one of the wall clock's


REAL_TIME = Pace()


class MarketClock:
    """What time it is in the market; read off the wall clock once, so that one that is set moves no deadline."""

    def __init__(
        self,
        pace: Pace = REAL_TIME,
        *,
        monotonic: Clock = time.monotonic,
        wall_ns: Callable[[], int] = wall_time_ns,
    ) -> None:
        """Start to follow ``monotonic`` from the wall time of now."""
        self._pace, self._monotonic = pace, monotonic
        self._began_s, self._began_ns = monotonic(), wall_ns() - pace.wall_ns

    def now_ns(self) -> int:
        """UTC in the market."""
        passed_ns = self._began_ns + int((self._monotonic() - self._began_s) * 1e9)
        return self._pace.market_ns + (int(passed_ns * self._pace.speed) if passed_ns > 0 else 0)

    def seconds_since(self, ts_ns: int) -> float:
        """Seconds of the wall clock since ``ts_ns`` in the market; below 0 if it is still to come."""
        return (self.now_ns() - ts_ns) / 1e9 / self._pace.speed
