"""Files that are right but oddly written are read, and odd columns are faults of the file, never exceptions."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet
import pytest

from rl_core.bars.read import read_bars
from tests.rl_core.bars.test_read import GOOD, fault, written
from trigate.errors import ConfigError


@pytest.mark.parametrize("zone", ["America", "", "Mars/Olympus", "../etc/passwd"])
def test_what_is_no_zone_is_a_fault_of_one_line(tmp_path: Path, zone: str) -> None:
    """`America` is a folder of the zone database; an empty name is no zone either."""
    with pytest.raises(ConfigError, match="unknown time zone") as caught:
        read_bars(written(tmp_path, GOOD.replace("Z", "")), timezone=zone)

    assert "\n" not in str(caught.value)


def test_a_zone_that_says_nothing_is_said_to_be_unused(tmp_path: Path) -> None:
    zoned = read_bars(written(tmp_path, GOOD), timezone="America/New_York")
    naive = read_bars(written(tmp_path, GOOD.replace("Z", "")), timezone="UTC")

    assert zoned.notes == (
        "--timezone America/New_York is not used: the times of this file state their zone themselves",
    )
    assert naive.notes == () and naive.digest == zoned.digest


@pytest.mark.parametrize(
    ("column", "kind", "expected"),
    [
        ("volume", pa.bool_(), ":1:volume: bad_number"),
        ("close", pa.list_(pa.float64()), ":1:close: bad_number"),
        ("datetime", pa.list_(pa.int64()), ": unreadable_column"),
        ("datetime", pa.bool_(), ":1:datetime: bad_time"),
    ],
)
def test_a_column_of_another_kind_is_a_fault_of_the_file(
    tmp_path: Path, column: str, kind: pa.DataType, expected: str
) -> None:
    """No exception of the library that reads it escapes."""
    table = pa.table({"datetime": [1735828200], **{name: [21000.0] for name in ("open", "high", "low", "close")}})
    table = table.append_column("volume", pa.array([1]))
    strange = pa.array([[1]] if pa.types.is_list(kind) else [True], kind)
    table = table.set_column(table.column_names.index(column), column, strange)
    pa_parquet.write_table(table, tmp_path / "NQ_D1M.parquet")

    assert fault(tmp_path / "NQ_D1M.parquet").startswith(expected)


@pytest.mark.parametrize("how", ["ticks x 0.1", "fixed point x 1e-9"])
@pytest.mark.parametrize("name", ["GC_D1M.csv", "GC_D1M.parquet"])
def test_prices_that_were_computed_are_those_of_the_grid(tmp_path: Path, how: str, name: str) -> None:
    """20,458 ticks x 0.1 is 2045.8000000000002, and so is 2,045,800,000,000 x 1e-9."""
    ticks = 20_400 + np.arange(60) % 59
    real = ticks * 0.1 if how == "ticks x 0.1" else ticks * 100_000_000 * 1e-9
    assert (real != np.array([float(f"{tick / 10:.1f}") for tick in ticks])).any()
    stamps = [f"2024-01-16T12:{minute:02d}:00Z" for minute in range(60)]
    plain = [f"{tick // 10}.{tick % 10}" for tick in ticks]

    def table(prices: list[object]) -> pa.Table:
        columns = {name: prices for name in ("open", "high", "low", "close")}
        return pa.table({"datetime": stamps, **columns, "volume": [1 + k % 7 for k in range(60)]})

    if name.endswith(".parquet"):
        pa_parquet.write_table(table(real.tolist()), tmp_path / name)
    else:
        pa_csv.write_csv(table([repr(float(price)) for price in real]), tmp_path / name)
    pa_csv.write_csv(table(plain), tmp_path / "GC_plain.csv")

    assert read_bars(tmp_path / name).digest == read_bars(tmp_path / "GC_plain.csv").digest


@pytest.mark.parametrize("symbol", ["NQH4-NQM4", "NQH4 - NQM4", "NQ:BF H4-M4-U4", "UD:1V: VT 2024", "nqh4-nqm4"])
def test_a_spread_is_refused_wherever_a_symbol_stands(tmp_path: Path, symbol: str) -> None:
    text = "".join(f"{line},{symbol if k else 'symbol'}\n" for k, line in enumerate(GOOD.splitlines()))

    assert fault(written(tmp_path, text)).startswith(f":2:symbol: spread: '{symbol}'")


@pytest.mark.parametrize(
    "symbol", ["NQH4", "NQH24", "NQH2024", "NQ", "NQ.c.0", "NQ1!", "CME_MINI:NQ1!", "/NQ", "@NQ", "NQ 03-24"]
)
def test_one_contract_may_be_called_in_any_vendors_way(tmp_path: Path, symbol: str) -> None:
    text = "".join(f"{line},{symbol if k else 'symbol'}\n" for k, line in enumerate(GOOD.splitlines()))

    assert len(read_bars(written(tmp_path, text))) == 3


def test_a_contract_of_another_root_is_another_market(tmp_path: Path) -> None:
    """SIL is no SI, though its name begins so."""
    text = "".join(f"{line},{'SILH5' if k else 'symbol'}\n" for k, line in enumerate(GOOD.splitlines()))

    assert fault(written(tmp_path, text.replace("21", "31"), "SI_D1M.csv")).startswith(":2:symbol: other_market")


@pytest.mark.parametrize("rest", [b"\xff,1,1", b"21000,21000,21000,21000,\xe9"])
def test_a_byte_that_is_no_utf_8_is_named_with_its_line(
    tmp_path: Path, rest: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    """In a row of another length, which the csv reader hands back as text, as in a cell."""
    path = written(tmp_path, GOOD.encode() + b"2025-01-02T14:34:00Z," + rest + b"\n")

    assert fault(path).startswith(":5: not_utf8: 'byte 0x")
    assert capfd.readouterr().err == ""


def test_words_of_any_language_may_stand_in_a_column_that_is_not_needed(tmp_path: Path) -> None:
    text = "".join(f"{line},{'été' if k else 'note'}\n" for k, line in enumerate(GOOD.splitlines()))

    assert len(read_bars(written(tmp_path, text))) == 3
