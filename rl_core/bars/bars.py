"""Bars of one market: prices in integer ticks, times in UTC nanoseconds."""

import hashlib
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from rl_core.exchange.instruments import Instrument

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
    left_out: tuple[str, ...] = field(default=(), compare=False)
    """Rows that a person left out: line, time and reason; a parquet file keeps them."""
    contract: npt.NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    """[T] contract rolls between the first bar and this one; 0 without."""
    lines: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64), compare=False)
    """[T] where each bar stood in the file it was read from; empty if in none."""

    world: str = field(default="", compare=False)
    """JSON declaration of the synthetic market that these bars are; empty for a market's. A parquet file keeps it."""

    def __post_init__(self) -> None:
        if not len(self.contract):
            object.__setattr__(self, "contract", np.zeros(len(self.ts_event_ns), np.int32))
        columns = (self.open, self.high, self.low, self.close, self.contract)
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
            left_out=self.left_out,
            contract=self.contract[part] - self.contract[part][:1],
            lines=self.lines[part],
            world=self.world,
        )


def _digest(bars: Bars) -> str:
    digest = hashlib.sha256(f"{bars.instrument.symbol} {bars.interval_s} {len(bars)}\n".encode())
    for column in (bars.ts_event_ns, bars.open, bars.high, bars.low, bars.close, bars.volume):
        digest.update(np.ascontiguousarray(column, "<i8").tobytes())
    if bars.contract.any():
        digest.update(np.ascontiguousarray(bars.contract, "<i8").tobytes())
    return digest.hexdigest()
