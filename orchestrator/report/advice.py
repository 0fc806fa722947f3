"""A run in advisory mode in words for the person who trades by it: each plan, and what becomes of it."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from orchestrator.report.formats import EXCHANGE, dollars, points
from orchestrator.report.gate_words import ODDS, not_taken, odds_percent
from orchestrator.trader.events import Recorded
from rl_core.exchange.instruments import instrument

VERDICTS = {"approve": "approves", "resize": "shrinks it", "veto": "would veto", "gate_failed": "gave no verdict"}


class Adviser:
    """Turns the records of a run, as they are written, into lines for a person."""

    def __init__(self, market: str, contract: str) -> None:
        """``market`` is the contract of the bars, ``contract`` that which is traded."""
        self._tick, self._contract = instrument(market).tick_size, contract
        self._stop: int | None = None  # the book's, as far as it was told

    def lines(self, record: Recorded) -> Iterator[str]:
        """What a person should know of ``record``; nothing of most."""
        payload = record.payload
        match record.type:
            case "plan":
                yield from plan_in_words(payload, self._tick, self._contract)
                self._stop = None
            case "fill":
                yield self._filled(payload)
            case "flatten":
                yield "CLOSE  what is open at the market, at the next open"
            case "cancelled":
                yield f"OVER   the last plan is no more: {not_taken(payload['code'])}"
            case "managed" if payload["trailing"]:
                yield "STOP   it trails from now on"
            case "mark" if payload["quantity"]:
                yield from self._moved(payload["stop"])

    def _filled(self, fill: Mapping[str, Any]) -> str:
        price = points(fill["price"], self._tick)
        if fill["reason"] == "entry":
            return f"BOOK   took the plan at {price} (simulated)"
        self._stop = None
        return f"BOOK   left at {price} (simulated): {fill['reason'].replace('_', ' ')}"

    def _moved(self, stop: int) -> Iterator[str]:
        if self._stop is not None and stop != self._stop:
            yield f"STOP   move it to {points(stop, self._tick)}"
        self._stop = stop


def plan_in_words(plan: Mapping[str, Any], tick: Decimal, contract: str) -> list[str]:
    """Four lines: the entry, its bracket with what is at risk, why, and until when."""
    side, size = ("buy" if plan["quantity"] > 0 else "sell"), abs(plan["quantity"])
    stop, target = (points(plan[name], tick) for name in ("stop", "target"))
    apart = [points(plan[name], tick) for name in ("stop_ticks", "target_ticks")]
    close = points(plan["close"], tick)
    return [
        f"PLAN   {side} {size} {contract} at the market, at the next open; the last close is {close}",
        f"       stop {stop} and target {target}: {apart[0]} and {apart[1]} from your own fill; "
        f"{dollars(plan['risk'])} at risk, costs included",
        f"       why: {plan['regime']}, {plan['session_part']}; {_judged(plan)}",
        f"       until {until(plan)} ET; after that there is no plan",
    ]


def until(plan: Mapping[str, Any]) -> str:
    """The minute of the exchange's day at which the plan ends."""
    return datetime.fromtimestamp(plan["until_ns"] // 1_000_000_000, UTC).astimezone(EXCHANGE).strftime("%H:%M")


def _judged(plan: Mapping[str, Any]) -> str:
    if plan["verdict"] == "none":
        return "no gate was asked"
    said = f"the gate {VERDICTS[plan['verdict']]}"
    percents = odds_percent(plan["odds_milli"])
    if percents is None:
        return said
    return f"{said} ({', '.join(f'{name} {percent:.1f} %' for name, percent in zip(ODDS, percents, strict=True))})"
