"""A breaker: after repeated failures it stops asking for a while, then lets one probe through.

Pure: the caller brings the time, in seconds of a monotonic clock.
"""

from typing import NamedTuple


class Breaker(NamedTuple):
    """How many failures in a row, and since when nobody is asked."""

    failures_to_open: int
    cooldown_s: float
    failures: int = 0
    opened_s: float | None = None

    def allows(self, now_s: float) -> bool:
        """Whether the engine may be asked: closed, or cooled down and due for a probe."""
        return self.opened_s is None or now_s - self.opened_s >= self.cooldown_s

    def after_success(self) -> "Breaker":
        """Closed, with nothing counted."""
        return self._replace(failures=0, opened_s=None)

    def after_failure(self, now_s: float) -> "Breaker":
        """One failure more; open from ``now_s`` on once there are enough. A failed probe opens it again."""
        failures = self.failures + 1
        opened_s = now_s if failures >= self.failures_to_open else None
        return self._replace(failures=failures, opened_s=opened_s)
