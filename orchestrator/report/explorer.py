"""What the trade explorer of the page shows: every proposal with its trade, and the bars around them, packed small."""

import base64
import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from orchestrator.report import formats
from orchestrator.report.account_book import REJECTED, BarColumns, BookedProposal, BookedTrade
from orchestrator.report.exchange_clock import minutes_of_day
from orchestrator.report.gate_words import in_words, not_taken, odds_percent, reason_in_words
from orchestrator.report.result import RunResult
from orchestrator.report.trade_paths import TradePath, trade_paths
from orchestrator.report.veto_ledger import LedgerRow
from rl_core.market.types import NO_ORDER
from rl_core.trading.hours import MINUTE_NS

BEFORE, AFTER = 30, 15
"""Bars that are drawn before an entry is decided, and after its exit."""
MOST_UNTRADED = 3_000
"""So many proposals without a trade at most, or a gate that vetoes every minute of a year would fill the page."""
VERDICTS = {
    "approve": "approved",
    "resize": "shrunk",
    "veto": "vetoed",
    "gate_failed": "no verdict",
    "ungated": "not judged",
}


def rows_shown(result: RunResult, most: int = MOST_UNTRADED) -> list[LedgerRow]:
    """Every proposal that was traded and at most ``most`` of the others, spread evenly over the run."""
    traded = {booked.trade.order_id for booked in result.trades}
    others = [row.proposal.proposal_id for row in result.ledger if row.proposal.proposal_id not in traded]
    if len(others) > most:
        others = [others[n * len(others) // most] for n in range(most)]
    kept = traded.union(others)
    return [row for row in result.ledger if row.proposal.proposal_id in kept]


def explorer_data(result: RunResult, shown_rows: Sequence[LedgerRow]) -> str:
    """Rows and bars as JSON, gzipped, in base64; the page unpacks it."""
    paths = trade_paths(result.book, result.trades, result.proposals)
    trades = _by_order(result.trades)
    rows, windows = [], []
    for found in shown_rows:
        proposal = found.proposal
        for nth, booked in enumerate(trades.get(proposal.proposal_id, [None])):
            path = None if booked is None else paths[booked.number]
            rows.append(_row(result, found, booked, path) | ({"again": True} if nth else {}))
            windows.append((proposal.bar - BEFORE, _last_bar(found, path) + AFTER))
    shown = {
        "tick": float(result.facts.trading.contract.tick_size),
        "tickValue": result.facts.trading.venue.terms.tick_value / 100,
        "segments": [_segment(result.book.bars, first, stop) for first, stop in _merged(result, windows)],
        "rows": rows,
    }
    text = json.dumps(shown, separators=(",", ":"), ensure_ascii=False)
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


def _by_order(trades: Iterable[BookedTrade]) -> dict[str, list[BookedTrade | None]]:
    """The trades of each order, in their order: mostly one."""
    found: dict[str, list[BookedTrade | None]] = {}
    for booked in trades:
        found.setdefault(booked.trade.order_id, []).append(booked)
    return found


def unpacked(data: str) -> dict[str, Any]:
    """What `explorer_data` packed."""
    found: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(data)))
    return found


def _row(result: RunResult, found: LedgerRow, booked: BookedTrade | None, path: TradePath | None) -> dict[str, Any]:
    """One proposal; what has not happened is left out."""
    proposal, bars = found.proposal, result.book.bars
    decided = proposal.decided or {}
    row = {
        "bar": proposal.bar,
        "decided": formats.exchange_time(int(bars.ts_event_ns[proposal.bar]) + MINUTE_NS),
        "side": 1 if proposal.order.quantity > 0 else -1,
        "proposed": abs(proposal.order.quantity),
        "taken": 0 if proposal.taken == NO_ORDER else abs(proposal.taken.quantity),
        "stopTicks": proposal.order.stop_ticks,
        "targetTicks": proposal.order.target_ticks,
        "regime": str(proposal.context["regime"]),
        "part": str(proposal.context["session_part"]),
        "gate": VERDICTS[proposal.outcome],
        "odds": odds_percent(decided.get("odds_milli")),
        "reason": _reason(proposal),
        "ms": result.facts.latency_s.get(proposal.proposal_id),
        "told": in_words(proposal.context),
    }
    if row["ms"] is not None:
        row["ms"] = round(1000 * float(row["ms"]), 1)
    if found.result is not None:
        alone = found.result
        row["alone"] = {
            "r": round(alone.r, 3),
            "cents": alone.pnl,
            "exit": alone.reason.replace("_", " "),
            "entryBar": alone.entry_bar,
            "entryPrice": alone.entry,
            "exitBar": alone.exit_bar,
            "exitPrice": alone.exit,
        }
    if booked is not None and path is not None:
        row["trade"] = _trade(result, booked, path)
    return row


def _reason(proposal: BookedProposal) -> str:
    """Why the gate decided so, unless the broker had the last word; without a gate, why there was no order."""
    judged = reason_in_words((proposal.decided or {}).get("outcome", {}))
    return judged if judged and proposal.closed != REJECTED else not_taken(proposal.closed)


def _trade(result: RunResult, booked: BookedTrade, path: TradePath) -> dict[str, Any]:
    trade = booked.trade
    in_r = result.facts.trading.venue.terms.tick_value * abs(trade.quantity) / trade.risk
    return {
        "n": booked.number,
        "attempt": booked.attempt,
        "entryBar": path.entry_bar,
        "entryPrice": trade.entry,
        "exitBar": path.exit_bar,
        "exitPrice": trade.exit,
        "exitTime": formats.exchange_time(trade.exit_ns),
        "exit": trade.reason.replace("_", " ") + ("*" if trade.ambiguous else ""),
        "r": round(booked.r, 3),
        "cents": trade.pnl,
        "costs": trade.costs,
        "target": path.target,
        "stops": path.stops,
        "mae": path.adverse,
        "mfe": path.favourable,
        "maeR": round(path.adverse * in_r, 2),
        "mfeR": round(path.favourable * in_r, 2),
    }


def _last_bar(found: LedgerRow, path: TradePath | None) -> int:
    """The last bar that a row's drawing needs."""
    alone = found.proposal.bar if found.result is None else found.result.exit_bar
    return alone if path is None else max(path.exit_bar, alone if found.proposal.outcome == "resize" else 0)


def _merged(result: RunResult, windows: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The bars [first, stop) of every window, each bar once."""
    total, merged = len(result.book.bars.ts_event_ns), list[tuple[int, int]]()
    for first, last in sorted(windows):
        first, stop = max(0, first), min(total, last + 1)
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], stop))
        else:
            merged.append((first, stop))
    return merged


def _segment(bars: BarColumns, first: int, stop: int) -> Mapping[str, Any]:
    """Bars [first, stop): the minute of the ET day at which each starts, and its four prices by what they change by."""
    part = slice(first, stop)
    minute = minutes_of_day(bars.ts_event_ns[part])
    opened, high, low, close = (column[part] for column in (bars.open, bars.high, bars.low, bars.close))
    gap = np.append(opened[:1], opened[1:] - close[:-1])
    rows = np.stack([gap, high - np.maximum(opened, close), np.minimum(opened, close) - low, close - opened])
    return {"first": first, "minute": np.diff(minute, prepend=0).tolist(), "prices": rows.tolist()}
