"""Databento's binary files (.dbn, .dbn.zst) as columns, by the optional package ``databento-dbn``."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from rl_core.bars.faults import refuse, whole_file
from trigate.errors import ConfigError

EXTRA = "databento-dbn"
CHUNK_BYTES = 1 << 20


def read_dbn(path: Path) -> pa.Table:
    """The bars of a DBN file: ``time`` (ns), prices as integers of 1e-9, ``volume`` and ``symbol``.

    Raises:
        ConfigError: the package that reads such files is not installed.
        DataError: the file cannot be decoded, or holds no bars.
    """
    try:
        dbn: Any = importlib.import_module("databento_dbn")
    except ImportError as error:
        raise ConfigError(
            f"{path}: DBN files need the package {EXTRA}: pip install 'trigate[dbn]', or export the file as csv"
        ) from error
    try:
        bars, names = _decoded(path, dbn)
    except (dbn.DBNError, OSError, pa.ArrowException, ValueError) as error:
        remedy = "Download the file again"
        refuse(path, [whole_file("unreadable_dbn", error, "a whole DBN file was expected", remedy)])
        raise
    if not bars:
        remedy = "Download the schema ohlcv-1m or ohlcv-1s"
        refuse(path, [whole_file("no_rows", "no bars", "records of an ohlcv schema were expected", remedy)])
    columns: dict[str, Any] = {"time": np.array([bar.ts_event for bar in bars], np.int64)}
    for name in ("open", "high", "low", "close", "volume"):
        columns[name] = np.array([getattr(bar, name) for bar in bars], np.int64)
    columns["symbol"] = [names.get(bar.instrument_id, str(bar.instrument_id)) for bar in bars]
    return pa.table(columns)


def _decoded(path: Path, dbn: Any) -> tuple[list[Any], dict[int, str]]:
    """The bars in order, and the symbol of each instrument number."""
    bars: list[Any] = []
    names: dict[int, str] = {}
    for record in _records(path, dbn.DBNDecoder()):
        if isinstance(record, dbn.OHLCVMsg):
            bars.append(record)
        names |= _named_by(record, dbn)
    return bars, names


def _named_by(record: Any, dbn: Any) -> dict[int, str]:
    """The instrument numbers that a record gives symbols to; {} for most."""
    if isinstance(record, dbn.Metadata):
        return _names(record.mappings)
    return {record.instrument_id: record.stype_out_symbol} if isinstance(record, dbn.SymbolMappingMsg) else {}


def _records(path: Path, decoder: Any) -> Iterator[Any]:
    """Everything in the file, in order."""
    with pa.input_stream(str(path), compression="zstd" if path.suffix == ".zst" else None) as stream:
        while chunk := stream.read(CHUNK_BYTES):
            decoder.write(chunk)
            yield from decoder.decode()


def _names(mappings: Any) -> dict[int, str]:
    """Symbols by instrument number; a mapping of the metadata leads from a symbol to numbers or the other way."""
    pairs = [(str(name), str(interval["symbol"])) for name, intervals in mappings.items() for interval in intervals]
    forward = {int(number): name for name, number in pairs if number.isdigit()}
    backward = {int(number): name for number, name in pairs if number.isdigit() and not name.isdigit()}
    return forward | backward
