"""Arrow columns become the arrays that pyarrow's own conversion makes, without the pandas that it loads."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pa_parquet
import pytest

from rl_core.bars.arrow_columns import as_numpy, is_filled

ROOT = Path(__file__).parents[3]
CSV = "ts_event,open,high,low,close,volume,symbol\n" + "".join(
    f"2025-03-18T14:{minute:02}:00Z,100.25,101.00,100.00,100.50,7,NQM5\n" for minute in range(30)
)


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1.5, -2.0, 3.25]),
        pa.array([1, -2, 2**62], pa.int64()),
        pa.array([1, -2, 3], pa.int32()),
        pa.array([0, 255], pa.uint8()),
        pa.array([1, -2, 3], pa.int16()),  # of no plain type: pyarrow's own conversion
        pa.array([True, False, True, True]),
        pa.array([], pa.float64()),
        pa.array([], pa.bool_()),
        pa.array(["a", "b"]),
    ],
    ids=lambda column: f"{column.type} {len(column)}",
)
def test_values_are_those_of_pyarrows_own_conversion(column: pa.Array) -> None:
    for given in (column, column[1:], pa.chunked_array([column[:1], column[1:]]), pa.chunked_array([column])):
        ours, theirs = as_numpy(given), np.asarray(given)

        assert ours.dtype == theirs.dtype and ours.tolist() == theirs.tolist()


@pytest.mark.parametrize(
    ("column", "missing", "values"),
    [
        (pa.array([1.5, None]), -1.0, [1.5, -1.0]),
        (pa.array([None, 4], pa.int64()), 0, [0, 4]),
        (pa.array([True, None, False]), False, [True, False, False]),
    ],
)
def test_what_is_missing_has_the_value_that_was_asked_for(
    column: pa.Array, missing: object, values: list[object]
) -> None:
    assert as_numpy(column, missing).tolist() == values


def test_texts_are_filled_where_they_hold_more_than_blanks() -> None:
    assert is_filled(pa.array(["a", "", "  ", None, "\u3000", " b "])).tolist() == [
        True,
        False,
        False,
        False,
        False,
        True,
    ]


@pytest.mark.parametrize("name", ["NQ.csv", "NQ.parquet"])
def test_bars_are_read_without_pandas(name: str, tmp_path: Path) -> None:
    """It costs a process a third of a second before the first bar."""
    (tmp_path / "NQ.csv").write_text(CSV)
    ours = (
        "from rl_core.bars.read import read_bars; from rl_core.bars.write import write_bars; from pathlib import Path"
    )
    write = f"{ours}; write_bars(read_bars(Path('NQ.csv')), Path('NQ.parquet'))"
    read = f"{ours}; import sys; print(len(read_bars(Path({name!r})).open), 'pandas' in sys.modules)"

    for script, printed in ((write, ""), (read, "30 False\n")):
        line = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {script}"]
        done = subprocess.run(line, capture_output=True, text=True, cwd=tmp_path, timeout=60)
        assert (done.stdout, done.returncode) == (printed, 0), done.stderr
    assert pa_parquet.read_table(tmp_path / "NQ.parquet").num_rows == 30
