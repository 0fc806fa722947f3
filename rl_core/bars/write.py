"""Bars as a file that `read_bars` reads back to the same digest."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet

from rl_core.bars.bars import Bars
from rl_core.bars.columns import (
    LEFT_OUT_KEY,
    PRICE_COLUMNS,
    ROLL_COLUMN,
    WORLD_KEY,
)
from rl_core.bars.opening import COMPRESSIONS
from trigate.whole_files import whole_file


def write_bars(bars: Bars, path: Path) -> None:
    """Write a csv, csv.gz, csv.zst or parquet file, whole or not at all, that ``read_bars`` reads back alike.

    Only a parquet file also says which rows were left out, and that the bars are a synthetic market's if they are.

    Raises:
        ResourceError: the disk refuses it; what was there is as it was.
    """
    numerator, denominator = bars.instrument.tick_size.as_integer_ratio()
    stamps = pa.array(bars.ts_event_ns).cast(pa.timestamp("ns", "UTC"))
    columns = {name: getattr(bars, name) * np.int64(numerator) / denominator for name in PRICE_COLUMNS}
    columns["volume"] = bars.volume
    if bars.contract.any():
        columns[ROLL_COLUMN] = bars.contract
    if path.suffix == ".parquet":
        metadata = {LEFT_OUT_KEY: json.dumps(bars.left_out)} if bars.left_out else {}
        metadata |= {WORLD_KEY: bars.world} if bars.world else {}
        table = pa.table({"datetime": stamps, **columns}, metadata=metadata or None)
        with whole_file(path) as scratch:
            pa_parquet.write_table(table, scratch)
        return
    text = pc.strftime(stamps.cast(pa.timestamp("s", "UTC")), format="%Y-%m-%dT%H:%M:%SZ")
    table = pa.table({"datetime": text, **columns})
    options = pa_csv.WriteOptions(quoting_style="none", quoting_header="none")
    compression = COMPRESSIONS.get(path.suffix)
    with whole_file(path) as scratch, pa.output_stream(str(scratch), compression=compression) as stream:
        pa_csv.write_csv(table, stream, options)
