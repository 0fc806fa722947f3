"""What the trade explorer holds is what the journal says: bars, fills, stop moves, excursions, the gate's words."""

from pathlib import Path

from played_runs import FIRST_MINUTE_UTC, every_tenth_minute, explored, play, walk

from llm_gate.contract import Approve, Outcome, Resize, Veto
from orchestrator.report.account_book import AccountBook, proposals_of, read_account_book, trades_of
from orchestrator.report.explorer import AFTER, BEFORE, explorer_data, rows_shown, unpacked
from orchestrator.report.facts import facts_of
from orchestrator.report.report import report_on
from orchestrator.report.result import run_result
from orchestrator.report.trade_paths import trade_paths

DAY = ("2024-06-03",)


def in_turn(number: int) -> Outcome:
    half = Resize.model_validate_json('{"size_factor": "0.5", "reason": "small"}')
    return (Approve(), Veto(reason="no"), half)[number % 3]


def test_every_proposal_has_a_row_and_every_trade_its_numbers(tmp_path: Path) -> None:
    bars = walk(DAY)
    folder = play(tmp_path, bars, every_tenth_minute(bars), in_turn, engine="vllm")
    report_on(folder.path)
    book = read_account_book(folder)

    rows = explored(folder)["rows"]

    proposals, trades = proposals_of(book), trades_of(book)
    assert [row["bar"] for row in rows] == [proposal.bar for proposal in proposals]
    assert {row["gate"] for row in rows} == {"approved", "vetoed", "shrunk"}
    assert all(("trade" in row) == (row["taken"] > 0) for row in rows)
    shown = {row["trade"]["n"]: row for row in rows if "trade" in row}
    assert len(shown) == len(trades) > 3
    for booked in trades:
        row, trade = shown[booked.number]["trade"], booked.trade
        assert (row["entryPrice"], row["exitPrice"], row["cents"]) == (trade.entry, trade.exit, trade.pnl)
        assert book.bars.ts_event_ns[[row["entryBar"], row["exitBar"]]].tolist() == [trade.entry_ns, trade.exit_ns]
        assert row["exit"].rstrip("*") == trade.reason.replace("_", " ")


def test_an_order_that_made_two_trades_has_a_row_for_each(tmp_path: Path) -> None:
    """A broker may fill a part of an entry after the first exit: that part is a trade of its own, of the same order."""
    bars = walk(DAY)
    folder = play(tmp_path, bars, every_tenth_minute(bars))
    result = run_result(facts_of(folder.path, folder.manifest()), read_account_book(folder))
    first, second, *later = result.trades
    stray = second._replace(trade=second.trade._replace(order_id=first.trade.order_id))
    of_one_order = result._replace(trades=[first, stray, *later])

    rows = unpacked(explorer_data(of_one_order, rows_shown(of_one_order)))["rows"]

    told = [row for row in rows if row["bar"] == rows[0]["bar"]]
    assert [row["trade"]["n"] for row in told] == [first.number, second.number]
    assert [row["trade"]["cents"] for row in told] == [first.trade.pnl, second.trade.pnl]
    assert [row.get("again", False) for row in told] == [False, True]
    assert sum("trade" in row for row in rows) == len(result.trades)
    assert sum(not row.get("again") for row in rows) == len(result.ledger)


def test_the_bars_around_each_row_come_out_as_they_went_in(tmp_path: Path) -> None:
    bars = walk(DAY)
    folder = play(tmp_path, bars, {60: 1, 200: 2})
    report_on(folder.path)
    found = explored(folder)

    out, minutes = {}, {}
    for segment in found["segments"]:
        close = minute = 0
        for n, (step, gap, above, below, body) in enumerate(zip(segment["minute"], *segment["prices"], strict=True)):
            minute, opened = minute + step, close + gap
            close = opened + body
            top, bottom = max(opened, close) + above, min(opened, close) - below
            out[segment["first"] + n] = (opened, top, bottom, close)
            minutes[segment["first"] + n] = minute

    assert all(out[n] == (bars[n].open, bars[n].high, bars[n].low, bars[n].close) for n in out)
    assert all(minutes[n] == FIRST_MINUTE_UTC - 4 * 60 + n for n in out), "minutes of the day in New York"
    first, second = found["rows"]
    needed = {n for row in (first, second) for n in range(row["bar"] - BEFORE, row["trade"]["exitBar"] + AFTER + 1)}
    assert set(out) == needed


