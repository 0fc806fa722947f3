"""A trader's own entries, with stops and targets at prices, through a broker: the trades of the run without one."""

from pathlib import Path

import numpy as np
import pytest

from orchestrator.journal.journal import read_journal
from orchestrator.journal.lines import Record
from orchestrator.report.account_book import account_book, trades_of
from orchestrator.report.reconciliation import reconcile
from orchestrator.run.folder import RunFolder
from orchestrator.run.replay import replay_run
from rl_core.bars.read import read_bars
from rl_core.exchange.instruments import instrument
from rl_core.features.market_view import view_of
from rl_core.trading.setup import TradingConfig, compile_trading
from tests.orchestrator.played_files import FileWorld, play_file
from tests.orchestrator.sent_runs import THEIRS

EVERY = 9  # bars between two entries


@pytest.fixture(scope="module")
def priced(file_world: FileWorld, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Entries with both legs at prices, one of them, or none; every fourth is passed by the slippage of its fill."""
    bars = read_bars(file_world.bars)
    trading = compile_trading(TradingConfig(), bars.instrument)
    rows = ["time,side,stop,target,stop_points"]
    for n, bar in enumerate(np.flatnonzero(view_of(bars, trading.pack, trading.hours).hours.entry_open)[::EVERY]):
        side, time, close = (1 if n % 2 else -1), np.datetime64(int(bars.ts_event_ns[bar]), "ns"), bars.close[bar] / 4
        near, far = (close - side * 0.25, close + side * 0.25, ""), (close - side * 9, close + side * 20, "")
        legs = (close - side * 9, "", ""), ("", "", "12.5"), near, far
        rows.append(",".join(map(str, (f"{time}Z", "long" if side > 0 else "short", *legs[n % 4]))))
    path = tmp_path_factory.mktemp("priced") / "mine.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def played(world: FileWorld, runs: Path, priced: Path, **settings: object) -> RunFolder:
    """Of the entries, without a gate."""
    given: dict[str, object] = {"entries": priced, "gate": {"engine": "off"}, "max_entries_per_session": 30}
    return play_file(world, runs, **{**given, **settings})


def ours(run: RunFolder) -> list[tuple[str, dict[str, object]]]:
    """What a run without a broker records, too, without the names of the run's own orders."""
    found = [record for record in read_journal(run.journal) if record.type not in (*THEIRS, "run")]
    unnamed = ("order", "order_id", "proposal")
    return [(each.type, {key: what for key, what in each.payload.items() if key not in unnamed}) for each in found]


@pytest.mark.parametrize("costs", [{}, {"volume_share": "0.002"}], ids=["whole", "thin market"])
def test_every_record_is_that_of_the_run_without_a_broker(
    file_world: FileWorld, memory: Path, priced: Path, costs: dict[str, str]
) -> None:
    """Trades, and entries that are cancelled because the market has passed a price of theirs; stopped on the way."""
    account = {"costs": costs}
    computed = played(file_world, memory / "computed", priced, trading=account)
    sent = played(file_world, memory / "sent", priced, trading=account, broker="simulated", stop_after=1500)
    sent = played(file_world, memory / "sent", priced, trading=account, broker="simulated")

    assert ours(sent) == ours(computed)
    codes = {content["code"] for kind, content in ours(sent) if kind == "cancelled"}
    assert codes == {"own_price_passed", *(["volume"] if costs else [])}
    legs = [content for kind, content in ours(sent) if kind == "intent" and "stop_price" in content]
    assert len(legs) > 10 and sum(kind == "trade" for kind, _ in ours(sent)) > 5
    assert replay_run(sent).difference == ""


def test_fills_in_parts_leave_such_legs_where_they_are(file_world: FileWorld, memory: Path, priced: Path) -> None:
    """Each part is a tick worse than the one before: legs at distances move with the mean, legs at prices do not."""
    run = played(file_world, memory, priced, broker="simulated", broker_parts=3, broker_parts_a_bar=1)

    found = list(read_journal(run.journal))
    book = account_book(found)
    assert [check.fault for check in reconcile(book, instrument("MNQ").tick_value)] == [""] * 4
    intents = {each.payload["order"]: each.payload for each in found if each.type == "intent"}
    stopped = [
        (each.payload["stop"], intents[name]["stop_price"])
        for name, each in ((open_order(found, each.number), each) for each in found if each.type == "mark")
        if each.payload["quantity"] and "stop_price" in intents[name]
    ]
    assert len(stopped) > 10 and all(stands == price for stands, price in stopped) and len(trades_of(book)) > 5


def open_order(found: list[Record], number: int) -> str:
    """Name of the order whose fill came last before a record."""
    return next(str(each.payload["order"]) for each in reversed(found[:number]) if each.type == "fill")
