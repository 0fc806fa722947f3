"""PASS, NOT PROVEN, FAIL or IN SAMPLE for management: from what it made of entries beside their brackets left alone."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rl_core.statistics.bootstrap import Interval, session_block_bootstrap
from rl_core.statistics.criteria import ManagementCriteria
from rl_core.statistics.verdict import Verdict

Floats = npt.NDArray[np.float64]
SAME_R = 1e-6
"""Two results are equal that differ by less, in R and as a share: brackets alone come in single precision."""


class Managed(NamedTuple):
    """Trades that were managed, beside the same entries with their brackets left alone."""

    difference: Interval | None  # R a session more, paired by session; None without a trade
    trades: int
    r: float  # all of them as they were managed
    alone: float  # R of their brackets alone
    changed: int  # trades that earned more or less than their bracket alone


class ManagementVerdict(NamedTuple):
    """What is said of management, and what it rests on."""

    managed: Managed
    verdict: Verdict

    def row(self) -> dict[str, object]:
        """Plain values."""
        managed = self.managed
        difference = None if managed.difference is None else managed.difference._asdict()
        said = {"verdict": self.verdict.word, "reasons": list(self.verdict.reasons)}
        return {**said, **managed._asdict(), "difference": difference}

    @property
    def in_words(self) -> str:
        """In a line."""
        return f"{self.verdict.word}: {'; '.join(self.verdict.reasons)}"


def managed_beside_alone(
    r: Floats, alone: Floats, session: npt.NDArray[np.int64], *, level: float = ManagementCriteria().level
) -> Managed:
    """Trades [N] beside their brackets alone [N], added up by ``session`` [N]: one market day is one pair."""
    days, row = np.unique(session, return_inverse=True)
    difference = np.zeros(len(days))
    differs = ~np.isclose(r, alone, rtol=SAME_R, atol=SAME_R)
    np.add.at(difference, row, np.where(differs, r - alone, 0.0))
    interval = session_block_bootstrap(difference, days.astype(np.int64), level=level)
    return Managed(interval, len(r), float(r.sum()), float(alone.sum()), int(differs.sum()))


def verdict_on_management(
    managed: Managed, criteria: ManagementCriteria, *, in_sample: bool, doubts: tuple[str, ...]
) -> ManagementVerdict:
    """What the pairs prove about management; every reason names the criterion that decided.

    Args:
        managed: the trades and their brackets alone.
        criteria: what is needed.
        in_sample: bars were traded that the policy was trained on.
        doubts: about bars, policy and record; each keeps the word from being PASS or FAIL.
    """
    reasons = (*doubts, *_too_few(managed, criteria))
    if in_sample:
        said = ("bars that the policy or its phase 1 was trained on are included", *reasons)
        return ManagementVerdict(managed, Verdict("IN SAMPLE", said))
    bounds = None if managed.difference is None else managed.difference.bounds
    if managed.trades and not managed.changed:
        same = f"each of the {managed.trades} trades earned what its bracket alone earns: management changed no result"
        return ManagementVerdict(managed, Verdict("NOT PROVEN", (*reasons, same)))
    if bounds is None:
        return ManagementVerdict(managed, Verdict("NOT PROVEN", reasons))
    (low, high), bar = bounds, criteria.more_than_r
    told = f"{low:+.3f} to {high:+.3f} R a session more than the same entries with fixed brackets"
    named = f"management.more_than_r = {bar:g}"
    if low <= bar <= high:
        reasons = (*reasons, f"{told}: {named} lies within")
    if reasons:
        return ManagementVerdict(managed, Verdict("NOT PROVEN", reasons))
    if high < bar:
        return ManagementVerdict(managed, Verdict("FAIL", (f"{told}, all below {named}",)))
    return ManagementVerdict(managed, Verdict("PASS", (f"{told}, all above {named}",)))


def _too_few(managed: Managed, criteria: ManagementCriteria) -> tuple[str, ...]:
    if managed.difference is None:
        return ("no trade was closed",)
    reasons = () if managed.difference.bounds is not None else (managed.difference.missing,)
    if managed.difference.sessions < criteria.min_sessions:
        sessions = managed.difference.sessions
        reasons = (
            *reasons,
            f"{sessions} sessions with trades, under management.min_sessions = {criteria.min_sessions}",
        )
    if managed.trades < criteria.min_trades:
        reasons = (*reasons, f"{managed.trades} trades, under management.min_trades = {criteria.min_trades}")
    return reasons
