"""How the report writes money, prices, times and shares for a person."""

from collections.abc import Mapping
from decimal import Decimal
from zoneinfo import ZoneInfo

import pandas as pd

from orchestrator.report.attempts import WouldPass
from orchestrator.report.figures import AttemptFigures
from orchestrator.report.packs import AccountFit
from rl_core.evaluation.pack_odds import BLOCK
from rl_core.exchange.product_hours import EXCHANGE_ZONE
from rl_core.statistics.bootstrap import Interval
from rl_core.statistics.break_even import BreakEven

EXCHANGE = ZoneInfo(EXCHANGE_ZONE)
NONE = "–"


def dollars(cents: int | None) -> str:
    """Dollars with two decimals."""
    if cents is None:
        return NONE
    whole, rest = divmod(abs(cents), 100)
    return f"{'-' if cents < 0 else ''}${whole:,}.{rest:02d}"


def points(ticks: int, tick_size: Decimal) -> str:
    """A price in points."""
    return f"{ticks * tick_size:,}"


def exchange_time(ts_ns: int) -> str:
    """Date and minute, exchange time."""
    return pd.Timestamp(ts_ns, tz="UTC").tz_convert(EXCHANGE).strftime("%Y-%m-%d %H:%M")


def percent(share: float | None) -> str:
    """A share, one decimal."""
    return NONE if share is None else f"{100 * share:.1f} %"


def capitalize_first(text: str) -> str:
    """A sentence of words that began none; the rest stays as it is."""
    return text[:1].upper() + text[1:]


def plain_percent(share: float) -> str:
    """A share without decimals; what is nearly all or nothing is not rounded to it."""
    if 0 < share < 0.005:
        return "< 1 %"
    return "> 99 %" if 0.995 <= share < 1 else f"{100 * share:.0f} %"


def attempts_in_words(attempts: AttemptFigures) -> str:
    """How the accounts ended, and how many of the stranded ones by their gate."""
    by_the_gate = f" ({attempts.refused} by the gate's vetoes)" if attempts.refused else ""
    return (
        f"{attempts.passed} passed, {attempts.failed} failed, {attempts.stranded} stranded{by_the_gate}, "
        f"{attempts.expired} expired, {attempts.open} open"
    )


FIRST_ATTEMPT = {
    "active": "the first account was still open",
    "passed": "the first account passed",
    "failed": "the first account failed at a limit",
    "stranded": "the first account had no room left for a trade",
    "refused": "the gate vetoed every entry of the first account near its floor",
    "expired": "the first account ran out of days",
}


def passing_in_words(passing: WouldPass) -> str:
    """Whether the first account passed, and where the last one stands."""
    to_target = "no target" if passing.to_target is None else f"{dollars(passing.to_target)} to the target"
    stands = f"the last one has {to_target} and {dollars(passing.room)} of room"
    return f"{passing.word}: {FIRST_ATTEMPT[passing.status]}; {stands}"


def suits_in_words(fit: AccountFit | None) -> str:
    """Which account suits what was traded, if any."""
    if fit is None:
        return f"none can be named: entries in fewer than {BLOCK} sessions, or the run has not ended"
    return fit.sentence


def break_even_in_words(found: BreakEven | None) -> str:
    """What the figure of the break-even slippage says, of a profit or of a loss."""
    if found is None:
        return "no trade"
    a_side = dollars(abs(round(100 * found.commission_dollars)))
    if found.slippage_ticks < 0:
        return f"so much better each fill had to be, or commissions {a_side} a side lower, to lose nothing"
    return f"more a fill, or {a_side} more a side, and the profit is gone"


def share_of(part: int, whole: int) -> str:
    """A count's share of a whole."""
    return percent(part / whole) if whole else NONE


def in_r(value: float | None) -> str:
    """A result in units of risk."""
    return NONE if value is None else f"{value:+.3f} R"


def interval(interval_r: Interval | None) -> str:
    """The bounds of an interval, or why there are none."""
    if interval_r is None:
        return NONE
    if interval_r.bounds is None:
        return f"no interval: {interval_r.missing}"
    low, high = interval_r.bounds
    return f"{low:+.3f} to {high:+.3f}"


def number(value: float | None, digits: int = 2) -> str:
    """A plain number."""
    return NONE if value is None else f"{value:,.{digits}f}"


def refused_in_words(counts: Mapping[str, int]) -> str:
    """How many messages between the processes were dropped, and why, and how many strangers knocked."""
    dropped = {why: count for why, count in sorted(counts.items()) if why != "strangers"}
    whys = f" ({', '.join(f'{count} {why}' for why, count in dropped.items())})" if dropped else ""
    strangers = counts.get("strangers", 0)
    return f"{sum(dropped.values())} dropped{whys}, {strangers} stranger{'' if strangers == 1 else 's'} refused"
