"""On paper a worker that cannot be brought back, or a policy that says nothing, leaves no position to the market."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.journal.journal import read_journal
from orchestrator.report.status import standings, status_of
from orchestrator.run.folder import RunFolder
from orchestrator.run.replay import replay_run
from tests.orchestrator.paper_market import Market, ReadyCrew, play_paper
from tests.orchestrator.played_files import FileWorld
from tests.processes.commands import only_run
from trigate.errors import ProcessNotReadyError

MORNING = 2760 + 930  # 09:30 in New York, in the third session


def records(folder: RunFolder, *kinds: str) -> list[dict[str, Any]]:
    return [{"t": r.type, **r.payload} for r in read_journal(folder.journal) if r.type in kinds]


def until_in_a_position(market: Market, folder: RunFolder) -> Iterator[None]:
    """Bars come until one has filled an entry that lives."""
    while not standings(read_journal(folder.journal)).quantity:
        yield from market.trade(1)


def test_a_given_up_worker_closes_what_is_open_and_then_ends_the_run(file_world: FileWorld, tmp_path: Path) -> None:
    """Flat at the next open; the same command goes on and trades again."""
    market = Market(file_world, tmp_path, MORNING)

    def given_up(market: Market, crew: ReadyCrew, folder: RunFolder) -> Iterator[None]:
        yield from until_in_a_position(market, folder)
        crew.given_up = True
        yield
        yield from market.trade(3)

    with pytest.raises(ProcessNotReadyError, match="5 restarts did not help"):
        play_paper(file_world, market, tmp_path / "runs", given_up)

    run = RunFolder(only_run(tmp_path / "runs"))
    *_, asked, ordered, played, filled = records(run, "operator", "flatten", "bar", "fill")
    assert [each["t"] for each in (asked, ordered, played, filled)] == ["operator", "flatten", "bar", "fill"]
    assert (asked["standing"], filled["reason"]) == ("flat", "flatten")
    assert standings(read_journal(run.journal)).quantity == 0
    assert any("a worker was given up" in alarm for alarm in status_of(run).alarms)

    again, _ = play_paper(file_world, market, tmp_path / "runs", lambda market, crew, folder: market.trade(30))
    assert again.path == run.path
    assert [asked["standing"] for asked in records(run, "operator")] == ["flat", "trading"]
    assert records(run, "intent")[-1]["order"] != filled["order"]
    assert replay_run(run).difference == ""


def test_a_given_up_worker_ends_a_flat_run_at_once(file_world: FileWorld, tmp_path: Path) -> None:
    market = Market(file_world, tmp_path, MORNING)

    def given_up(market: Market, crew: ReadyCrew, folder: RunFolder) -> Iterator[None]:
        crew.given_up = True
        yield
        yield from market.trade(3)

    with pytest.raises(ProcessNotReadyError, match="5 restarts did not help"):
        play_paper(file_world, market, tmp_path / "runs", given_up)

    assert records(RunFolder(only_run(tmp_path / "runs")), "bar", "operator") == []


@pytest.mark.parametrize(("guards", "acted"), [({}, [("policy_silent", "flat")]), ({"policy_silent": 100}, [])])
def test_three_closes_without_the_policy_hold_back_unless_another_number_is_given(
    file_world: FileWorld, tmp_path: Path, guards: dict[str, int], acted: list[tuple[str, str]]
) -> None:
    """On paper the guard is set by default; what it closes is tested with the guards."""

    def silent(market: Market, crew: ReadyCrew, folder: RunFolder) -> Iterator[None]:
        crew.silent = "timeout"
        yield from market.trade(4)

    run, _ = play_paper(file_world, Market(file_world, tmp_path, MORNING), tmp_path / "runs", silent, guards=guards)

    assert [(told["guard"], told["effect"]) for told in records(run, "guard")] == acted
