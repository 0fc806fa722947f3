"""A small vendor file as a parent-symbol download is: front month, back months and calendar spreads in one."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from rl_core.exchange.calendar import NS_PER_MINUTE
from tests.rl_core.markets import random_bars, session_minutes

HEADER = "ts_event,rtype,publisher_id,instrument_id,open,high,low,close,volume,symbol"
CONTRACTS = {"NQZ4": 0, "NQH5": 850, "NQM5": 1700}  # ticks above the first
SPREADS = {"NQZ4-NQH5": 850, "NQH5-NQM5": 840}
HOUR = 60


class Vendor(NamedTuple):
    """The file, and what its front contract's bars are."""

    rows: list[str]
    front_close: np.ndarray  # [T] ticks, with the rolls below
    session_starts: list[int]  # bar at which each session begins


def vendor_rows(sessions: int = 6, fronts: tuple[int, ...] = (0, 0, 0, 1, 1, 1), seed: int = 0) -> Vendor:
    """An hour of each session; ``fronts`` [S] is the contract that trades most in it.

    Back months trade every third minute, spreads every fifth, with negative prices among them.
    """
    base = random_bars(seed, _hours(sessions).ravel())
    rows, closes = [], []
    for t, at in enumerate(base.ts_event_ns.tolist()):
        front = fronts[t // HOUR]
        stamp = f"{np.datetime64(at, 'ns')}Z"
        prices = np.array([base.open[t], base.high[t], base.low[t], base.close[t]])
        for number, (symbol, above) in enumerate(CONTRACTS.items()):
            if number == front or t % 3 == number:
                volume = 500 + t % 7 if number == front else 100
                rows.append(_row(stamp, number, (prices + above) / 4, volume, symbol))
        for number, (symbol, spread) in enumerate(SPREADS.items()):
            if t % 5 == number:
                level = np.array([spread, spread + 1, spread - 1, spread]) / 4 * (1 if t % 10 else -1)
                rows.append(_row(stamp, 10 + number, np.sort(level)[[1, 3, 0, 2]], 3, symbol))
        closes.append(int(base.close[t]) + list(CONTRACTS.values())[front])
    return Vendor(rows, np.array(closes), list(range(0, len(closes), HOUR)))


def write_vendor(path: Path, rows: list[str]) -> Path:
    """The rows under the vendor's header."""
    path.write_text("\n".join([HEADER, *rows]) + "\n")
    return path


def _hours(sessions: int) -> np.ndarray:
    minutes = session_minutes(sessions)
    starts = minutes[np.append(0, np.flatnonzero(np.diff(minutes) > NS_PER_MINUTE) + 1)]
    minute_ns: np.ndarray = starts[:, None] + (900 + np.arange(HOUR)) * NS_PER_MINUTE
    return minute_ns


def _row(stamp: str, number: int, prices: np.ndarray, volume: int, symbol: str) -> str:
    opened, high, low, close = prices.tolist()
    return f"{stamp},33,1,{42000 + number},{opened},{high},{low},{close},{volume},{symbol}"
