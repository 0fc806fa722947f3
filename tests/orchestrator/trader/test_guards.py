"""Guards: each limit by hand, then in a run, where it only ever takes risk away and is recorded once it acts."""

from pathlib import Path
from typing import Any

import pytest

from orchestrator.journal.journal import read_journal
from orchestrator.report.report import report_on
from orchestrator.report.status import status_of
from orchestrator.run.config import RunConfig
from orchestrator.run.folder import RunFolder
from orchestrator.run.replay import replay_run
from orchestrator.trader.guards import OFF, Guards, Watched, cut, in_force
from tests.orchestrator.played_files import FileWorld, play_file

QUIET = Watched(
    equity=5_000_000,
    floor=4_750_000,
    opened=5_000_000,
    lost=False,
    entries=0,
    silent=0,
    minutes_to_flat=300,
    at_stake=50_000,
)
"""50,000 dollars, 2,500 above the floor, with 500 at stake in the next entry, five hours before the flat time."""


@pytest.mark.parametrize(
    ("guards", "seen", "expected"),
    [
        (Guards(entries_a_day=3), {"entries": 2}, {}),
        (Guards(entries_a_day=3), {"entries": 3}, {"entries_a_day": "no_entry"}),
        (Guards(loss_a_day=60_000), {"equity": 4_940_001}, {}),
        (Guards(loss_a_day=60_000), {"equity": 4_940_000}, {"loss_a_day": "flat"}),
        (Guards(loss_a_day=60_000), {"equity": 5_010_000, "lost": True}, {"loss_a_day": "flat"}),
        (Guards(floor_margin=199_999), {}, {}),
        (Guards(floor_margin=200_000), {}, {"floor_margin": "no_entry"}),
        (Guards(floor_margin=200_000), {"equity": 4_950_001}, {"floor_margin": "no_entry"}),
        (Guards(floor_margin=200_000), {"equity": 4_950_000}, {"floor_margin": "flat"}),
        (Guards(policy_silent=2), {"silent": 1}, {}),
        (Guards(policy_silent=2), {"silent": 2}, {"policy_silent": "flat"}),
        (Guards(close_buffer=60), {"minutes_to_flat": 61}, {}),
        (Guards(close_buffer=60), {"minutes_to_flat": 60}, {"close_buffer": "flat"}),
        (Guards(1, 1, close_buffer=300), {"entries": 1}, {"entries_a_day": "no_entry", "close_buffer": "flat"}),
        (OFF, {"equity": 1, "entries": 99, "silent": 99, "minutes_to_flat": 0, "lost": False}, {}),
    ],
)
def test_each_guard_acts_from_its_limit_on(guards: Guards, seen: dict[str, Any], expected: dict[str, str]) -> None:
    """Room = equity - floor = 250,000 cents; less the 50,000 at stake it is 200,000."""
    assert in_force(guards, QUIET._replace(**seen)) == expected


@pytest.mark.parametrize(("quantity", "left"), [(12, 5), (-12, -5), (5, 5), (-4, -4), (1, 1)])
def test_an_order_is_cut_towards_zero_and_never_turned(quantity: int, left: int) -> None:
    assert cut(Guards(contracts=5), quantity) == left
    assert cut(OFF, quantity) == quantity


