"""The rules of an account over whole days, in runs of the real trader and journal."""

from pathlib import Path

import numpy as np
import pytest

from orchestrator.messaging.catalogue import Bar
from orchestrator.report.account_book import AccountBook, read_account_book, trades_of
from orchestrator.report.attempts import attempt_days
from orchestrator.report.report import report_on
from rl_core.contract import BUY
from rl_core.exchange.instruments import instrument
from rl_core.rules.pack import read_rule_pack
from rl_core.trading.setup import TradingConfig, compile_trading
from tests.orchestrator.played_runs import DAYS, ROOT, every_tenth_minute, play, walk

FOLDER = ROOT / "configs" / "rules"
WEEK = (*DAYS, "2024-06-06", "2024-06-07", "2024-06-10", "2024-06-11")


def account(name: str, **changes: object) -> TradingConfig:
    return TradingConfig.model_validate({"rules": str(FOLDER / name), **changes})


def own(folder: Path, *changes: tuple[str, str], more: str = "") -> TradingConfig:
    """The plain pack, changed."""
    text = (FOLDER / "plain_static.toml").read_text(encoding="utf-8") + more
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    (folder / "own.toml").write_text(text, encoding="utf-8")
    return TradingConfig.model_validate({"rules": str(folder / "own.toml")})


def run(folder: Path, trading: TradingConfig, days: tuple[str, ...] = DAYS, seed: int = 3) -> AccountBook:
    bars = walk(days, seed)
    return read_account_book(play(folder, bars, every_tenth_minute(bars), account=trading))


def statuses(book: AccountBook) -> list[str]:
    return [event.payload["status"] for event in book.of("account_ended")]


def gapped_run(folder: Path, action: str) -> AccountBook:
    """29 MNQ bought at the open of bar 11 meet a gap of 100 ticks at bar 12: some 1,450 lost, of 600 a day."""
    table = f'\n[daily_loss]\namount = 600\naction = "{action}"\n'
    far = (("amount = 2_000", "amount = 20_000"), ("floor = 48_000", "floor = 30_000"))
    bars = [bar if bar.seq < 12 else lowered(bar, 100) for bar in walk()]
    actions = {seq: action for seq, action in every_tenth_minute(bars).items() if seq > 0}
    return read_account_book(play(folder, bars, actions, account=own(folder, *far, more=table)))


def lowered(bar: Bar, ticks: int) -> Bar:
    return bar.model_copy(update={name: getattr(bar, name) - ticks for name in ("open", "high", "low", "close")})


def test_a_touched_daily_loss_stops_entries_for_the_day_and_the_next_day_trades_on(tmp_path: Path) -> None:
    book = gapped_run(tmp_path, "pause")

    (paused,) = (event for event in book.of("day_paused") if event.bar < 450)
    first_day_ends = 449
    entries = [event.bar for event in book.of("fill") if event.payload["reason"] == "entry"]
    reasons = [booked.trade.reason for booked in trades_of(book)]
    assert (paused.bar, reasons[0]) == (12, "daily_loss")
    assert paused.payload["cash"] <= paused.payload["day_floor"] == 4_940_000
    assert [bar for bar in entries if bar <= first_day_ends] == [11]
    assert [bar for bar in entries if bar > first_day_ends]
    assert paused.payload["attempt"] == 1 and "failed" not in statuses(book)


def test_a_daily_loss_that_fails_ends_the_attempt(tmp_path: Path) -> None:
    book = gapped_run(tmp_path, "fail")

    assert next(event.bar for event in book.of("account_ended")) == 12
    assert statuses(book)[0] == "failed"


def test_a_target_that_is_banked_too_early_passes_on_the_day_that_makes_the_count(tmp_path: Path) -> None:
    """The same bars: with one day asked for it passes on the second day, with three on the third."""
    ends = {}
    for count in (1, 3):
        folder = tmp_path / str(count)
        folder.mkdir()
        trading = own(folder, ("target = 3_000", "target = 500"), ("min = 0", f"min = {count}"))
        book = run(folder, trading)
        sessions = [event.payload["session"] for event in book.of("session_closed")]
        bar = next(event.bar for event in book.of("account_ended") if event.payload["status"] == "passed")
        ends[count] = sum(event.bar < bar for event in book.of("session_closed"))
        assert len(sessions) == 3
    assert ends[3] == 2 and ends[1] < 2


