"""Bars of one market: prices in integer ticks, times in UTC nanoseconds, checked when read."""

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet

from rl_core.bars_checks import check_interval, check_order, check_prices, check_shape, check_symbol, check_volume
from rl_core.bars_faults import Finding, refuse
from rl_core.bars_file import COMPRESSIONS, PRICE_COLUMNS, SYMBOL_COLUMN, RawColumns, read_columns
from rl_core.bars_times import read_times
from rl_core.instruments import INSTRUMENTS, Instrument, instrument

NS_PER_SECOND = 1_000_000_000
DEFAULT_MARKET = "NQ"


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


def read_bars(path: Path, *, market: str | None = None, interval_s: int = 60, timezone: str | None = None) -> Bars:
    """The bars of a csv, csv.gz, csv.zst or parquet file, all of it checked.

    Whether a bar lies in a session, a gap, or a splice of contracts is not asked here.

    Args:
        path: columns ``datetime``, ``ts_event`` or ``timestamp``, and ``open, high, low, close, volume``.
        market: symbol; else the one that the file is named after, else NQ with a note.
        interval_s: seconds a bar lasts.
        timezone: of times that state none.

    Raises:
        DataError: anything in the file is wrong; names the first fault and counts the others.
        ConfigError: no such market or zone is known.
    """
    named = market or market_of(path)
    contract = instrument(named or DEFAULT_MARKET)
    raw = read_columns(path)
    notes = raw.notes if named else (*raw.notes, f"the file's name states no market: {DEFAULT_MARKET} assumed")
    table, lines = raw.table, raw.lines
    prices = {name: check_prices(table[name], contract.tick_size, lines, name) for name in PRICE_COLUMNS}
    volume = check_volume(table["volume"], lines)
    findings = [finding for checked in (*prices.values(), volume) for finding in checked.findings]
    findings += raw.findings + check_shape(prices, lines)
    if SYMBOL_COLUMN in table.column_names:
        findings += check_symbol(table[SYMBOL_COLUMN], contract.symbol, lines)
    ts_event_ns = _times(raw, interval_s, timezone, findings)
    refuse(path, findings)
    opened, high, low, close = (prices[name].values.astype(np.int32) for name in PRICE_COLUMNS)
    return Bars(contract, interval_s, ts_event_ns, opened, high, low, close, volume.values, notes=notes)


def _times(raw: RawColumns, interval_s: int, timezone: str | None, findings: list[Finding]) -> npt.NDArray[np.int64]:
    """[T] start times; what is wrong with them is added to ``findings``, in order and interval of what is readable."""
    times = read_times(raw.table["time"], raw.lines, raw.time_column, timezone)
    findings += times.findings
    stamps, lines = times.ts_event_ns[times.readable], raw.lines[times.readable]
    if len(stamps):
        findings += check_order(stamps, lines, raw.time_column)
        findings += check_interval(stamps, interval_s, lines, raw.time_column)
    return times.ts_event_ns


def write_bars(bars: Bars, path: Path) -> None:
    """Write a csv, csv.gz, csv.zst or parquet file that ``read_bars`` reads back to the same digest."""
    numerator, denominator = bars.instrument.tick_size.as_integer_ratio()
    stamps = pa.array(bars.ts_event_ns).cast(pa.timestamp("ns", "UTC"))
    columns = {name: getattr(bars, name) * np.int64(numerator) / denominator for name in PRICE_COLUMNS}
    if path.suffix == ".parquet":
        pa_parquet.write_table(pa.table({"datetime": stamps, **columns, "volume": bars.volume}), str(path))
        return
    text = pc.strftime(stamps.cast(pa.timestamp("s", "UTC")), format="%Y-%m-%dT%H:%M:%SZ")
    table = pa.table({"datetime": text, **columns, "volume": bars.volume})
    with pa.output_stream(str(path), compression=COMPRESSIONS.get(path.suffix)) as stream:
        pa_csv.write_csv(table, stream, pa_csv.WriteOptions(quoting_style="none", quoting_header="none"))


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
