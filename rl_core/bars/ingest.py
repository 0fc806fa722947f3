"""One series out of a vendor's file that holds every expiry and spread of a product.

Calendar spreads are left out: their prices are differences of a few points, or none of the market at all. Of the
outrights the most traded one is the front, and the file changes to a later expiry when that one trades more.
"""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rl_core.bars.bars import Bars
from rl_core.bars.choices import Roll, RollSchedule
from rl_core.bars.closed_hours import closed_faults
from rl_core.bars.columns import SYMBOL_COLUMN, RawColumns, read_columns
from rl_core.bars.end_stamps import end_stamp_faults
from rl_core.bars.faults import RowFault, always, in_header, refuse
from rl_core.bars.layouts import Stamp, layout_named
from rl_core.bars.numbers import check_interval
from rl_core.bars.plausibility import Prices, check_frozen, check_splices
from rl_core.bars.read import arrow_faults, clock_of, layout_notes, market_of, parse_columns
from rl_core.bars.symbols import is_spread, outright
from rl_core.bars.times import Clock
from rl_core.exchange.calendar import Calendar
from rl_core.exchange.instruments import INSTRUMENTS, Instrument, instrument
from trigate.errors import ConfigError

Lines = npt.NDArray[np.int64]


class Ingested(NamedTuple):
    """One series out of many contracts."""

    bars: Bars
    schedule: RollSchedule
    rows: int
    """In the vendor's file."""
    contracts: tuple[str, ...]
    """Outrights, in order of expiry."""
    spread_rows: int


class _Contract(NamedTuple):
    symbol: str
    expiry: tuple[int, int]  # year, month
    prices: Prices
    lines: Lines
    session: npt.NDArray[np.int32]


def ingest(
    path: Path,
    *,
    market: str | None = None,
    interval_s: int = 60,
    timezone: str | None = None,
    stamp: Stamp | None = None,
    layout: str | None = None,
) -> Ingested:
    """The front contract's bars, with unadjusted prices.

    The front is kept until a later expiry traded more in a session; from the next session on that one is the front, and
    never an earlier one again. So a roll is known before the session that it opens, and no session mixes contracts.

    Args:
        path: vendor csv or parquet with a ``symbol`` column.
        market: root symbol; else the one in the file's name, else that of the first outright.
        interval_s: seconds a bar lasts.
        timezone: of times that state none; else the one that the vendor documents.
        stamp: whether times mark the start or the end of their bar; else what the vendor documents, else the start.
        layout: how the file is written (`rl_core.bars.layouts`); else its first line tells.

    Raises:
        DataError: a row is wrong, a symbol is unknown, or no outright is left.
        ConfigError: the market is not known.
    """
    raw = read_columns(path, None if layout is None else layout_named(layout))
    clock = clock_of(raw.layout, timezone, stamp)
    if SYMBOL_COLUMN not in raw.table.column_names:
        remedy = "Use rl-core data check for a file of one contract"
        refuse(
            path, [in_header("missing_column", SYMBOL_COLUMN, "none", "a vendor's symbol column was expected", remedy)]
        )
    text = pc.fill_null(pc.cast(raw.table[SYMBOL_COLUMN], pa.string()), "").combine_chunks()
    names = [str(name) for name in pc.unique(text).to_pylist()]
    traded = _instrument(market or market_of(path), names)
    outrights = [name for name in names if not is_spread(name)]
    refuse(path, _unknown(outrights, text, traded, raw.lines))
    with arrow_faults(path):
        contracts = [_parsed(path, raw, text, name, (traded, interval_s, clock)) for name in outrights]
    contracts.sort(key=lambda contract: contract.expiry)
    bars, schedule = _stitched(path, contracts, traded, interval_s)
    spread_rows = len(text) - sum(len(contract.lines) for contract in contracts)
    symbols = tuple(contract.symbol for contract in contracts)
    note = f"{len(symbols)} outrights, {spread_rows:,} spread rows left out, {len(schedule.roll)} rolls by volume"
    return Ingested(
        replace(bars, notes=(*raw.notes, *layout_notes(raw.layout, timezone, stamp), note)),
        schedule,
        len(text),
        symbols,
        spread_rows,
    )


def _instrument(market: str | None, names: list[str]) -> Instrument:
    if market is None:
        first = next((known for name in names if (known := outright(name))), None)
        market = first.root if first else ""
        if market not in INSTRUMENTS:
            raise ConfigError(f"which market? no outright of a known one among {', '.join(names[:5])}; give --market")
    return instrument(market)


def _unknown(outrights: list[str], text: pa.StringArray, traded: Instrument, lines: Lines) -> list[RowFault]:
    """Symbols that are neither a spread nor an outright of the market."""
    faults = []
    for name in outrights:
        known = outright(name)
        if known is not None and known.root == traded.symbol:
            continue
        at = lines[np.asarray(pc.equal(text, name))]
        code = "unknown_symbol" if known is None else "other_market"
        expected = f"an outright such as {traded.symbol}H5, or a spread with '-', was expected"
        remedy = "Download one parent symbol, or name its market with --market"
        faults.append(
            RowFault(code=code, lines=at, column="symbol", value=always(name), expected=expected, remedy=remedy)
        )
    if not outrights:
        expected = f"at least one outright of {traded.symbol} was expected"
        faults.append(
            RowFault(
                code="no_outright",
                lines=lines[:1],
                column="symbol",
                value=lambda _k: text[0],
                expected=expected,
                remedy="Download outrights",
            )
        )
    return faults


