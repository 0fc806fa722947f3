"""A run whose fills read second bars: journalled whole, replayed without the feed, reported under every resolution."""

from pathlib import Path

import numpy as np

from orchestrator.messaging.catalogue import Bar, Second
from orchestrator.report.account_book import read_account_book, trades_of
from orchestrator.report.facts import facts_of
from orchestrator.report.report import report_on
from orchestrator.report.result import run_result
from orchestrator.trader.events import bar_closed, seconds_from
from orchestrator.workers.feed import Feed
from rl_core.bars.bars import Bars
from rl_core.exchange.instruments import instrument
from rl_core.market import broker
from rl_core.market.fills import Venue
from rl_core.market.types import NEVER_LOCKS, PESSIMISTIC, SECONDS, STATIC, Account, BarPrices, Position, Rules, Terms
from tests.orchestrator.played_runs import every_tenth_minute, play, walk

BARS = walk()


def wild(bars: list[Bar]) -> list[Bar]:
    """Every seventh bar spans 120 ticks both ways, so that stop and target often lie in one minute."""
    far = 120
    return [
        bar.model_copy(update={"high": bar.high + far, "low": bar.low - far}) if bar.seq % 7 == 0 else bar
        for bar in bars
    ]


def test_the_broker_reads_the_seconds_only_where_the_venue_asks_and_they_add_up() -> None:
    """Long from 1000, stop 970, target 1090; the minute does both, its seconds the target first."""
    rules = Rules(5_000_000, 300_000, 250_000, STATIC, NEVER_LOCKS)
    venue = Venue(Terms(50, 60, 1), rules, SECONDS)
    state = broker.BrokerState(Account(5_000_000, 4_750_000), Position(2, 1000, 970, 1090, 30, 0, 4))
    minute = BarPrices(1050, 1091, 960, 960)
    seconds = [BarPrices(p, p, p, p) for p in (1050, 1091, 960)]

    def reason(venue: Venue, seconds: list[BarPrices]) -> str:
        return broker.meet(state, minute, 0, venue, seconds).fills[0].reason

    assert reason(venue, seconds) == "target"
    assert reason(venue, seconds[:2]) == reason(venue, []) == "stop"
    assert reason(venue._replace(resolution=PESSIMISTIC), seconds) == "stop"


def test_the_journal_holds_the_seconds_in_ticks_from_the_bars_open() -> None:
    bar = Bar(seq=0, ts_event_ns=0, open=80_000, high=80_004, low=79_999, close=80_003, volume=9)
    seconds = (Second(0, 80_000, 80_000, 79_999, 79_999), Second(59, 80_002, 80_004, 80_002, 80_003))

    record = bar_closed(bar, "d", seconds).payload

    assert record["frame"] == [[0, 0, 0, -1, -1], [59, 2, 4, 2, 3]]
    assert seconds_from(record) == seconds
    assert "frame" not in bar_closed(bar, "d").payload
    assert seconds_from(bar_closed(bar, "d").payload) is None


def test_the_feeds_frame_is_what_the_bar_adds_up_from() -> None:
    ts = np.array([0, 30], np.int64) * 10**9
    columns = [np.array(column, np.int32) for column in ((10, 12), (12, 15), (9, 11), (11, 14))]
    seconds = Bars(instrument("NQ"), 1, ts, *columns, np.ones(2, np.int64))

    counts, frame = Feed._seconds_of(np.array([0], np.int64), seconds)

    assert counts.tolist() == [2]
    assert frame.tolist() == [[0, 10, 12, 9, 11], [30, 12, 15, 11, 14]]


def test_a_run_continued_from_its_journal_has_the_same_bytes(tmp_path: Path) -> None:
    bars, actions = wild(BARS), every_tenth_minute(BARS)
    for name in ("once", "twice"):
        (tmp_path / name).mkdir()

    whole = play(tmp_path / "once", bars, actions, resolution="seconds")
    play(tmp_path / "twice", bars, actions, resolution="seconds", stop_after=500)
    continued = play(tmp_path / "twice", bars, actions, resolution="seconds")

    assert continued.journal.read_bytes() == whole.journal.read_bytes()


def test_seconds_change_fills_and_the_report_shows_all_three_resolutions(tmp_path: Path) -> None:
    bars, actions = wild(BARS), every_tenth_minute(BARS)
    outcomes = {}
    for resolution in ("pessimistic", "seconds"):
        (tmp_path / resolution).mkdir()
        folder = play(tmp_path / resolution, bars, actions, resolution=resolution)
        book = read_account_book(folder)
        outcomes[resolution] = [booked.trade.reason for booked in trades_of(book)]
        found = run_result(facts_of(folder.path, folder.manifest()), book)
        names = [group.name for group in found.resolutions]
        assert names == ["pessimistic", "adaptive"] + ["seconds"] * (resolution == "seconds")
        assert found.without_seconds == 0 and found.reconciled
        report_on(folder.path)
        page = (folder.path / "report.html").read_text()
        assert ("this run had none" in page) == (resolution == "pessimistic")

    assert outcomes["seconds"].count("target") > outcomes["pessimistic"].count("target")


def test_seconds_that_do_not_add_up_are_counted(tmp_path: Path) -> None:
    folder = play(tmp_path, BARS, every_tenth_minute(BARS), resolution="seconds")
    book = read_account_book(folder)
    facts = facts_of(folder.path, folder.manifest())
    assert book.seconds is not None
    cut = book._replace(seconds=tuple(() if n % 3 == 0 else rows for n, rows in enumerate(book.seconds)))

    marks = [event.bar for event in book.of("mark")]

    assert run_result(facts, book).without_seconds == 0
    assert run_result(facts, cut).without_seconds == sum(bar % 3 == 0 for bar in marks)


def test_a_bars_volume_caps_an_entry_and_the_rest_is_cancelled(tmp_path: Path) -> None:
    """Volume 100 and a share of a tenth: 10 of 29 MNQ; one trade for each order, booked to the cent."""
    folder = play(tmp_path, BARS, every_tenth_minute(BARS), costs={"volume_share": "0.1"})
    book = read_account_book(folder)

    sizes = {abs(booked.trade.quantity) for booked in trades_of(book)}
    cancelled = [event.payload["code"] for event in book.of("cancelled")]

    assert sizes == {10}
    assert cancelled.count("volume") == len([e for e in book.of("fill") if e.payload["reason"] == "entry"])
    assert run_result(facts_of(folder.path, folder.manifest()), book).reconciled


def test_slippage_by_the_clock_and_by_atr_reaches_every_fill(tmp_path: Path) -> None:
    """ATR 20: a tenth is 2 ticks; from 12:00 on 5. An entry is that far from the bar's open."""
    costs = {"slippage_atr_share": "0.1", "slippage_by_time": {"09:00": 1, "12:00": 5}}
    folder = play(tmp_path, BARS, every_tenth_minute(BARS), costs=costs)
    book = read_account_book(folder)
    opened = dict(zip(book.bars.ts_event_ns.tolist(), book.bars.open.tolist(), strict=True))
    noon = 16 * 3600 * 10**9  # 12:00 in New York in June, UTC

    fills = [e.payload for e in book.of("fill") if e.payload["reason"] in ("entry", "flatten")]
    late = [fill["ts_event_ns"] % (86_400 * 10**9) >= noon for fill in fills]
    lost = {(after, abs(f["price"] - opened[f["ts_event_ns"]])) for after, f in zip(late, fills, strict=True)}

    assert lost == {(False, 2), (True, 5)}
