"""A proposal in plain words, computed here so that a model has nothing to calculate.

Blind by construction: a proposal holds no date, symbol or price level.
"""

from typing import NamedTuple

from llm_gate.contract import EntryProposal

FLAT_TREND_ATR_MILLI = 500
"""Moves smaller than half an ATR are called flat."""


class Facts(NamedTuple):
    """One short phrase for each fact; every prompt takes its fields from these."""

    order: str
    bracket: str
    trend_15: str
    trend_60: str
    trend_240: str
    volatility: str
    regime: str
    session_part: str
    time_left: str
    room: str
    streak: str


def facts_of(proposal: EntryProposal) -> Facts:
    """What there is to say about ``proposal``."""
    context = proposal.context
    return Facts(
        order=f"{proposal.side.upper()} {proposal.quantity}",
        bracket=f"stop {_milli(proposal.stop_atr_milli)} ATR, target {_milli(proposal.target_atr_milli)} ATR",
        trend_15=_stance(proposal.side, context.trend_15_atr_milli),
        trend_60=_stance(proposal.side, context.trend_60_atr_milli),
        trend_240=_stance(proposal.side, context.trend_240_atr_milli),
        volatility=_volatility(context.volatility_percentile),
        regime=context.regime.replace("/", ", ").replace("_", " "),
        session_part=context.session_part,
        time_left=_time_left(context.minutes_to_flat),
        room=_room(context.room_to_floor_risks_milli),
        streak=_streak(context.losing_streak),
    )


def _stance(side: str, trend_atr_milli: int) -> str:
    if abs(trend_atr_milli) < FLAT_TREND_ATR_MILLI:
        return "flat"
    return "with" if (trend_atr_milli > 0) == (side == "buy") else "AGAINST"


def _volatility(percentile: int) -> str:
    words = ((25, "low"), (75, "normal"), (90, "high"))
    word = next((word for limit, word in words if percentile <= limit), "VERY HIGH")
    return f"{word} (percentile {percentile})"


def _time_left(minutes: int) -> str:
    word = "LITTLE" if minutes <= 45 else "enough"
    return f"{word} ({minutes} minutes)"


def _room(risks_milli: int) -> str:
    words = ((2000, "NEAR THE FLOOR"), (4000, "narrow"))
    word = next((word for limit, word in words if risks_milli < limit), "ample")
    return f"{word} ({_milli(risks_milli)} times the risk)"


def _streak(losses: int) -> str:
    return "none" if losses == 0 else str(losses)


def _milli(value: int) -> str:
    """``value`` thousandths with one decimal, rounded toward minus infinity so that a limit is never overstated."""
    tenths = value // 100
    sign = "-" if tenths < 0 else ""
    return f"{sign}{abs(tenths) // 10}.{abs(tenths) % 10}"