def test_an_entry_of_a_run_slips_by_the_minute_in_which_its_bar_begins(tmp_path: Path) -> None:
    """Bars 89 to 91 begin at 10:59 to 11:01; each is entered by a decision at the close before it."""
    slips = {}
    for seq in (89, 90, 91):
        folder, bars = tmp_path / str(seq), walk(DAYS[:1])
        folder.mkdir()
        costs = {"slippage_by_time": {"00:00": 1, "11:00": 3, "11:01": 5}}
        book = read_account_book(play(folder, bars, {seq - 1: BUY}, account=own(folder), costs=costs))
        (entry,) = (event.payload for event in book.of("fill") if event.payload["reason"] == "entry")
        slips[seq] = entry["price"] - bars[seq].open

    assert slips == {89: 1, 90: 3, 91: 5}


def test_an_attempt_out_of_calendar_days_expires_and_starts_over(tmp_path: Path) -> None:
    """Three calendar days from Monday on: Thursday and Tuesday open new accounts."""
    trading = own(tmp_path, ("min = 0", "min = 0\nmax = 3"), ("target = 3_000", "target = 90_000"))
    bars = walk(WEEK)
    book = read_account_book(play(tmp_path, bars, {}, account=trading))

    assert statuses(book) == ["expired", "expired"]
    opened = [bars[event.bar].ts_event_ns for event in book.of("account_opened")]
    assert [str(np.datetime64(ns, "ns"))[:10] for ns in opened] == [
        "2024-06-03",
        "2024-06-06",
        "2024-06-10",
    ]


def test_the_orders_of_a_funded_account_keep_to_its_tier(tmp_path: Path) -> None:
    """4.0 EOD PA: 2 minis until a day has closed 1,500 up; 29 contracts would fit the budget."""
    trading = account("apex_4_0.toml#50k-eod-pa")
    book = run(tmp_path, trading, WEEK)

    tiers = compile_trading(trading, instrument("NQ")).venue.rules.tiers
    closes = [(-1, 5_000_000), *((event.bar, event.payload["cash"]) for event in book.of("session_closed"))]
    met = set()
    for event in book.of("intent"):
        profit = [cash for bar, cash in closes if bar <= event.bar][-1] - 5_000_000
        minis = [tier.max_minis for tier in tiers if profit >= tier.from_profit or tier is tiers[0]][-1]
        met.add((minis, abs(event.payload["quantity"]) <= 10 * minis))
    assert met and all(kept for _, kept in met)
    assert (2, True) in met
    assert "passed" not in statuses(book)


def test_the_report_tells_days_best_day_and_status_of_every_attempt(tmp_path: Path) -> None:
    trading = account("apex_4_0.toml#50k-eod-pa")
    bars = walk(WEEK)
    folder = play(tmp_path, bars, every_tenth_minute(bars), account=trading)

    report_on(folder.path)
    book = read_account_book(folder)
    rows = attempt_days(book, read_rule_pack(trading.rules).compiled())
    text = (folder.path / "report.html").read_text(encoding="utf-8")

    by_day: dict[int, int] = {}
    for booked in trades_of(book):
        if booked.attempt == 1:
            day = booked.trade.exit_ns // (86_400 * 10**9)
            by_day[day] = by_day.get(day, 0) + booked.trade.pnl
    assert rows[0].traded == len(by_day)
    assert rows[0].best == max(0, *by_day.values())
    assert rows[0].profit == sum(by_day.values())
    assert "Attempts under the rules" in text and "The account has no target" in text


@pytest.mark.parametrize("name", ["apex_legacy.toml#100k-static-pa", "topstep_combine.toml#50k"])
def test_a_run_under_another_pack_reconciles(tmp_path: Path, name: str) -> None:
    bars = walk()
    folder = play(tmp_path, bars, every_tenth_minute(bars), account=account(name))

    assert report_on(folder.path)["books"] == "agree to the cent"
