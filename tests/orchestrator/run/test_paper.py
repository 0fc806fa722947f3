"""A run over bars as they come: every rule of the feed, deadlines by the clock, and a replay of all of it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.live.follower import Follower
from orchestrator.live.metrics import metrics_text
from orchestrator.live.told import state_told
from orchestrator.run.config import RunConfig
from orchestrator.run.control import ask
from orchestrator.run.folder import RunFolder
from orchestrator.run.paper_plan import plan_paper
from orchestrator.run.telemetry import read_telemetry
from rl_core.trading.hours import MINUTE_NS
from tests.orchestrator.paper_market import (
    HISTORY,
    MORNING,
    Market,
    ReadyCrew,
    after,
    both_corrections,
    codes,
    corrected_again,
    morning,
    play_paper,
    records,
    replays,
    until_corrected,
)
from tests.orchestrator.played_files import FileWorld, play_file

EVENING = 2760


def test_bars_as_they_come_are_traded_as_the_same_bars_from_a_file(file_world: FileWorld, tmp_path: Path) -> None:
    """The third session, after the two that a run of the file shows as history; all come at once, none is late."""
    market = Market(file_world, tmp_path, EVENING, EVENING)

    def happens(market: Market, crew: ReadyCrew, folder: RunFolder) -> Iterator[None]:
        market.until(len(market.bars) - 1)
        market.say(b"".join(market.rows[1 + EVENING :]))
        yield

    paper, _ = play_paper(file_world, market, tmp_path / "paper", happens, paper={"late_after_s": 1e9})
    sim = play_file(file_world, tmp_path / "sim")
    named = ("entry_ns", "entry", "exit_ns", "exit", "reason", "quantity", "pnl", "risk", "attempt")
    traded = [[tuple(trade[name] for name in named) for trade in records(run, "trade")] for run in (paper, sim)]

    assert len(traded[0]) > 5
    # The last trade of the file ends with its bars; a paper run cannot know that no more will come.
    assert traded[0] == traded[1][: len(traded[0])] and len(traded[1]) - len(traded[0]) <= 1
    assert replays(paper)


def test_how_long_each_bar_took_is_told_by_telemetry_page_and_metrics(file_world: FileWorld, tmp_path: Path) -> None:
    """From its arrival until all that follows from it was recorded, the policy's answer and the journal's syncs too."""
    market = Market(file_world, tmp_path, EVENING, EVENING)

    def happens(market: Market, crew: ReadyCrew, folder: RunFolder) -> Iterator[None]:
        for first, stop in ((EVENING, EVENING + 20), (EVENING + 20, EVENING + 30)):
            market.until(stop)
            market.say(b"".join(market.rows[1 + first : 1 + stop]))
            yield

    run, done = play_paper(file_world, market, tmp_path / "paper", happens, paper={"late_after_s": 1e9})
    told = [event for event in read_telemetry(run.telemetry) if event["event"] == "bar_done"]
    follower = Follower(run)
    follower.read()

    assert [event["seq"] for event in told] == list(range(done.bars))
    assert list(follower.bars_s) == [event["seconds"] for event in told] and min(follower.bars_s) > 0
    assert "ms p99 of 30" in str(state_told(follower, follower.outside())["bar_latency"])
    slow = f'trigate_bar_latency_seconds{{quantile="0.99"}} {max(follower.bars_s):.17g}'
    assert slow in metrics_text(follower, follower.outside())


def rewritten(market: Market) -> bytes:
    """The file as it stands, with another volume in its last row."""
    return market.path.read_bytes().rpartition(b",")[0] + b",123456\n"


def cut(market: Market) -> bytes:
    """The file as it stands, without its last row."""
    content = market.path.read_bytes()
    return content[: content.rfind(b"\n", 0, -1) + 1]


@pytest.mark.parametrize(
    ("codes_of", "change"),
    [
        (["doubled"], lambda market: market.say(market.row(MORNING + 1))),
        (["corrected"], lambda market: market.say(market.row(MORNING + 1).rpartition(b",")[0] + b",1\n")),
        (["malformed"], lambda market: market.say(b"2024-01-04T14:3\n")),
        (["malformed"], lambda market: (market.until(market.next), market.say(scaled(market.row(market.next), 10)))),
        (["malformed"], lambda market: (market.until(market.next), market.say(scaled(market.row(market.next), 0.01)))),
        (["early"], lambda market: market.say(market.row(market.next + 5))),
        (["truncated"], lambda market: market.path.write_bytes(cut(market))),
        (["replaced", "corrected"], lambda market: market.path.write_bytes(rewritten(market))),
    ],
)
def test_what_is_no_next_bar_is_recorded_and_changes_nothing(
    file_world: FileWorld, tmp_path: Path, codes_of: list[str], change: Callable[[Market], object]
) -> None:
    """Three bars, what happens, and one more bar: they are as without it, and so is all that follows from them."""
    market = morning(file_world, tmp_path)

    folder, _ = play_paper(file_world, market, tmp_path / "runs", after(3, change))

    assert codes(folder) == codes_of
    played = [bar["ts_event_ns"] for bar in records(folder, "bar")]
    assert played == market.bars.ts_event_ns[MORNING : MORNING + 4].tolist()
    assert replays(folder)


def test_a_bar_of_a_closed_market_is_recorded_and_not_played(file_world: FileWorld, tmp_path: Path) -> None:
    folder, _ = play_paper(file_world, morning(file_world, tmp_path), tmp_path / "runs", after(3, weekend, more=0))

    assert codes(folder) == ["closed_market"]
    assert len(records(folder, "bar")) == 3


def scaled(row: bytes, times: float) -> bytes:
    """A row with its prices so many times as high."""
    time, *prices, volume = row.decode().strip().split(",")
    return ",".join([time, *(f"{round(float(price) * times * 4) / 4}" for price in prices), volume]).encode() + b"\n"


def weekend(market: Market) -> None:
    """A bar of the Saturday after, by when the clock has come there."""
    market.set_ns(int(market.bars.ts_event_ns[market.next]) + 3 * 24 * 60 * MINUTE_NS)
    market.say(b"2024-01-06T15:00:00Z" + market.row(market.next)[20:])


def test_minutes_without_a_bar_are_noted_and_traded_on(file_world: FileWorld, tmp_path: Path) -> None:
    def skip(market: Market) -> None:
        market.next += 2

    folder, _ = play_paper(file_world, morning(file_world, tmp_path), tmp_path / "runs", after(3, skip))

    assert [(note["code"], note["minutes"], note["bar"]) for note in records(folder, "feed")] == [("gap", 2, 2)]
    assert len(records(folder, "bar")) == 4
    assert replays(folder)


def test_an_earlier_bar_that_never_came_is_recorded_and_not_played(file_world: FileWorld, tmp_path: Path) -> None:
    def late_one(market: Market) -> None:
        market.say(market.row(MORNING + 3))

    def happens(market: Market, crew: ReadyCrew, folder: RunFolder) -> Iterator[None]:
        yield from market.trade(3)
        market.next += 1
        yield from market.trade(1)
        late_one(market)
        yield
        late_one(market)
        yield

    folder, _ = play_paper(file_world, morning(file_world, tmp_path), tmp_path / "runs", happens)

    assert codes(folder) == ["gap", "out_of_order", "doubled"]
    assert len(records(folder, "bar")) == 4


def test_at_the_close_of_a_late_bar_nobody_is_asked(file_world: FileWorld, tmp_path: Path) -> None:
    """Three in time, four late, three in time: one record says where it begins, each answer says it again."""
    asked: list[int] = []

    def happens(market: Market, crew: ReadyCrew, folder: RunFolder) -> Iterator[None]:
        for late_s in (0.5,) * 3 + (10.5,) * 4 + (0.5,) * 3:
            yield from market.trade(1, late_s)
            asked.append(crew.asked)

    folder, _ = play_paper(file_world, morning(file_world, tmp_path), tmp_path / "runs", happens)

    assert codes(folder) == ["late"]
    sources = {acted["bar"]: acted["source"] for acted in records(folder, "acted")}
    assert {source for bar, source in sources.items() if 3 <= bar <= 6} == {"late"}
    assert {source for bar, source in sources.items() if bar < 3} == {"policy"}
    assert {source for bar, source in sources.items() if bar > 6} == {"policy"}
    assert [proposal["bar"] for proposal in records(folder, "proposed") if 3 <= proposal["bar"] <= 6] == []
    assert replays(folder)


def test_a_worker_that_does_not_answer_in_time_is_a_hold_or_the_fail_mode(
    file_world: FileWorld, tmp_path: Path
) -> None:
    def happens(market: Market, crew: ReadyCrew, folder: RunFolder) -> Iterator[None]:
        crew.silent = "timeout"
        yield from market.trade(7)
        crew.silent = None
        crew.deaf_gate = True
        yield from market.trade(15)

    folder, _ = play_paper(file_world, morning(file_world, tmp_path), tmp_path / "runs", happens)

    acted = records(folder, "acted")
    assert {(one["action"], one["source"]) for one in acted if one["bar"] < 6} == {(0, "timeout")}
    outcomes = [one["outcome"] for one in records(folder, "decided")]
    assert outcomes and all(outcome == {"kind": "gate_failed", "cause": "timeout"} for outcome in outcomes)
    assert records(folder, "intent") == []
    assert replays(folder)


def until_held(market: Market, folder: RunFolder) -> Iterator[None]:
    """Bars come until a position is open."""
    while not sum(fill["quantity"] for fill in records(folder, "fill")):
        yield from market.trade(1)


def test_a_position_is_closed_by_the_clock_where_no_bar_comes(file_world: FileWorld, tmp_path: Path) -> None:
    """Not before the flat time, and not while there is a bar to read that could have closed it."""
    seen: list[int] = []

    def happens(market: Market, crew: ReadyCrew, folder: RunFolder) -> Iterator[None]:
        yield from until_held(market, folder)
        last_ns = int(market.bars.ts_event_ns[MORNING]) + (6 * 60 + 20) * MINUTE_NS
        market.set_ns(last_ns)
        yield
        seen.append(len(records(folder, "flat_time")))
        market.set_ns(last_ns + 90 * MINUTE_NS)
        yield

    folder, _ = play_paper(file_world, morning(file_world, tmp_path), tmp_path / "runs", happens)

    assert seen == [0] and len(records(folder, "flat_time")) == 1
    (trade,) = [trade for trade in records(folder, "trade") if trade["reason"] == "session_end"]
    last = records(folder, "bar")[-1]
    assert trade["exit_ns"] == last["ts_event_ns"]
    assert abs(trade["exit"] - last["close"]) == 1, "one slippage worse than the last price"
    assert replays(folder)


def test_a_run_that_goes_on_reads_what_came_meanwhile_before_it_looks_at_the_clock(
    file_world: FileWorld, tmp_path: Path
) -> None:
    """It stopped with a position; by its next start the day is over, and the bars of it stand in the file."""
    market = morning(file_world, tmp_path)
    folder, _ = play_paper(
        file_world, market, tmp_path / "runs", lambda market, crew, folder: until_held(market, folder)
    )
    stopped = len(records(folder, "bar"))
    market.say(b"".join(market.row(number) for number in range(market.next, len(market.bars))))
    market.set_ns(int(market.bars.ts_event_ns[-1]) + 90 * MINUTE_NS)

    again, _ = play_paper(file_world, market, tmp_path / "runs", lambda *_: iter(()), sessions=None)

    assert again == folder and len(records(folder, "bar")) == len(market.bars) - MORNING > stopped
    assert records(folder, "flat_time") == [] and codes(folder) == ["late"]
    assert {acted["source"] for acted in records(folder, "acted") if acted["bar"] >= stopped} <= {"late"}
    assert not sum(fill["quantity"] for fill in records(folder, "fill"))
    assert replays(folder)


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(file_world: FileWorld, tmp_path: Path) -> None:
    """Known rows, corrections among them, are not told again: one stopped twice has the bytes of one that was not."""
    market = morning(file_world, tmp_path)
    folder, _ = play_paper(file_world, market, tmp_path / "runs", until_corrected)
    play_paper(file_world, market, tmp_path / "runs", lambda *_: iter(()))
    again, _ = play_paper(file_world, market, tmp_path / "runs", corrected_again)
    once, _ = play_paper(file_world, morning(file_world, tmp_path), tmp_path / "once", both_corrections)

    assert again == folder and folder.manifest().starts == 3
    assert codes(once) == ["corrected", "malformed", "doubled"]
    assert folder.journal.read_bytes() == once.journal.read_bytes()


def test_another_file_is_another_run(file_world: FileWorld, tmp_path: Path) -> None:
    one, _ = play_paper(file_world, morning(file_world, tmp_path), tmp_path / "runs", after(2, lambda market: None))
    (tmp_path / "other").mkdir()
    other = morning(file_world, tmp_path / "other")

    folder, _ = play_paper(file_world, other, tmp_path / "runs", after(2, lambda market: None))

    assert folder != one


def test_a_run_of_so_many_sessions_ends_by_the_clock(file_world: FileWorld, tmp_path: Path) -> None:
    def happens(market: Market, crew: ReadyCrew, folder: RunFolder) -> Iterator[None]:
        yield from market.trade(20)
        market.set_ns(int(market.bars.ts_event_ns[-1]) + MINUTE_NS, 9.0)
        yield
        market.set_ns(int(market.bars.ts_event_ns[-1]) + MINUTE_NS, 11.0)
        yield

    market = Market(file_world, tmp_path, EVENING + 1380 - 20)
    folder, done = play_paper(file_world, market, tmp_path / "runs", happens, sessions=1)

    assert done.complete and folder.manifest().status == "ended"
    assert [record["t"] for record in records(folder, "bars_ended", "end")] == ["bars_ended", "end"]
    assert replays(folder)


def test_a_persons_word_is_taken_while_no_bar_comes(file_world: FileWorld, tmp_path: Path) -> None:
    def happens(market: Market, crew: ReadyCrew, folder: RunFolder) -> Iterator[None]:
        yield from market.trade(2)
        ask(folder.path, "halt")
        yield
        assert [one["standing"] for one in records(folder, "operator")] == ["halted"]
        yield from market.trade(10)

    folder, _ = play_paper(file_world, morning(file_world, tmp_path), tmp_path / "runs", happens)

    assert [(one["standing"], one["bar"]) for one in records(folder, "operator")] == [("halted", 1)]
    assert [proposal["bar"] for proposal in records(folder, "proposed") if proposal["bar"] > 1] == []
    assert replays(folder)


def test_bars_of_another_year_are_warned_of_without_a_clock(file_world: FileWorld, tmp_path: Path) -> None:
    said: list[str] = []
    market = morning(file_world, tmp_path)
    config = {"mode": "paper", "bars": market.path, "checkpoint": file_world.checkpoint, "gate": {"engine": "off"}}

    plan = plan_paper(RunConfig.model_validate({**config, "runs": tmp_path}), say=said.append)

    assert len(plan.bars) == HISTORY
    assert any("days old, and the market's time is UTC" in line for line in said)


def test_what_paper_mode_adds_changes_no_simulated_run() -> None:
    """Runs are told apart by their settings: those of before have neither a mode nor a clock."""
    sim, paper = RunConfig(), RunConfig.model_validate({"mode": "paper", "paper": {"late_after_s": 3}})

    assert not {"mode", "paper"} & sim.identity.keys()
    assert paper.identity == {**sim.identity, "mode": "paper"}
