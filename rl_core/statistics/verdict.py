"""PASS, NOT PROVEN or FAIL: computed from the evidence, never written."""

from typing import Literal, NamedTuple

from rl_core.statistics.bootstrap import Interval

MIN_SESSIONS = 60
MIN_TRADES = 100

Word = Literal["PASS", "NOT PROVEN", "FAIL"]


class Verdict(NamedTuple):
    """The word and every reason for it."""

    word: Word
    reasons: tuple[str, ...]


def verdict_on(expectancy: Interval | None, *, synthetic: bool) -> Verdict:
    """What the trades of one out-of-sample run prove about an edge after costs.

    Args:
        expectancy: mean R a trade with its interval; None without a trade.
        synthetic: the bars are a generated world, which can prove nothing about a market.
    """
    if expectancy is None:
        return Verdict("NOT PROVEN", ("no trade was closed",))
    if expectancy.high < 0 and not synthetic:
        return Verdict("FAIL", (f"the whole interval of mean R lies below zero (up to {expectancy.high:+.3f})",))
    doubts = []
    if synthetic:
        doubts.append("the bars are a synthetic world: its edge was planted")
    if expectancy.low <= 0:
        doubts.append(f"the interval of mean R reaches down to {expectancy.low:+.3f}")
    if expectancy.sessions < MIN_SESSIONS:
        doubts.append(f"{expectancy.sessions} sessions with trades, fewer than {MIN_SESSIONS}")
    if expectancy.trades < MIN_TRADES:
        doubts.append(f"{expectancy.trades} trades, fewer than {MIN_TRADES}")
    if doubts:
        return Verdict("NOT PROVEN", tuple(doubts))
    return Verdict("PASS", (f"the interval of mean R starts at {expectancy.low:+.3f}",))
