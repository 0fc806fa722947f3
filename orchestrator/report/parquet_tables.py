"""The tables of a report as parquet files: prices in ticks, money in cents, times in ns UTC."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from orchestrator.report.account_book import BarColumns, BookedTrade, EquityPoint
from orchestrator.report.veto_ledger import LedgerRow
from orchestrator.run.folder import PRIVATE
from rl_core.trading.hours import MINUTE_NS
from trigate.whole_files import whole_file

INT, TEXT, REAL, YES = pa.int64(), pa.string(), pa.float64(), pa.bool_()
TRADES = {
    "number": INT,
    "attempt": INT,
    "order_id": TEXT,
    "quantity": INT,
    "entry_ns": INT,
    "entry": INT,
    "exit_ns": INT,
    "exit": INT,
    "reason": TEXT,
    "gross": INT,
    "costs": INT,
    "pnl": INT,
    "risk": INT,
    "ambiguous": YES,
    "r": REAL,
}
EQUITY = {
    "closed_ns": INT,
    "bar": INT,
    "attempt": INT,
    "equity": INT,
    "floor": INT,
    "quantity": INT,
    "kind": TEXT,
}
VETO_LEDGER = {
    "proposal_id": TEXT,
    "bar": INT,
    "closed_ns": INT,
    "outcome": TEXT,
    "reason": TEXT,
    "quantity": INT,
    "taken_quantity": INT,
    "stop_ticks": INT,
    "target_ticks": INT,
    "entry": INT,
    "exit_bar": INT,
    "exit": INT,
    "exit_reason": TEXT,
    "pnl": INT,
    "risk": INT,
    "r": REAL,
    "ambiguous": YES,
}


def write_trades(path: Path, trades: Iterable[BookedTrade]) -> None:
    """One row a trade."""
    rows = [{"number": b.number, "attempt": b.attempt, **b.trade._asdict(), "r": b.r} for b in trades]
    _write(path, rows, TRADES)


def write_equity(path: Path, points: Iterable[EquityPoint], bars: BarColumns) -> None:
    """One row wherever the account was recorded."""
    _write(path, [{**p._asdict(), "closed_ns": _closed_ns(bars, p.bar)} for p in points], EQUITY)


def write_veto_ledger(path: Path, ledger: Iterable[LedgerRow], bars: BarColumns) -> None:
    """One row a proposal, approved ones included for comparison; the fields of its end are null if it met none."""
    _write(path, [_ledger_row(row, bars) for row in ledger], VETO_LEDGER)


def _ledger_row(row: LedgerRow, bars: BarColumns) -> dict[str, Any]:
    proposal, result = row
    recorded = {} if proposal.decided is None else proposal.decided["outcome"]
    known = {
        "proposal_id": proposal.proposal_id,
        "bar": proposal.bar,
        "closed_ns": _closed_ns(bars, proposal.bar),
        "outcome": proposal.outcome,
        "reason": recorded.get("reason", recorded.get("cause", "")),
        "quantity": proposal.order.quantity,
        "taken_quantity": proposal.taken.quantity,
        "stop_ticks": proposal.order.stop_ticks,
        "target_ticks": proposal.order.target_ticks,
    }
    if result is None:
        return known
    end = result._asdict()
    return {**known, **end, "exit_reason": end["reason"], "reason": known["reason"], "r": result.r}


def _closed_ns(bars: BarColumns, bar: int) -> int:
    return int(bars.ts_event_ns[bar]) + MINUTE_NS


def _write(path: Path, rows: list[dict[str, Any]], schema: Mapping[str, Any]) -> None:
    """Write the table whole, or leave the one that was there.

    Raises:
        ResourceError: the disk failed.
    """
    columns = {name: [row.get(name) for row in rows] for name in schema}
    with whole_file(path, mode=PRIVATE) as scratch:
        pq.write_table(pa.table(columns, schema=pa.schema(list(schema.items()))), scratch)