@pytest.fixture(scope="module")
def free(file_world: FileWorld, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """The run without a guard."""
    return play_file(file_world, tmp_path_factory.mktemp("free"))


def payloads(run: RunFolder, kind: str) -> list[dict[str, Any]]:
    """The records of one type."""
    return [record.payload for record in read_journal(run.journal) if record.type == kind]


def bars_of(run: RunFolder, kind: str) -> list[int]:
    """The last bar recorded before each record of one type."""
    last, found = -1, []
    for record in read_journal(run.journal):
        last = record.payload["seq"] if record.type == "bar" else last
        found += [last] if record.type == kind else []
    return found


def guarded(file_world: FileWorld, runs: Path, silent: range = range(0), **guards: object) -> RunFolder:
    """A run under ``guards``, which comes out of its record again."""
    run = play_file(file_world, runs, silent=silent, guards=guards)
    assert replay_run(run).difference == ""
    return run


def test_guards_that_are_off_or_wide_change_nothing(file_world: FileWorld, free: RunFolder, tmp_path: Path) -> None:
    """Off they are not even a part of the run's identity, so that journals of before keep their bytes."""
    assert {"guards", "on_shutdown", "runs"} & RunConfig().identity.keys() == set()
    limits = {"contracts": 1000, "entries_a_day": 1000, "loss_a_day_dollars": 10_000, "policy_silent": 1000}
    wide = guarded(file_world, tmp_path, **limits)

    def told(run: RunFolder) -> list[tuple[str, object]]:
        return [(r.type, r.payload.get("price", r.payload.get("quantity"))) for r in read_journal(run.journal)]

    assert told(wide) == told(free)
    assert wide.manifest().run_id != free.manifest().run_id


def test_no_order_is_larger_whatever_policy_and_gate_said(
    file_world: FileWorld, free: RunFolder, tmp_path: Path
) -> None:
    run = guarded(file_world, tmp_path, contracts=3)

    cuts = payloads(run, "guard")
    assert {abs(order["quantity"]) for order in payloads(run, "intent")} == {3}
    assert max(abs(order["quantity"]) for order in payloads(free, "intent")) > 3
    assert len(cuts) == len(payloads(run, "intent"))
    assert all(abs(c["wanted"]) > 3 == abs(c["left"]) and c["wanted"] * c["left"] > 0 for c in cuts)


def test_after_the_last_entry_of_a_day_no_gate_is_asked(file_world: FileWorld, free: RunFolder, tmp_path: Path) -> None:
    run = guarded(file_world, tmp_path, entries_a_day=2)

    (said,) = payloads(run, "guard")
    assert (said["guard"], said["effect"]) == ("entries_a_day", "no_entry")
    assert len(payloads(run, "intent")) == 2 < len(payloads(free, "intent"))
    assert max(bars_of(run, "proposed")) < said["bar"]


def test_a_days_loss_closes_what_is_open_and_ends_the_day(file_world: FileWorld, tmp_path: Path) -> None:
    """The session opened with 50,000 dollars: from the first mark at 49,900 on it is over."""
    run = guarded(file_world, tmp_path, loss_a_day_dollars=100)

    marks, opened = payloads(run, "mark"), payloads(run, "account_opened")[0]["cash"]
    first = next(mark["bar"] for mark in marks if mark["equity"] <= opened - 10_000)
    assert [said["effect"] for said in payloads(run, "guard")] == ["flat"] * len(payloads(run, "guard")) != []
    assert payloads(run, "guard")[0]["bar"] >= first
    assert [bar for bar in bars_of(run, "intent") if bar >= first] == []
    assert [bar for bar in bars_of(run, "fill") if bar > first + 1] == []


def test_an_entry_whose_stop_comes_too_near_to_the_floor_is_not_made(file_world: FileWorld, tmp_path: Path) -> None:
    """2,500 dollars of room, at most 500 at stake: a margin of 2,400 leaves no entry at all."""
    run = guarded(file_world, tmp_path, floor_margin_dollars=2400)

    assert payloads(run, "intent") == payloads(run, "proposed") == []
    assert [(said["guard"], said["effect"]) for said in payloads(run, "guard")] == [("floor_margin", "no_entry")]


def test_an_earlier_close_is_flat_by_then(file_world: FileWorld, free: RunFolder, tmp_path: Path) -> None:
    """Flat at 16:59: 400 minutes before is 10:19, the close of bar 978 from 18:00 on; the next open is bar 979's."""
    run = guarded(file_world, tmp_path, close_buffer_minutes=400)

    assert max(bars_of(run, "fill")) <= 979 < max(bars_of(free, "fill"))
    assert payloads(run, "guard")[0]["guard"] == "close_buffer"


def test_a_silent_policy_is_flat_and_may_enter_again_after_it_answered(
    file_world: FileWorld, free: RunFolder, tmp_path: Path
) -> None:
    """Silent for 75 minutes: asked at every close all the same, without a choice, until it answers."""
    silent = range(985, 1060)
    run = guarded(file_world, tmp_path, silent, policy_silent=3)

    answers = payloads(run, "acted")
    quiet = [answer["bar"] for answer in answers if answer["source"] == "timeout"]
    assert len(quiet) > 30
    assert [bar for bar in bars_of(run, "intent") if bar in silent] == []
    assert any(bar >= silent.stop for bar in bars_of(run, "intent"))
    said = [(each["guard"], each["effect"]) for each in payloads(run, "guard")]
    assert said == [("policy_silent", "flat")]
    first = payloads(run, "guard")[0]["bar"]
    assert [bar for bar in bars_of(run, "fill") if first + 1 < bar <= silent.stop] == []


def test_what_a_guard_did_stands_in_status_and_report(file_world: FileWorld, free: RunFolder, tmp_path: Path) -> None:
    run = guarded(file_world, tmp_path, entries_a_day=2)

    summary = report_on(run.path)

    assert summary["guards"] == "entries_a_day: no entry, 1 time"
    assert "guards" not in report_on(free.path)
    assert "entries_a_day held back" in " ".join(status_of(run).alarms)
    page = (run.path / "report.html").read_text()
    assert "own guards acted (entries_a_day: no entry, 1 time)" in page
