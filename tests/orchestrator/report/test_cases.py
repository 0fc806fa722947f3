"""A run's proposals as cases: outcomes of the whole bracket alone, split by time, and nothing that tells a day."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from played_runs import DAYS, every_tenth_minute, play, walk

from llm_gate.contract import Outcome, Veto
from llm_gate.evals.data.cases import read_cases, write_cases
from llm_gate.evals.data.true_days import Day, read_true_days
from orchestrator.cli import app
from orchestrator.report.account_book import proposals_of, read_account_book
from orchestrator.report.cases import in_sample_line, recorded_cases
from orchestrator.report.facts import facts_of
from orchestrator.report.report import report_on
from orchestrator.report.veto_ledger import play_bracket, run_bars_of
from orchestrator.run.folder import RunFolder
from trigate.errors import ConfigError


def veto_all(number: int) -> Outcome:
    return Veto(reason="no")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Three sessions in which the gate vetoed every entry."""
    bars = walk()
    return play(tmp_path_factory.mktemp("runs"), bars, every_tenth_minute(bars), veto_all, engine="vllm")


def test_a_vetoed_proposal_has_the_outcome_of_its_bracket_alone(run: RunFolder) -> None:
    found = recorded_cases(run.path)

    facts, book = facts_of(run.path, run.manifest()), read_account_book(run)
    run_bars = run_bars_of(book.bars, facts.trading.pack, facts.trading.hours, complete=True)
    result = {p.proposal_id: play_bracket(run_bars, p.bar, p.order, facts.trading.venue) for p in proposals_of(book)}
    ended = {name: end for name, end in result.items() if end is not None}
    assert {case.case_id: case.outcome_r_milli for case in found.cases} == {
        name: round(1000 * end.r) for name, end in ended.items()
    }
    assert found.without_end == len(result) - len(ended)
    assert len({case.outcome_r_milli for case in found.cases}) > 1


def test_the_split_is_by_time_and_a_session_is_a_place(run: RunFolder) -> None:
    """Of three sessions, half rounds to two for tuning."""
    cases = recorded_cases(run.path).cases

    assert [case.session for case in cases] == sorted(case.session or 0 for case in cases)
    assert {case.session: case.split for case in cases} == {0: "tune", 1: "tune", 2: "held_out"}
    assert {case.split for case in recorded_cases(run.path, tune_share=0.0).cases} == {"held_out"}


def test_the_command_writes_a_file_that_reads_back_and_names_no_day(run: RunFolder, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    path = tmp_path / "cases.jsonl"

    ended = CliRunner().invoke(app, ["cases", str(run.path), "--out", str(path)])

    assert ended.exit_code == 0
    assert ended.output.splitlines()[-1] == str(path)
    cases = read_cases(path)
    assert cases == recorded_cases(run.path).cases
    write_cases(cases, tmp_path / "again.jsonl")
    assert (tmp_path / "again.jsonl").read_bytes() == path.read_bytes()
    text = path.read_text()
    assert not any(day in text for day in DAYS)
    assert not re.search(r"20[0-9]{2}-|ts_event|NQ|weekday", text)


def test_a_case_says_whether_the_policy_was_trained_on_its_bar(run: RunFolder, tmp_path: Path) -> None:
    """The training bars end with the first bar of the second session: its decision is in sample, the rest is not."""
    bars = read_account_book(run).bars
    second = int(np.flatnonzero(np.diff(bars.ts_event_ns) > 3600 * 10**9)[0]) + 1
    copy = shutil.copytree(run.path, tmp_path / "run")
    end = int(bars.ts_event_ns[second]) + 1
    RunFolder(copy).write_manifest(run.manifest().model_copy(update={"trained_until_ns": end}))

    cases = recorded_cases(copy).cases

    assert {case.in_sample for case in cases if case.session == 0} == {True}
    assert {case.in_sample for case in cases if case.session == 2} == {False}
    inside = sum(bool(case.in_sample) for case in cases)
    assert (
        in_sample_line(cases) == f"{inside} cases on bars that the policy was trained on, {len(cases) - inside} outside"
    )


def test_where_the_checkpoint_is_gone_it_is_not_known(run: RunFolder) -> None:
    cases = recorded_cases(run.path).cases

    assert {case.in_sample for case in cases} == {None} and "in_sample" not in cases[0].model_dump_json()
    assert in_sample_line(cases).startswith(f"for {len(cases)} cases it is not known")


def test_the_embargo_leaves_out_the_last_sessions_for_tuning(run: RunFolder) -> None:
    whole, cut = recorded_cases(run.path), recorded_cases(run.path, embargo=1)

    assert {case.session: case.split for case in cut.cases} == {0: "tune", 2: "held_out"}
    assert cut.embargoed == len(whole.cases) - len(cut.cases) > 0


def test_the_truth_lies_in_a_file_of_its_own(run: RunFolder, tmp_path: Path) -> None:
    """3 June 2024 was a Monday."""
    from typer.testing import CliRunner

    CliRunner().invoke(app, ["cases", str(run.path), "--out", str(tmp_path / "cases.jsonl")])

    truths, cases = read_true_days(tmp_path / "cases.truth.jsonl"), read_cases(tmp_path / "cases.jsonl")
    days = [Day(2024, 6, 3, 0, "NQ"), Day(2024, 6, 4, 1, "NQ"), Day(2024, 6, 5, 2, "NQ")]
    assert {case.case_id: days[case.session or 0] for case in cases} == truths


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no run's folder"):
        recorded_cases(tmp_path)


def test_the_report_says_shadow_until_the_ledger_shows_more(run: RunFolder) -> None:
    """A gate that vetoes everything differs from no random veto at its rate: its uplift is zero."""
    report_on(run.path)

    page = (run.path / "report.html").read_text(encoding="utf-8")

    section = page[page.index("<h2>The gate</h2>") :]
    assert "<strong>SHADOW</strong>: " in section
    assert "fewer than 60" in section
    assert "uplift over random vetoes +0.000 R" in section
