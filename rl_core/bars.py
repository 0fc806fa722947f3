"""Bars of one market: prices in integer ticks, times in UTC nanoseconds, checked when read."""

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rl_core.instruments import INSTRUMENTS, Instrument

NS_PER_SECOND = 1_000_000_000


@dataclass(frozen=True)
class Bars:
    """``T`` bars in order of time, each stamped with its start."""

    instrument: Instrument
    interval_s: int
    """Seconds a bar lasts; intervals in which nothing traded have no bar."""
    ts_event_ns: npt.NDArray[np.int64]
    """[T] start of the bar, ns UTC, strictly increasing."""
    open: npt.NDArray[np.int32]
    """[T] ticks."""
    high: npt.NDArray[np.int32]
    """[T] ticks."""
    low: npt.NDArray[np.int32]
    """[T] ticks."""
    close: npt.NDArray[np.int32]
    """[T] ticks."""
    volume: npt.NDArray[np.int64]
    """[T] contracts."""
    digest: str = ""
    """SHA-256 of symbol, interval and arrays; the same for equal bars from any kind of file."""
    notes: tuple[str, ...] = field(default=(), compare=False)
    """What the reader ignored."""

    def __post_init__(self) -> None:
        columns = (self.open, self.high, self.low, self.close)
        assert all(len(column) == len(self.ts_event_ns) == len(self.volume) for column in columns)
        if not self.digest:
            object.__setattr__(self, "digest", _digest(self))

    def __len__(self) -> int:
        return len(self.ts_event_ns)

    def slice(self, start: int, stop: int) -> "Bars":
        """The bars ``start`` to ``stop`` (excluded), with a digest of their own."""
        part = np.s_[start:stop]
        return Bars(
            instrument=self.instrument,
            interval_s=self.interval_s,
            ts_event_ns=self.ts_event_ns[part],
            open=self.open[part],
            high=self.high[part],
            low=self.low[part],
            close=self.close[part],
            volume=self.volume[part],
            notes=self.notes,
        )


def market_of(path: Path) -> str | None:
    """The market named by a file called ``<MARKET>_D1M...`` or ``<MARKET>_D1S...``, if it is a known one."""
    matched = re.match(r"([A-Za-z0-9]+)_", path.name)
    symbol = matched.group(1).upper() if matched else ""
    return symbol if symbol in INSTRUMENTS else None


def _digest(bars: Bars) -> str:
    digest = hashlib.sha256(f"{bars.instrument.symbol} {bars.interval_s} {len(bars)}\n".encode())
    for column in (bars.ts_event_ns, bars.open, bars.high, bars.low, bars.close, bars.volume):
        digest.update(np.ascontiguousarray(column, "<i8").tobytes())
    return digest.hexdigest()
