"""A breaker: after repeated failures it stops asking for a while, then lets one probe through at a time.

Pure: the caller brings the time, in seconds of a monotonic clock.
"""

from typing import Literal, NamedTuple

Admission = Literal["asked", "probe", "refused"]


class Breaker(NamedTuple):
    """How many failures in a row, since when nobody is asked, and whether a probe is under way."""

    failures_to_open: int
    cooldown_s: float
    failures: int = 0
    opened_s: float | None = None
    probing: bool = False

    def admission(self, now_s: float) -> Admission:
        """Whether the engine may be asked: closed, or cooled down and without a probe under way."""
        if self.opened_s is None:
            return "asked"
        return "probe" if not self.probing and now_s - self.opened_s >= self.cooldown_s else "refused"

    def after_admission(self, admission: Admission) -> "Breaker":
        """Half-open while a probe is under way."""
        return self._replace(probing=True) if admission == "probe" else self

    def after_success(self) -> "Breaker":
        """Closed, with nothing counted."""
        return self._replace(failures=0, opened_s=None, probing=False)

    def after_failure(self, now_s: float, admission: Admission) -> "Breaker":
        """One failure more; open from ``now_s`` on once there are enough. A failed probe opens it again.

        Who was asked before it opened and fails after it adds nothing.
        """
        if self.opened_s is not None and admission != "probe":
            return self
        failures = self.failures + 1
        opened_s = now_s if failures >= self.failures_to_open else None
        return self._replace(failures=failures, opened_s=opened_s, probing=False)

    def after_nothing(self, admission: Admission) -> "Breaker":
        """As before, for a question that was cancelled: the next probe is free."""
        return self._replace(probing=False) if admission == "probe" else self
