"""`orchestrator teach`: a run's own proposals teach two gates, and sessions that neither saw judge them."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from llm_gate.evals.data.cases import read_cases
from llm_gate.evals.data.log import LOG
from llm_gate.serving.model_folders import tiny_model
from llm_gate.teaching.taught_folder import read_card
from orchestrator.cli import app
from orchestrator.commands import teach
from orchestrator.run.config import GateSection
from orchestrator.run.folder import RunFolder
from tests.optional import skip_module_without

skip_module_without("torch")


@pytest.fixture
def held_out(won: RunFolder, tmp_path: Path) -> RunFolder:
    """A copy of the run under the name that runs get, by a policy whose training ended long before its bars."""
    manifest = won.manifest()
    copy = RunFolder(tmp_path / "runs" / f"20240601T000000Z-lessons-{manifest.run_id[:8]}")
    shutil.copytree(won.path, copy.path)
    copy.write_manifest(manifest.model_copy(update={"trained_until_ns": 1}))
    return copy


def as_played(monkeypatch: pytest.MonkeyPatch, run: RunFolder) -> None:
    """Let the command find ``run`` as what the policy played; its bars are read by no one else."""
    monkeypatch.setattr("orchestrator.run.plan.plan_run", lambda config, say: None)
    monkeypatch.setattr(teach, "_played", lambda plan: run.path)


def without_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the models out of those that are asked: that a taught folder is served is tested beside the server."""
    suite_of = teach._suite

    def controls(*arguments: Any) -> Any:
        suite = suite_of(*arguments)
        kept = tuple(model for model in suite.models if model.engine != "vllm")
        return suite.model_copy(update={"models": kept, "passes": suite.passes[:1]})

    monkeypatch.setattr(teach, "_suite", controls)


def test_both_gates_are_taught_on_the_first_sessions_and_judged_on_the_later(
    held_out: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_played(monkeypatch, held_out)
    without_servers(monkeypatch)
    out = tmp_path / "taught"
    line = ["teach", "--out", str(out), "--model", str(tiny_model(tmp_path / "tiny")), "--tune-share", "0.9"]

    first, again = CliRunner().invoke(app, line), CliRunner().invoke(app, line)

    assert (first.exit_code, again.exit_code) == (0, 0), first.output + again.output
    cases = read_cases(out / teach.CASES)
    assert {case.session for case in cases if case.split == "tune"} == set(range(10))
    assert {case.session for case in cases if case.split == "held_out"} == {11}
    card = read_card(out / teach.TAUGHT)
    assert card is not None and (card.last_session, card.in_sample) == (9, False)
    assert json.loads((out / teach.REGRESSION).read_text())["sessions"] == 10
    judged = [json.loads(row) for row in (out / teach.JUDGED / LOG).read_text().splitlines()]
    assert {row["model"] for row in judged if "model" in row} == {"rules", "logistic"}
    assert "logistic/entry_taught.v1/choice, held_out" in first.output
    assert "taught before" in again.output and "asked now" in again.output and "(0 asked now" in again.output
    page = (out / teach.JUDGED / "report.html").read_text()
    assert "taught on 22 cases of 10 sessions" in page and "up to the session numbered 9" in page
    assert 'id="glance"' in page and 'id="judgement"' not in page


def test_a_folder_taught_on_other_cases_is_refused(
    held_out: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_played(monkeypatch, held_out)
    without_servers(monkeypatch)
    out, tiny = tmp_path / "taught", str(tiny_model(tmp_path / "tiny"))
    line = ["teach", "--out", str(out), "--model", tiny, "--tune-share"]
    assert CliRunner().invoke(app, [*line, "0.9"]).exit_code == 0
    monkeypatch.setattr(teach, "EMBARGO", 0)

    ended = CliRunner().invoke(app, [*line, "0.9"])

    assert ended.exit_code != 0
    assert "was taught on other cases or another prompt; give --out another folder" in str(ended.exception)


def test_the_model_is_asked_as_it_was_and_as_it_was_taught(tmp_path: Path) -> None:
    suite = teach._suite(tmp_path / "cases.jsonl", GateSection(), tmp_path, "package")

    assert [(model.label, model.source) for model in suite.models if model.engine == "vllm"] == [
        ("untouched", "package"),
        ("taught", str(tmp_path / "taught")),
    ]
    assert [(each.models, each.prompts) for each in suite.passes] == [
        ((), ("entry_taught.v1",)),
        (("untouched",), ("entry_review.v1",)),
    ]


def test_a_run_that_ended_before_is_not_played_again(held_out: RunFolder) -> None:
    run_id = held_out.manifest().run_id
    plan: Any = SimpleNamespace(
        config=SimpleNamespace(runs=held_out.path.parent), inputs=SimpleNamespace(run_id=run_id)
    )

    assert teach._played(plan) == held_out.path
