"""A record of the journal on one line for a person: prices, money, times and days as they are read elsewhere."""

from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from orchestrator.report.formats import dollars, exchange_time, points

_PRICES = frozenset(("entry", "exit", "price", "stop", "target", "close"))
_DISTANCES = frozenset(("stop_ticks", "target_ticks"))
_CENTS = frozenset(
    ("best_day", "cash", "commission", "costs", "day_floor", "equity", "floor", "gross", "pnl", "risk", "slippage")
)
_FIRST = ("number", "reason", "outcome", "code", "action", "status", "quantity", "price", "entry", "exit")
_NAMES = frozenset({"order", "order_id", "proposal", "prompt", "run", "odds_milli", "execution", "ambiguous"})
"""Only a program compares these; what is ambiguous is among the limits of the report."""
_WORDS = {
    "entry_ns": "entered",
    "exit_ns": "left",
    "pnl": "net",
    "stop_ticks": "stop distance",
    "target_ticks": "target distance",
    "ts_event_ns": "at",
    "wild": "bars in the wild state",
}
_EPOCH = date(1970, 1, 1)


def record_in_words(payload: Mapping[str, Any], tick: Decimal) -> str:
    """The plain fields of a record side by side, what a person looks for first.

    Args:
        payload: as it was recorded: prices and distances in ticks, money in cents, times in nanoseconds UTC.
        tick: points of a tick.
    """
    known = {**payload, "outcome": payload["outcome"]["kind"]} if "outcome" in payload else payload
    order = [key for key in _FIRST if key in known] + [key for key in known if key not in _FIRST]
    told = [(key, known[key]) for key in order if key not in _NAMES and isinstance(known[key], int | str)]
    return ", ".join(f"{_name(key)} {_value(key, value, tick)}" for key, value in told if value != "")


def _name(key: str) -> str:
    return _WORDS.get(key, key.removesuffix("_ns").replace("_", " "))


def _value(key: str, value: int | str, tick: Decimal) -> str:
    """``value`` in the unit of its field."""
    if isinstance(value, str):
        return value.replace("_", " ")
    if key == "session":
        return (_EPOCH + timedelta(value)).isoformat()
    if key.endswith("_ns"):
        return f"{exchange_time(value)} ET"
    if key in _CENTS:
        return dollars(value)
    if key in _PRICES:
        return points(value, tick)
    return f"{value:,}" + (" ticks" if key in _DISTANCES else "")
