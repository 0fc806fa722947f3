"""An ended run is one try, however often it is continued, made again or reported, and its verdict is deflated by it."""

import json
from pathlib import Path
from typing import Any

import pytest
from played_files import FileWorld, play_file
from played_runs import every_tenth_minute, play, text_of, walk

from orchestrator.report.account_book import read_account_book
from orchestrator.report.facts import facts_of
from orchestrator.report.looks import count_look, registry_of
from orchestrator.report.report import report_on
from orchestrator.report.result import run_result
from orchestrator.run.folder import RunFolder
from rl_core.evaluation.tries import ELSEWHERE, TRIES, new_try, note_try
from rl_core.training.sources import prepare_evaluation

DAY = ("2024-06-03",)


def verdict_of(folder: RunFolder) -> dict[str, Any]:
    report_on(folder.path)
    said: dict[str, Any] = json.loads((folder.path / "verdict.json").read_text())
    return said


def test_a_run_counts_once_and_with_the_evaluations_of_its_policy(
    file_world: FileWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a gate it is the policy that was looked at, by whatever command; a gate that acts makes another try."""
    monkeypatch.delenv(ELSEWHERE)
    alone = play_file(file_world, tmp_path / "alone", gate={"engine": "off"})
    again = play_file(file_world, tmp_path / "again", gate={"engine": "off"}, name="again")
    gated = play_file(file_world, tmp_path / "gated")
    job = prepare_evaluation(file_world.checkpoint, bars=file_world.bars, part="all", market=None)

    counted = [verdict_of(folder)["tries"] for folder in (alone, alone, again)]
    evaluated = job.count_look(job.inputs().span)
    judged = verdict_of(gated)["tries"]

    assert (counted, evaluated, judged) == ([1, 1, 1], 1, 2)
    assert registry_of(facts_of(gated.path, gated.manifest())) == job.registry
    assert "One other looked at some of these sessions" in text_of(gated)


def test_a_run_that_has_not_ended_or_is_in_sample_is_no_look(tmp_path: Path) -> None:
    bars = walk(DAY)
    cut = play(tmp_path / "cut", bars, every_tenth_minute(bars), stop_after=50)
    seen = play(tmp_path / "seen", bars, every_tenth_minute(bars))
    seen.write_manifest(
        seen.manifest().model_copy(update={"in_sample": True, "trained_on_world": False, "training_ended": True})
    )

    for folder in (cut, seen):
        assert verdict_of(folder)["tries"] == 1
        assert not registry_of(facts_of(folder.path, folder.manifest())).exists()


def test_an_older_run_counts_beside_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ELSEWHERE)
    bars = walk(DAY)
    folder = play(tmp_path, bars, every_tenth_minute(bars))
    facts, book = facts_of(folder.path, folder.manifest()), read_account_book(folder)
    note_try(tmp_path / TRIES, new_try("another", "NQ", 19_877, 19_877))  # 2024-06-03

    assert [count_look(facts, book) for _ in range(2)] == [2, 2]


def test_the_best_of_many_tries_is_doubted(won: RunFolder) -> None:
    facts, book = facts_of(won.path, won.manifest()), read_account_book(won)

    only, best = run_result(facts, book), run_result(facts, book, tries=10**9)

    assert only.tries.deflated is not None and best.tries.deflated is not None
    assert only.tries.deflated > best.tries.deflated
    assert "1000000000 different tries were judged on these sessions" in " ".join(best.verdict.reasons)
    assert "different tries" not in " ".join(only.verdict.reasons)
