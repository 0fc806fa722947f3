"""A trader's own entries: what a file may say, where it is refused, and how a bracket of one's own is filled."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rl_core.bars.times import Clock
from rl_core.evaluation.accounts import play_account
from rl_core.evaluation.entries_file import Entries, read_entries
from rl_core.evaluation.evaluate import Evaluation
from rl_core.evaluation.inputs import EvaluationInputs
from rl_core.evaluation.span import Span
from rl_core.features.market_view import MarketView
from rl_core.market.own_bracket import OwnBracket
from rl_core.market.types import STOP, TARGET, Bracket
from rl_core.trading.hours import EntryHours
from rl_core.trading.setup import Trading
from tests.rl_core.markets import MNQ, closing_at, legacy_pack, mnq_limits, mnq_venue, quiet_bars, seen, with_bar
from trigate.errors import DataError

QUIET = quiet_bars(2)  # closes at 20,000 points; stop 30 ticks, target 90
VIEW = seen(QUIET)
CLOCK = Clock("America/New_York")
DAY = "2024-11-19"  # of the last session


def read(folder: Path, *rows: str, header: str = "time,side,stop,target", clock: Clock = CLOCK) -> Entries:
    path = folder / "mine.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return read_entries(path, VIEW, clock)


def refusal(folder: Path, *rows: str, header: str = "time,side,stop,target") -> str:
    with pytest.raises(DataError) as caught:
        read(folder, *rows, header=header)
    return str(caught.value).replace(str(folder), "FOLDER")


def played(entries: Entries, view: MarketView = VIEW) -> Evaluation:
    trading = Trading(legacy_pack(), MNQ, mnq_venue(), mnq_limits(), EntryHours())
    first = int(np.searchsorted(view.located.session, view.located.session[-1]))
    return play_account("fresh", EvaluationInputs(entries.signals, view, trading, Span(first, len(view.bars))))


def test_a_row_is_decided_at_the_close_of_the_bar_that_it_names(tmp_path: Path) -> None:
    """The bar of 09:59 closes at 10:00. Prices: 10 points below and 20 above are 40 and 80 ticks."""
    at = closing_at(VIEW, "10:00")

    found = read(tmp_path, f"{DAY} 09:59,long,19990,20020", f"{DAY} 11:00,SELL,,")

    assert found.signals.bars.tolist() == [at, at + 61]
    assert found.signals.side[[at, at + 61]].tolist() == [1, -1]
    assert found.signals.brackets == {at: OwnBracket(Bracket(40, 80), 4 * 19_990, 4 * 20_020)}


def test_distances_are_from_the_fill_and_what_is_left_out_is_usual(tmp_path: Path) -> None:
    at = closing_at(VIEW, "10:00")

    one = read(tmp_path, f"{DAY} 09:59,1,5", header="time,side,stop_points")
    other = read(tmp_path, f"{DAY} 09:59,-1,5", header="time,side,target_points")

    assert one.signals.brackets == {at: OwnBracket(Bracket(20, 60))}
    assert other.signals.brackets == {at: OwnBracket(Bracket(30, 20))}


def test_stamps_of_an_end_and_parquet_say_the_same(tmp_path: Path) -> None:
    at = closing_at(VIEW, "10:00")
    table = pd.DataFrame({"Time": pd.to_datetime(["2024-11-19T14:59Z"]), "side": [-1], "stop": [20_010.0], "note": "x"})
    table.to_parquet(tmp_path / "mine.parquet")

    ends = read(tmp_path, f"{DAY} 10:00,sell,20010,", clock=Clock("America/New_York", "end"))
    columns = read_entries(tmp_path / "mine.parquet", VIEW, Clock())

    assert ends.signals.bars.tolist() == columns.signals.bars.tolist() == [at]
    assert ends.signals.brackets == columns.signals.brackets == {at: OwnBracket(Bracket(40, 120), 4 * 20_010)}
    assert columns.notes == ("ignored columns: note",)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (f"{DAY} 09:59:30,long,,", "mine.csv:3:time: no_bar: '2024-11-19 09:59:30' - the start of a minute bar"),
        ("2024-11-23 09:59,long,,", "mine.csv:3:time: no_bar: "),
        (f"{DAY} 08:00,long,,", "mine.csv:3:time: outside_hours: '2024-11-19 08:00' - a bar at whose close"),
        (f"{DAY} 09:59,up,,", "mine.csv:3:side: unknown_side: 'up' - long or short"),
        (f"{DAY} 09:59,long,20000,", "mine.csv:3:stop: wrong_side: '20000' - a stop below the close of its bar"),
        (f"{DAY} 09:59,short,19990,", "mine.csv:3:stop: wrong_side: '19990'"),
        (f"{DAY} 09:59,long,,19990", "mine.csv:3:target: wrong_side: '19990' - a target above the close"),
        (f"{DAY} 09:59,long,19990.1,", "mine.csv:3:stop: off_tick: '19990.1' - a multiple of the tick 0.25"),
        (f"{DAY} 09:59,long,near,", "mine.csv:3:stop: bad_number: 'near'"),
        (f"{DAY} 11:00,short,,", "mine.csv:3:time: doubled: '2024-11-19 11:00' - one entry a bar"),
        (f"{DAY} 09:59,long", "mine.csv:3: uneven_row: 'another number of columns' - 4 columns were expected"),
        ("yesterday,long,,", "mine.csv:3:time: bad_time: 'yesterday'"),
    ],
)
def test_a_row_that_can_be_no_entry_is_refused_by_its_place(tmp_path: Path, row: str, said: str) -> None:
    message = refusal(tmp_path, f"{DAY} 11:00,long,,", row)

    assert message.startswith(f"FOLDER/{said}"), message
    assert message.count(". ") >= 1, "a remedy follows"


@pytest.mark.parametrize(
    ("header", "row", "said"),
    [
        ("time,direction", "09:59,long", "missing_column"),
        ("time,side,stop_price", f"{DAY} 09:59,long,1", "unknown_column"),
        ("time,side,side", f"{DAY} 09:59,long,long", "duplicate_column"),
        ("time,side,stop,stop_points", f"{DAY} 09:59,long,19990,10", "given_twice"),
    ],
)
def test_a_header_that_could_be_misread_is_refused(tmp_path: Path, header: str, row: str, said: str) -> None:
    assert f": {said}: " in refusal(tmp_path, row, header=header)


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_a_file_with_other_separators_is_told_to_use_commas(tmp_path: Path, separator: str) -> None:
    message = refusal(tmp_path, f"{DAY} 09:59{separator}long", header=f"time{separator}side")

    assert "missing_column" in message and "Export the file with commas between the columns" in message


@pytest.mark.parametrize(("name", "said"), [("none.csv", "a file of entries"), ("rows.csv", "no_rows")])
def test_a_file_without_entries_is_refused(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "rows.csv").write_text("time,side\n")

    with pytest.raises(DataError, match=said):
        read_entries(tmp_path / name, VIEW, CLOCK)


def test_a_stop_price_stays_where_it_is_and_a_distance_moves_with_the_fill(tmp_path: Path) -> None:
    """Bought at 80,005 + 1 of slippage. The price of 79,980 is touched by the low of 79,979; 20 ticks below are not.

    The stop slips one tick: 79,979 - 80,006 = -27 ticks, of which 26 were at risk.
    """
    at = closing_at(VIEW, "10:00")
    view = seen(with_bar(with_bar(QUIET, at + 1, (5, 10, -4, 0)), at + 2, (0, 10, -21, 0)))

    price = played(read(tmp_path, f"{DAY} 09:59,long,19995,"), view).trades
    distance = played(read(tmp_path, f"{DAY} 09:59,long,6.5", header="time,side,stop_points"), view).trades

    for trades in (price, distance):
        assert trades.entry.tolist() == [80_006] and trades.reason.tolist() == [STOP]
        assert trades.exit.tolist() == [79_979] and trades.exit_bar.tolist() == [at + 2]
        risk = trades.risk_cents / trades.quantity / MNQ.tick_value
        assert risk.tolist() == [26]


def test_an_own_target_is_filled_at_its_price(tmp_path: Path) -> None:
    at = closing_at(VIEW, "10:00")
    view = seen(with_bar(QUIET, at + 3, (0, 25, 0, 0)))

    trades = played(read(tmp_path, f"{DAY} 09:59,long,19980,20006"), view).trades

    assert (trades.exit.tolist(), trades.reason.tolist(), trades.exit_bar.tolist()) == ([80_024], [TARGET], [at + 3])


def test_every_entry_has_a_fate(tmp_path: Path) -> None:
    """One trade from 10:00 to its flatten, one while it is open, one whose next bar opens beyond its stop."""
    at = closing_at(VIEW, "09:40")
    view = seen(with_bar(QUIET, at + 1, (-50, 0, -50, 0)))
    rows = [f"{DAY} 09:39,long,19990,", f"{DAY} 09:59,long,,", f"{DAY} 10:30,short,,", "2024-11-18 10:00,short,,"]
    huge = f"{DAY} 09:45,long,9000,"  # not one contract for $500

    fates = played(read(tmp_path, *rows, huge), view).entries

    assert fates == {"given": 5, "traded": 1, "outside_span": 1, "while_open": 1, "unfilled": 1, "denied": 1}