def plain_excursions(book: AccountBook, number: int) -> tuple[int, int]:
    """Bar by bar, in plain Python: the last bar counts by its open and the exit alone."""
    trade = trades_of(book)[number].trade
    side = 1 if trade.quantity > 0 else -1
    ts = book.bars.ts_event_ns.tolist()
    behind = ahead = 0
    for bar in range(ts.index(trade.entry_ns), ts.index(trade.exit_ns) + 1):
        last, first = ts[bar] == trade.exit_ns, ts[bar] == trade.entry_ns
        prices = [int(book.bars.high[bar]), int(book.bars.low[bar])]
        if last and trade.reason != "session_end":
            prices = [trade.exit] if first else [int(book.bars.open[bar]), trade.exit]
        for price in prices:
            behind, ahead = max(behind, side * (trade.entry - price)), max(ahead, side * (price - trade.entry))
    return behind, ahead


def test_excursions_are_those_of_a_plain_walk_through_the_bars(tmp_path: Path) -> None:
    bars = walk(DAY)
    book = read_account_book(play(tmp_path, bars, every_tenth_minute(bars)))
    trades = trades_of(book)

    paths = trade_paths(book, trades, proposals_of(book))

    found = [paths[booked.number] for booked in trades]
    assert [(path.adverse, path.favourable) for path in found] == [
        plain_excursions(book, number) for number in range(len(trades))
    ]
    assert {booked.trade.reason for booked in trades} >= {"stop", "target"}
    assert all(path.favourable >= 90 for path, b in zip(found, trades, strict=True) if b.trade.reason == "target")


def test_a_stop_that_was_moved_is_shown_from_the_next_bar_on(tmp_path: Path) -> None:
    """Of a run whose policy manages: each stop stands as the journal's marks and moves had it."""
    bars = walk(DAY)
    moves = {bar.seq: 3 + bar.seq // 10 % 2 for bar in bars[5::10]}  # to break-even, or trail from now on
    folder = play(tmp_path, bars, {**every_tenth_minute(bars), **moves}, phase=2)
    book = read_account_book(folder)
    trades = trades_of(book)

    paths = trade_paths(book, trades, proposals_of(book))

    to_break_even = [event for event in book.of("managed") if event.payload["action"] == "breakeven"]
    changes = {change for path in paths.values() for change in path.stops[1:]}
    still_open = {bar for path in paths.values() for bar in range(path.entry_bar, path.exit_bar)}
    expected = {(event.bar + 1, event.payload["stop"]) for event in to_break_even if event.bar in still_open}
    assert expected and expected <= changes, "moved at a close, in force from the next bar on"
    for booked in trades:
        path = paths[booked.number]
        if booked.trade.reason == "stop" and not booked.trade.ambiguous:
            side = 1 if booked.trade.quantity > 0 else -1
            assert side * (path.stops[-1][1] - booked.trade.exit) >= 1, "out at the last stop, a slippage worse"


def test_of_very_many_proposals_without_a_trade_some_are_shown_and_every_trade(tmp_path: Path) -> None:
    bars = walk(DAY)
    folder = play(
        tmp_path,
        bars,
        every_tenth_minute(bars),
        lambda number: Veto(reason="no") if number % 6 else Approve(),
        engine="vllm",
    )
    result = run_result(facts_of(folder.path, folder.manifest()), read_account_book(folder))

    kept, everything = rows_shown(result, most=3), rows_shown(result)

    traded = {booked.trade.order_id for booked in result.trades}
    others = [row.proposal.bar for row in kept if row.proposal.proposal_id not in traded]
    assert everything == result.ledger and len(kept) == len(traded) + 3 < len(everything)
    assert others == sorted(others) and others[-1] - others[0] > 100, "from all over the day"
