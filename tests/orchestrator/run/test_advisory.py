"""Advisory mode: each order is a plan for a person, on disk before it is told; the book follows it, nothing is sent."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from orchestrator.journal.journal import read_journal
from orchestrator.live.follower import Follower
from orchestrator.live.told import state_told
from orchestrator.report.advice import Adviser, plan_in_words
from orchestrator.run.folder import RunFolder
from orchestrator.run.replay import replay_run
from orchestrator.trader.events import Recorded
from rl_core.trading.hours import MINUTE_NS
from tests.orchestrator.paper_market import Market, ReadyCrew, play_paper
from tests.orchestrator.played_files import FileWorld

MORNING = 2760 + 930
BARS = 60


def trades(market: Market, crew: ReadyCrew, folder: RunFolder) -> Iterator[None]:
    yield from market.trade(BARS)


@pytest.fixture(scope="module")
def advised(file_world: FileWorld, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """An hour in which the policy enters often and the gate says every word in turn."""
    folder = tmp_path_factory.mktemp("advised")
    run, _ = play_paper(file_world, Market(file_world, folder, MORNING), folder / "runs", trades, mode="advisory")
    return run


def records(folder: RunFolder, kind: str) -> list[dict[str, object]]:
    return [record.payload for record in read_journal(folder.journal) if record.type == kind]


def test_every_order_is_a_plan_and_no_other_record_differs_from_paper(
    advised: RunFolder, file_world: FileWorld, tmp_path: Path
) -> None:
    paper, _ = play_paper(file_world, Market(file_world, tmp_path, MORNING), tmp_path / "runs", trades)
    plans, intents = records(advised, "plan"), records(advised, "intent")

    assert len(plans) > 1 and [plan["quantity"] for plan in plans] == [intent["quantity"] for intent in intents]
    assert records(paper, "plan") == []
    for kind in ("bar", "mark"):
        assert records(advised, kind) == records(paper, kind)
    named = ("quantity", "entry", "exit", "reason", "pnl")
    assert [[t[n] for n in named] for t in records(advised, "trade")] == [
        [t[n] for n in named] for t in records(paper, "trade")
    ]


def test_a_plan_holds_what_follows_from_its_order_and_its_close(advised: RunFolder) -> None:
    """By hand, for each: the bracket around the close, and the end of the bar in which the order can fill."""
    bars = {bar["seq"]: bar for bar in records(advised, "bar")}
    verdicts = {said["proposal"]: said for said in records(advised, "decided")}

    for plan in records(advised, "plan"):
        bar, side = bars[plan["bar"]], 1 if int(str(plan["quantity"])) > 0 else -1
        assert plan["close"] == bar["close"]
        assert plan["stop"] == int(str(bar["close"])) - side * int(str(plan["stop_ticks"]))
        assert plan["target"] == int(str(bar["close"])) + side * int(str(plan["target_ticks"]))
        assert plan["until_ns"] == int(str(bar["ts_event_ns"])) + 2 * MINUTE_NS
        outcome = verdicts[plan["order"]]["outcome"]
        assert isinstance(outcome, dict) and plan["verdict"] == outcome["kind"]


def test_an_advisory_run_is_replayed_from_its_folder(advised: RunFolder) -> None:
    found = replay_run(advised)

    assert found.difference == "" and found.derived == advised.journal.read_bytes()


def test_a_plan_is_on_disk_before_it_is_told(advised: RunFolder) -> None:
    assert all(record.synced for record in read_journal(advised.journal) if record.type == "plan")


def test_each_record_is_told_once_over_a_stop(file_world: FileWorld, tmp_path: Path) -> None:
    """What is replayed at the second start was told at the first."""
    told: list[Recorded] = []

    def few(market: Market, crew: ReadyCrew, folder: RunFolder) -> Iterator[None]:
        yield from market.trade(8)

    market = Market(file_world, tmp_path, MORNING)
    for _ in range(2):
        run, _ = play_paper(file_world, market, tmp_path / "runs", few, told.append, mode="advisory")

    recorded = [(record.type, record.payload) for record in read_journal(run.journal)]
    assert [(record.type, record.payload) for record in told] == recorded and len(recorded) > 16


PLAN = {
    "order": "a1",
    "bar": 7,
    "quantity": -2,
    "close": 84_000,
    "stop": 84_055,
    "target": 83_890,
    "stop_ticks": 55,
    "target_ticks": 110,
    "risk": 5_740,
    "until_ns": 1_704_207_720_000_000_000,  # 2024-01-02 15:02 UTC
    "regime": "up/normal",
    "session_part": "opening",
    "verdict": "approve",
    "odds_milli": {"approve": 620, "shrink": 200, "veto": 180},
}


def test_a_plan_is_told_in_words() -> None:
    """84,000 ticks of a quarter are 21,000 points."""
    assert plan_in_words(PLAN, Decimal("0.25"), "MNQ") == [
        "PLAN   sell 2 MNQ at the market, at the next open; the last close is 21,000.00",
        "       stop 21,013.75 and target 20,972.50: 13.75 and 27.50 from your own fill; $57.40 at risk, costs "
        "included",
        "       why: up/normal, opening; the gate approves (approve 62.0 %, shrink 20.0 %, veto 18.0 %)",
        "       until 10:02 ET; after that there is no plan",
    ]


def test_a_person_is_told_what_becomes_of_a_plan() -> None:
    """A stop that moves is told when it differs from the one before; marks that tell nothing new are left out."""
    adviser = Adviser("NQ", "MNQ")
    fill = {"order": "a1", "quantity": -2, "price": 83_999, "reason": "entry"}
    happened = [
        Recorded("bar", {"seq": 8}),
        Recorded("fill", fill),
        Recorded("mark", {"quantity": -2, "stop": 84_054}),
        Recorded("managed", {"order": "a1", "trailing": 1, "stop": 84_054}),
        Recorded("mark", {"quantity": -2, "stop": 84_054}),
        Recorded("mark", {"quantity": -2, "stop": 84_020}),
        Recorded("flatten", {"order": "a1"}),
        Recorded("fill", {**fill, "quantity": 2, "price": 83_950, "reason": "flatten"}),
        Recorded("cancelled", {"order": "a2", "code": "session_break"}),
    ]

    assert [line for record in happened for line in adviser.lines(record)] == [
        "BOOK   took the plan at 20,999.75 (simulated)",
        "STOP   it trails from now on",
        "STOP   move it to 21,005.00",
        "CLOSE  what is open at the market, at the next open",
        "BOOK   left at 20,987.50 (simulated): flatten",
        "OVER   the last plan is no more: session break",
    ]


def test_the_live_page_is_told_the_plan_until_the_next_bar(advised: RunFolder, tmp_path: Path) -> None:
    lines = advised.journal.read_bytes().splitlines(keepends=True)
    place = next(number for number, line in enumerate(lines) if b'"t":"plan"' in line)
    after = next(number for number in range(place, len(lines)) if b'"t":"bar"' in lines[number])
    copy = RunFolder(tmp_path / "run")
    copy.path.mkdir(mode=0o700)
    for name in ("manifest.json",):
        (copy.path / name).write_bytes((advised.path / name).read_bytes())
    told = []
    for stop in (place, place + 1, after + 1):
        copy.journal.write_bytes(b"".join(lines[:stop]))
        follower = Follower(copy)
        follower.read()
        told.append(state_told(follower, follower.outside())["plan"])

    assert told[0] is None
    assert told[1]["valid"] and "at the market, at the next open" in told[1]["lines"][0]
    assert not told[2]["valid"] and told[2]["lines"] == told[1]["lines"]
