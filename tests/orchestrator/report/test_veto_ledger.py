"""A proposal run to its end alone: by hand, and against the trades that the broker made."""

from pathlib import Path

import numpy as np
import pytest
from played_runs import TRADING, every_tenth_minute, play, walk

from orchestrator.report.account_book import proposals_of, read_account_book, trades_of
from orchestrator.report.veto_ledger import RunBars, play_bracket, run_bars_of
from rl_core.exchange.instruments import instrument
from rl_core.market.fills import Venue
from rl_core.market.types import ADAPTIVE, INTRADAY, PESSIMISTIC, BarPrices, Order, Rules, Terms
from rl_core.trading.setup import compile_trading

TERMS = Terms(tick_value=50, commission=60, slippage_ticks=1)
TIGHT = Rules(start=100, target=1, max_loss=1, ratchet=INTRADAY, floor_cap=10**9)  # would end any account at once
VENUE = Venue(TERMS, TIGHT, PESSIMISTIC)
LONG = Order(2, 10, 30, False)


def run_bars(*bars: tuple[int, int, int, int], due: int | None = None, next_session_from: int | None = None) -> RunBars:
    """A whole tape of (open, high, low, close); ``due`` is the bar at whose close everything must go."""
    session = np.zeros(len(bars), np.int32)
    session[next_session_from if next_session_from is not None else len(bars) :] = 1
    flatten = np.zeros(len(bars), np.bool_)
    flatten[due if due is not None else len(bars) :] = True
    last = np.append(session[1:] != session[:-1], True)
    return RunBars([BarPrices(*bar) for bar in bars], session, last, flatten, complete=True)


def test_a_bracket_enters_at_the_next_open_and_ends_at_its_stop() -> None:
    """In at 101 (one tick of slippage), stop 91, out at 90: 2 x -11 ticks x 50 cents, and 4 x 60 cents."""
    result = play_bracket(run_bars((90, 95, 85, 90), (100, 105, 99, 104), (104, 104, 91, 95)), 0, LONG, VENUE)

    assert result is not None
    assert (result.entry_bar, result.entry, result.exit_bar, result.exit, result.reason) == (1, 101, 2, 90, "stop")
    assert (result.pnl, result.risk) == (-1100 - 240, 1000)
    assert result.r == pytest.approx(-1.34)


def test_no_account_floor_ends_it() -> None:
    """The rules of this venue would liquidate at the first adverse tick; alone, the target is reached."""
    result = play_bracket(run_bars((90, 95, 85, 90), (100, 105, 95, 104), (104, 132, 100, 130)), 0, LONG, VENUE)

    assert result is not None
    assert (result.reason, result.exit, result.pnl) == ("target", 131, 2 * 30 * 50 - 240)


def test_what_is_open_at_the_flat_time_leaves_at_the_next_open() -> None:
    bars = [(100, 102, 98, 100)] * 4

    result = play_bracket(run_bars(*bars, due=2), 0, LONG, VENUE)

    assert result is not None
    assert (result.reason, result.exit_bar, result.exit) == ("flatten", 3, 99)


def test_nothing_is_carried_into_the_next_session() -> None:
    bars = [(100, 102, 98, 100)] * 4

    result = play_bracket(run_bars(*bars, next_session_from=3), 0, LONG, VENUE)

    assert result is not None
    assert (result.reason, result.exit_bar, result.exit) == ("session_end", 2, 99)
    assert play_bracket(run_bars(*bars, next_session_from=1), 0, LONG, VENUE) is None, "its open never came"


def test_a_bracket_still_open_where_an_unfinished_run_stops_has_no_end() -> None:
    cut_off = run_bars(*[(100, 102, 98, 100)] * 3)._replace(complete=False)

    assert play_bracket(cut_off, 0, LONG, VENUE) is None


def test_the_resolution_decides_a_bar_that_holds_both() -> None:
    """Its high is 32 above the open and its low 40 below: the nearer extreme is the target's."""
    both = run_bars((100, 100, 100, 100), (100, 101, 99, 100), (100, 132, 60, 100))

    worst, nearer = (play_bracket(both, 0, LONG, VENUE._replace(resolution=code)) for code in (PESSIMISTIC, ADAPTIVE))

    assert worst is not None and nearer is not None
    assert (worst.reason, nearer.reason) == ("stop", "target")
    assert worst.ambiguous and nearer.ambiguous


def test_alone_is_what_the_broker_did(tmp_path: Path) -> None:
    """Phase 1 never manages, so every trade that its account did not end is its bracket alone, to the cent."""
    bars = walk()
    book = read_account_book(play(tmp_path, bars, every_tenth_minute(bars)))
    trading = compile_trading(TRADING, instrument("NQ"))
    real = {booked.trade.order_id: booked.trade for booked in trades_of(book)}
    taken = {proposal.proposal_id: proposal for proposal in proposals_of(book)}
    run_bars = run_bars_of(book.bars, trading.pack, trading.hours, complete=True)

    unliquidated = {name: trade for name, trade in real.items() if trade.reason != "liquidation"}
    result = {name: play_bracket(run_bars, taken[name].bar, taken[name].taken, trading.venue) for name in unliquidated}

    assert len(unliquidated) > 10 and {trade.reason for trade in unliquidated.values()} >= {"stop", "target"}
    for name, trade in unliquidated.items():
        end = result[name]
        assert end is not None
        ended = (end.entry, end.exit, end.reason, end.pnl, end.risk, end.ambiguous)
        assert ended == (trade.entry, trade.exit, trade.reason, trade.pnl, trade.risk, trade.ambiguous)


def test_no_trade_goes_through_a_roll_in_the_middle_of_a_session(tmp_path: Path) -> None:
    """A new contract 850 ticks higher at bar 205: what is open leaves at the close before, alone and at the broker."""
    roll, bars = 205, walk()
    moved = {"open": 850, "high": 850, "low": 850, "close": 850}
    bars = [
        bar
        if bar.seq < roll
        else bar.model_copy(
            update={name: getattr(bar, name) + ticks for name, ticks in moved.items()} | {"contract": 1}
        )
        for bar in bars
    ]
    actions = {200: every_tenth_minute(bars)[200], roll - 1: every_tenth_minute(bars)[200]}
    book = read_account_book(play(tmp_path, bars, actions))
    trading = compile_trading(TRADING, instrument("NQ"))
    run_bars = run_bars_of(book.bars, trading.pack, trading.hours, complete=True)

    first, *others = trades_of(book)

    assert run_bars.last[roll - 1] and not others, "the order of the last close is cancelled"
    assert first.trade.reason == "session_end" and abs(first.trade.exit - bars[roll - 1].close) <= 1
    end = play_bracket(run_bars, 200, proposals_of(book)[0].taken, trading.venue)
    assert end is not None and (end.exit, end.pnl) == (first.trade.exit, first.trade.pnl)