def _parsed(
    path: Path, raw: RawColumns, text: pa.StringArray, name: str, asked: tuple[Instrument, int, Clock]
) -> _Contract:
    """The rows of one contract, checked as if they were a whole file."""
    mine = pc.equal(text, name)
    contract_columns = raw._replace(table=raw.table.filter(mine), lines=raw.lines[np.asarray(mine)])
    prices = parse_columns(path, contract_columns, *asked, part=True).prices
    calendar = Calendar.covering(int(prices.ts_event_ns[0]), int(prices.ts_event_ns[-1]), asked[0].calendar)
    located = calendar.locate(prices.ts_event_ns)
    refuse(path, end_stamp_faults(prices.ts_event_ns, contract_columns.lines, calendar, located))
    refuse(path, closed_faults(prices.ts_event_ns, located, contract_columns.lines, asked[0]))
    return _Contract(name, _expiry(name, int(prices.ts_event_ns[0])), prices, contract_columns.lines, located.session)


def _expiry(name: str, first_ns: int) -> tuple[int, int]:
    """Year and month of a contract that traded at ``first_ns``; one digit names the next such year."""
    known = outright(name)
    assert known is not None
    month, digits = known.month, known.digits
    if len(digits) == 2:
        return 2000 + int(digits), month
    year, now = (int(part) for part in str(np.datetime64(first_ns, "ns").astype("datetime64[M]")).split("-"))
    ahead = (int(digits) - year) % 10
    return year + (10 if ahead == 0 and month < now else ahead), month


def _stitched(path: Path, contracts: list[_Contract], traded: Instrument, interval_s: int) -> tuple[Bars, RollSchedule]:
    days = np.unique(np.concatenate([contract.session for contract in contracts]))
    volume = np.stack([_daily_volume(contract, days) for contract in contracts])
    last_day = np.array([contract.session[-1] for contract in contracts])
    front = _fronts(volume, last_day, days)
    parts = [np.isin(contract.session, days[front == k]) for k, contract in enumerate(contracts)]
    columns = [
        np.concatenate([getattr(contract.prices, name)[part] for contract, part in zip(contracts, parts, strict=True)])
        for name in Prices._fields
    ]
    index = np.concatenate([np.full(int(part.sum()), k) for k, part in enumerate(parts)])
    lines = np.concatenate([contract.lines[part] for contract, part in zip(contracts, parts, strict=True)])
    # Contracts stand in order of expiry and each one's sessions come after the last one's: already in order of time.
    prices = Prices(*columns)
    faults = check_interval(prices.ts_event_ns, interval_s, lines, "ts_event")
    refuse(path, faults + check_splices(prices, lines) + check_frozen(prices, lines))
    rolls = np.flatnonzero(np.diff(index)) + 1
    schedule = RollSchedule(
        first=contracts[int(index[0])].symbol,
        roll=tuple(_roll(int(prices.ts_event_ns[k]), int(index[k]), contracts, volume, (days, front)) for k in rolls),
    )
    opened, high, low, close = (column.astype(np.int32) for column in prices[1:5])
    count = np.cumsum(np.diff(index, prepend=index[:1]) != 0).astype(np.int32)
    bars = Bars(
        instrument=traded,
        interval_s=interval_s,
        ts_event_ns=prices.ts_event_ns,
        open=opened,
        high=high,
        low=low,
        close=close,
        volume=prices.volume,
        contract=count,
        lines=lines,
    )
    return bars, schedule


def _daily_volume(contract: _Contract, days: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    total = np.zeros(len(days), np.int64)
    np.add.at(total, np.searchsorted(days, contract.session), contract.prices.volume)
    return total


def _fronts(
    volume: npt.NDArray[np.int64], last_day: npt.NDArray[np.int32], days: npt.NDArray[np.int32]
) -> npt.NDArray[np.int64]:
    """Contract [D] of each session; ``volume`` [C, D] stands in order of expiry, ``last_day`` [C] ends a contract."""
    front = np.zeros(len(days), np.int64)
    front[0] = volume[:, 0].argmax()
    for day in range(1, len(days)):
        now = front[day - 1]
        later = now + 1 + np.flatnonzero(last_day[now + 1 :] >= days[day])
        over = last_day[now] < days[day]
        if len(later) and (over or volume[later, day - 1].max() > volume[now, day - 1]):
            now = later[volume[later, day - 1].argmax()]
        front[day] = now
    return front


def _roll(
    at_ns: int,
    new: int,
    contracts: list[_Contract],
    volume: npt.NDArray[np.int64],
    chosen: tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]],
) -> Roll:
    days, front = chosen  # [D] trade dates, [D] contract of each
    day = int(np.flatnonzero(front == new)[0])
    old = int(front[day - 1])
    volumes = f"{contracts[new].symbol} {volume[new, day - 1]:,}, {contracts[old].symbol} {volume[old, day - 1]:,}"
    return Roll(
        ts_event=f"{np.datetime64(at_ns, 'ns').astype('datetime64[s]')}Z",
        contract=contracts[new].symbol,
        source=f"volume of {np.datetime64(int(days[day - 1]), 'D')}: {volumes}",
    )
