"""A proposal as numbers of about one unit each, from the side of the trade: what a regression reads.

The same facts as `llm_gate.prompts.facts` tells in words, and as blind: no date, symbol or price level.
"""

from math import log

from llm_gate.contract import EntryProposal

FLAT_TREND_ATR_MILLI = 500
MOST_ATR = 10.0
"""A trend or distance beyond this counts as this."""
MOST_RISKS = 20.0
DIRECTIONS, VOLATILITIES = ("down", "flat", "up"), ("calm", "normal", "wild")
PARTS = ("opening", "midday", "afternoon", "late")


def numbers_of(proposal: EntryProposal) -> dict[str, float]:
    """Each number by its name, in an order that does not change; what is not known is 0, the middle."""
    context, side = proposal.context, 1 if proposal.side == "buy" else -1
    ahead, behind = context.to_session_high_atr_milli, context.to_session_low_atr_milli
    if side < 0:
        ahead, behind = behind, ahead
    direction, volatility = context.regime.split("/")
    numbers = {
        "buy": float(side > 0),
        "volatility_percentile": context.volatility_percentile / 50 - 1,
        "volume_percentile": 0.0 if context.volume_percentile is None else context.volume_percentile / 50 - 1,
        "to_extreme_ahead": _atr(ahead),
        "to_extreme_behind": _atr(behind),
        "vwap": _atr(None if context.vwap_atr_milli is None else side * context.vwap_atr_milli),
        "wild": 0.0 if context.wild_percent is None else context.wild_percent / 100,
        "hours_to_flat": min(context.minutes_to_flat, 480) / 60,
        "room_risks": min(max(context.room_to_floor_risks_milli / 1000, 0.0), MOST_RISKS) / 5,
        "losing_streak": log(1 + context.losing_streak),
        "with_regime": float(side * (DIRECTIONS.index(direction) - 1)),
        "regime_volatility": float(VOLATILITIES.index(volatility) - 1),
    }
    trends = {15: context.trend_15_atr_milli, 60: context.trend_60_atr_milli, 240: context.trend_240_atr_milli}
    for minutes, trend in trends.items():
        numbers[f"trend_{minutes}"] = _atr(side * trend)
        numbers[f"with_trend_{minutes}"] = float(side * _sign(trend))
    for part in PARTS[1:]:
        numbers[part] = float(context.session_part == part)
    return numbers


def _sign(trend_atr_milli: int) -> int:
    """1 up, -1 down, 0 for what is told as flat."""
    if abs(trend_atr_milli) < FLAT_TREND_ATR_MILLI:
        return 0
    return 1 if trend_atr_milli > 0 else -1


def _atr(milli: int | None) -> float:
    return 0.0 if milli is None else min(max(milli / 1000, -MOST_ATR), MOST_ATR) / 3
