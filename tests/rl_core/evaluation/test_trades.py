"""The list of trades as a file: what stands in a row, and that it is the same in both kinds of file."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rl_core.evaluation.trades import Trades, trades_from, write_trades
from rl_core.market.types import STOP, TARGET
from tests.rl_core.markets import quiet_bars
from trigate.errors import ConfigError

BARS = quiet_bars(1)  # 18:00 New York time of Sunday 17 November 2024 on; ticks of 0.25
ROWS = [
    (20_045, 1, 29, 930, 80_001, 935, 79_970, STOP, -46_790, 43_500),
    (20_045, 2, -10, 940, 79_999, 940 + 2, 79_909, TARGET, 43_800, 15_000),
]


def test_what_a_trade_held_and_came_to_follows_from_its_row() -> None:
    """Decided at the close of 930, bought in 931 and sold in 935: five bars."""
    trades = trades_from(ROWS)

    assert trades.side.tolist() == [1, -1] and trades.bars_held.tolist() == [5, 2]
    np.testing.assert_allclose(trades.r, [-46_790 / 43_500, 43_800 / 15_000])
    assert [len(column) for column in trades_from([])] == [0] * len(Trades._fields)


@pytest.mark.parametrize("name", ["trades.csv", "trades.parquet"])
def test_a_file_holds_one_row_a_trade_in_points_and_utc(tmp_path: Path, name: str) -> None:
    write_trades(tmp_path / name, trades_from(ROWS), BARS)

    table = pd.read_csv(tmp_path / name) if name.endswith("csv") else pd.read_parquet(tmp_path / name)
    first = table.iloc[0]
    assert len(table) == 2 and table["number"].tolist() == [1, 2] and table["attempt"].tolist() == [1, 2]
    assert (first["session"], first["quantity"], first["reason"]) == ("2024-11-18", 29, "stop")
    assert (first["entry_price"], first["exit_price"]) == (20_000.25, 19_992.5)
    assert pd.Timestamp(first["entry_time"]) == pd.Timestamp(BARS.ts_event_ns[931], tz="UTC")
    assert pd.Timestamp(first["exit_time"]) == pd.Timestamp(BARS.ts_event_ns[935], tz="UTC")
    assert (first["pnl_cents"], first["risk_cents"]) == (-46_790, 43_500)
    assert first["r"] == pytest.approx(-46_790 / 43_500)


def test_a_file_of_no_trades_has_its_columns(tmp_path: Path) -> None:
    write_trades(tmp_path / "none.csv", trades_from([]), BARS)

    assert (tmp_path / "none.csv").read_text().startswith("number,attempt,session,quantity,entry_time,")


def test_a_name_that_says_no_kind_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\.parquet or \.csv"):
        write_trades(tmp_path / "trades.xlsx", trades_from(ROWS), BARS)

    assert list(tmp_path.iterdir()) == []
