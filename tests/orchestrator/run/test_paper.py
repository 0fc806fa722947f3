"""A run over bars as they come: every rule of the feed, deadlines by the clock, and a replay of all of it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.journal.journal import read_journal
from orchestrator.run.config import RunConfig
from orchestrator.run.control import ask
from orchestrator.run.folder import RunFolder
from orchestrator.run.paper_plan import plan_paper
from orchestrator.run.replay import replay_run
from rl_core.trading.hours import MINUTE_NS
from tests.orchestrator.paper_market import HISTORY, FedMarket, Happenings, Market, ReadyCrew, TickMarket, play_paper
from tests.orchestrator.played_files import FileWorld, play_file

MORNING = 2760 + 930  # 09:30 in New York, in the third session
EVENING = 2760


def records(folder: RunFolder, *kinds: str) -> list[dict[str, Any]]:
    """The payloads of these types, in order; each with its type."""
    return [{"t": r.type, **r.payload} for r in read_journal(folder.journal) if r.type in kinds]


def codes(folder: RunFolder) -> list[str]:
    return [note["code"] for note in records(folder, "feed")]


def replays(folder: RunFolder) -> bool:
    """Whether every byte comes out again, from the run's folder alone."""
    found = replay_run(folder)
    return found.difference == "" and found.derived == folder.journal.read_bytes()


def morning(world: FileWorld, folder: Path) -> Market:
    """A market that opens with what is known at 09:30."""
    return Market(world, folder, MORNING)


def after(bars: int, then: Callable[[Market], object], more: int = 1) -> Happenings:
    """So many bars come, then something happens, then more bars come."""

    def happens(market: Market, crew: ReadyCrew, folder: RunFolder) -> Iterator[None]:
        yield from market.trade(bars)
        then(market)
        yield
        yield from market.trade(more)

    return happens


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


def corrected(market: Market) -> bytes:
    """A row for a bar that was played, with another volume."""
    return market.row(MORNING + 3).rpartition(b",")[0] + b",1\n"


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(file_world: FileWorld, tmp_path: Path) -> None:
    """Known rows, corrections among them, are not told again: one stopped twice has the bytes of one that was not."""

    def first(market: Market, crew: ReadyCrew, folder: RunFolder) -> Iterator[None]:
        yield from market.trade(20)
        market.say(corrected(market) + b"no row\n")
        yield

    def then(market: Market, crew: ReadyCrew, folder: RunFolder) -> Iterator[None]:
        yield from market.trade(20)
        market.say(corrected(market))
        yield

    def whole(market: Market, crew: ReadyCrew, folder: RunFolder) -> Iterator[None]:
        yield from first(market, crew, folder)
        yield from then(market, crew, folder)

    market = morning(file_world, tmp_path)
    folder, _ = play_paper(file_world, market, tmp_path / "runs", first)
    play_paper(file_world, market, tmp_path / "runs", lambda *_: iter(()))
    again, _ = play_paper(file_world, market, tmp_path / "runs", then)
    once, _ = play_paper(file_world, morning(file_world, tmp_path), tmp_path / "once", whole)

    assert again == folder and folder.manifest().starts == 3
    assert codes(once) == ["corrected", "malformed", "doubled"]
    assert folder.journal.read_bytes() == once.journal.read_bytes()


def repeated(market: FedMarket) -> None:
    """Another feed at the same address, with the bars that have come."""
    market.begin_anew("second")
    for number in range(MORNING, market.next):
        market.say(market.row(number))


def test_a_feed_has_the_rules_of_a_file_and_loses_nothing_over_a_stop(file_world: FileWorld, tmp_path: Path) -> None:
    """What is recorded is that of the file's run, whose settings alone differ."""

    def first(market: Market, crew: ReadyCrew, folder: RunFolder) -> Iterator[None]:
        yield from market.trade(20)
        market.say(corrected(market) + b"no row\n")
        yield

    def then(market: Market, crew: ReadyCrew, folder: RunFolder) -> Iterator[None]:
        yield from market.trade(20)
        market.say(corrected(market))
        yield

    def whole(market: Market, crew: ReadyCrew, folder: RunFolder) -> Iterator[None]:
        yield from first(market, crew, folder)
        yield from then(market, crew, folder)

    for name in ("file", "feed"):
        (tmp_path / name).mkdir()
    of_file, _ = play_paper(file_world, morning(file_world, tmp_path / "file"), tmp_path / "file" / "runs", whole)
    with FedMarket(file_world, tmp_path / "feed", MORNING) as market:
        begun, _ = play_paper(file_world, market, tmp_path / "feed" / "runs", first)
        of_feed, _ = play_paper(file_world, market, tmp_path / "feed" / "runs", then)
        assert of_feed == begun and market.told == []

    told = [[{**note, "fault": "", "row": 0} for note in records(run, "feed")] for run in (of_file, of_feed)]
    assert codes(of_file) == ["corrected", "malformed", "doubled"] and told[0] == told[1]
    assert records(of_feed, "feed")[1]["fault"].startswith("feed:22: short_row")
    for kind in ("bar", "acted"):  # the others name orders, and an order is named after its run
        assert records(of_file, kind) == records(of_feed, kind), kind
    assert len(records(of_feed, "bar")) == 40 and replays(of_feed)


def test_a_feed_that_begins_anew_while_a_run_follows_it_is_read_again(file_world: FileWorld, tmp_path: Path) -> None:
    def happens(market: Market, crew: ReadyCrew, folder: RunFolder) -> Iterator[None]:
        assert isinstance(market, FedMarket)
        yield from market.trade(3)
        repeated(market)
        yield
        yield from market.trade(3)

    with FedMarket(file_world, tmp_path, MORNING) as market:
        folder, _ = play_paper(file_world, market, tmp_path / "runs", happens)

    assert codes(folder) == ["replaced"]
    played = [bar["ts_event_ns"] for bar in records(folder, "bar")]
    assert played == market.bars.ts_event_ns[MORNING : MORNING + 6].tolist()
    assert replays(folder)


def test_ticks_are_traded_as_the_minutes_that_they_make_also_over_a_stop_within_one(
    file_world: FileWorld, tmp_path: Path
) -> None:
    """A stop between two trades of a minute."""

    def first(market: Market, crew: ReadyCrew, folder: RunFolder) -> Iterator[None]:
        yield from market.trade(10, late_s=1.5)
        lines = market.row(market.next).splitlines(keepends=True)
        market.set_ns(int(market.bars.ts_event_ns[market.next]), 30.0)
        market.say(b"".join(lines[:2]))
        yield

    def then(market: Market, crew: ReadyCrew, folder: RunFolder) -> Iterator[None]:
        market.until(market.next, 1.5)
        market.say(b"".join(market.row(market.next).splitlines(keepends=True)[2:]))
        market.next += 1
        yield
        yield from market.trade(9, late_s=1.5)

    for name in ("minutes", "ticks"):
        (tmp_path / name).mkdir()
    of_file, _ = play_paper(
        file_world, morning(file_world, tmp_path / "minutes"), tmp_path / "minutes" / "runs", after(19, lambda _: None)
    )
    with TickMarket(file_world, tmp_path / "ticks", MORNING) as market:
        begun, _ = play_paper(file_world, market, tmp_path / "ticks" / "runs", first)
        again, _ = play_paper(file_world, market, tmp_path / "ticks" / "runs", then)

    assert again == begun and codes(again) == []
    for kind in ("bar", "acted"):
        assert records(of_file, kind) == records(again, kind), kind
    assert len(records(again, "bar")) == 20 and replays(again)


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
