"""The report of a run: its figures, its files, and what it says when something is missing or wrong."""

import json
import re
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from played_runs import every_tenth_minute, play, text_of, walk
from typer.testing import CliRunner

from orchestrator.cli import app
from orchestrator.journal.journal import DamagedJournalError, ForeignJournalError, Journal, read_journal
from orchestrator.report.cases import recorded_cases
from orchestrator.report.formats import interval
from orchestrator.report.origin import origin_of
from orchestrator.report.report import UnreconciledError, report_on
from orchestrator.run.telemetry import Telemetry
from rl_core.statistics.bootstrap import session_block_bootstrap
from rl_core.statistics.sizes import signs_differ
from trigate.errors import ConfigError

DAY = ("2024-06-03",)


def test_the_figures_are_those_of_the_journal(tmp_path: Path) -> None:
    bars = walk()
    folder = play(tmp_path, bars, every_tenth_minute(bars))

    summary = report_on(folder.path)

    trades = [record.payload for record in read_journal(folder.journal) if record.type == "trade"]
    net = sum(trade["pnl"] for trade in trades)
    assert summary["trades"] == len(trades) > 10 and "note" not in summary
    assert summary["mean_r"] == pytest.approx(sum(trade["pnl"] / trade["risk"] for trade in trades) / len(trades))
    assert summary["win_rate"] == pytest.approx(sum(trade["pnl"] > 0 for trade in trades) / len(trades))
    assert Decimal(summary["net_profit"].replace("$", "").replace(",", "")) == Decimal(net) / 100
    assert (summary["verdict"], summary["status"], summary["sessions"]) == ("NOT PROVEN", "ended", 3)
    assert summary["books"] == "agree to the cent"
    assert pq.read_table(folder.path / "trades.parquet")["pnl"].to_pylist() == [trade["pnl"] for trade in trades]
    assert json.loads((folder.path / "verdict.json").read_text())["net_cents"] == net
    points = pq.read_table(folder.path / "equity.parquet")
    assert points["equity"].to_pylist()[-1] == [r for r in read_journal(folder.journal)][-2].payload["cash"]


@pytest.mark.parametrize("lost", [1, 2, 40])
def test_an_ended_run_that_lost_records_is_damaged_and_keeps_its_report(tmp_path: Path, lost: int) -> None:
    """Every line that is left is whole: without the manifest it would be the record of a smaller run."""
    bars = walk(DAY)
    folder = play(tmp_path, bars, every_tenth_minute(bars))
    report_on(folder.path)
    before = {path.name: path.read_bytes() for path in folder.path.iterdir()}
    lines = folder.journal.read_bytes().splitlines(keepends=True)
    folder.journal.write_bytes(b"".join(lines[:-lost]))

    for read in (report_on, recorded_cases):
        with pytest.raises(DamagedJournalError, match=f"its {len(lines) - lost} whole records do not end") as refused:
            read(folder.path)
        assert refused.value.exit_code == 3

    after = {path.name: path.read_bytes() for path in folder.path.iterdir()}
    assert {name for name in before if before[name] != after[name]} == {"journal.jsonl"}


def test_messages_that_were_dropped_and_strangers_are_counted_over_every_start(tmp_path: Path) -> None:
    bars = walk(DAY)
    folder = play(tmp_path, bars, every_tenth_minute(bars))
    nothing = report_on(folder.path)["messages"]
    with Telemetry(folder.telemetry) as telemetry:
        telemetry.note("refused", late=2, stale=1, strangers=1)
        telemetry.note("refused", late=1, strangers=0)

    counted = report_on(folder.path)["messages"]

    assert nothing == "0 dropped, 0 strangers refused"
    assert counted == "4 dropped (3 late, 1 stale), 1 stranger refused"
    assert counted in text_of(folder)


def test_a_market_that_the_policy_never_saw_is_a_limit_of_the_page(tmp_path: Path) -> None:
    bars = walk(DAY)
    folder = play(tmp_path, bars, every_tenth_minute(bars))
    report_on(folder.path)
    silent = text_of(folder)
    foreign = "the policy was trained on ES, and these are bars of NQ, which it never saw"
    folder.write_manifest(folder.manifest().model_copy(update={"foreign_market": foreign}))

    report_on(folder.path)

    assert "which it never saw" not in silent
    assert f"The{foreign[3:]}." in text_of(folder).split('id="limits"')[1].split("</section>")[0]


def test_the_journal_of_another_run_is_refused(tmp_path: Path) -> None:
    bars = walk(DAY)
    folder = play(tmp_path, bars, every_tenth_minute(bars), stop_after=30)
    other = play(tmp_path / "other", bars, every_tenth_minute(bars), stop_after=30, name="other")
    folder.write_manifest(folder.manifest().model_copy(update={"journal_head": ""}))
    folder.journal.write_bytes(other.journal.read_bytes())

    with pytest.raises(ForeignJournalError, match=f"record of run {other.manifest().run_id}") as refused:
        report_on(folder.path)

    assert refused.value.exit_code == 3


def test_the_page_is_one_offline_file(tmp_path: Path) -> None:
    bars = walk(DAY)
    folder = play(tmp_path, bars, every_tenth_minute(bars))
    report_on(folder.path)

    page = (folder.path / "report.html").read_text(encoding="utf-8")

    assert not re.findall(r"<(?:link|img|iframe)\b|<script[^>]*\bsrc=", text_of(folder))
    assert not re.findall(r"<script[^>]*\bsrc=", page)
    assert len(page) < 200_000
    assert 'id="plot-equity"' in page


def test_the_same_journal_gives_the_same_page(tmp_path: Path) -> None:
    bars = walk(DAY)
    folder = play(tmp_path, bars, every_tenth_minute(bars))

    report_on(folder.path)
    first = (folder.path / "report.html").read_bytes()
    report_on(folder.path)

    assert (folder.path / "report.html").read_bytes() == first


def test_a_run_without_trades_is_reported(tmp_path: Path) -> None:
    folder = play(tmp_path, walk(DAY), {})

    summary = report_on(folder.path)

    assert (summary["trades"], summary["mean_r"], summary["verdict"]) == (0, None, "NOT PROVEN")
    assert "the policy wanted no entry" in summary["note"]
    shown = CliRunner().invoke(app, ["report", str(folder.path)]).stdout
    assert "wanted no entry" in shown and "–" not in shown  # one sign for what there is none of
    assert "No trade was closed." in text_of(folder)
    assert pq.read_table(folder.path / "trades.parquet").num_rows == 0


@pytest.mark.parametrize("bars_played", [0, 1, 57])
def test_a_run_that_has_not_ended_says_so(tmp_path: Path, bars_played: int) -> None:
    bars = walk(DAY)
    folder = play(tmp_path, bars, every_tenth_minute(bars), stop_after=bars_played)

    summary = report_on(folder.path)

    assert (summary["status"], summary["books"]) == ("not finished", "agree to the cent")
    assert "This run has not ended" in text_of(folder)
    assert "the run has not ended" in json.loads((folder.path / "verdict.json").read_text())["reasons"]


def test_a_run_killed_between_a_fill_and_its_trade_still_reconciles(tmp_path: Path) -> None:
    """The last line kept is the exit's fill; the trade that belongs to it was never written."""
    bars = walk(DAY)
    folder = play(tmp_path, bars, every_tenth_minute(bars))
    lines = folder.journal.read_bytes().splitlines(keepends=True)
    exits = [n for n, line in enumerate(lines) if b'"t":"trade"' in line]
    folder.journal.write_bytes(b"".join(lines[: exits[2]]))
    folder.write_manifest(folder.manifest().model_copy(update={"status": "running", "journal_head": ""}))

    summary = report_on(folder.path)

    assert (summary["trades"], summary["books"]) == (2, "agree to the cent")


def test_books_that_do_not_agree_are_written_and_refused(tmp_path: Path) -> None:
    bars = walk(DAY)
    folder = play(tmp_path, bars, every_tenth_minute(bars))
    records = list(read_journal(folder.journal))
    folder.journal.unlink()
    with Journal.open(folder.journal) as forged:
        for record in records:
            payload = record.payload
            if record.type == "trade" and payload["number"] == 1:
                payload = {**payload, "pnl": payload["pnl"] + 1}
            forged.append(record.type, payload, sync=record.synced)
        folder.write_manifest(folder.manifest().model_copy(update={"journal_head": forged.head}))

    with pytest.raises(UnreconciledError, match=r"trade 1: .* cents") as raised:
        report_on(folder.path)

    assert raised.value.exit_code == 1
    assert "The books do not reconcile" in text_of(folder)
    assert "the books do not reconcile" in json.loads((folder.path / "verdict.json").read_text())["reasons"]


def test_the_page_says_what_it_does_not_prove(tmp_path: Path) -> None:
    folder = play(tmp_path, walk(DAY), {}, engine="vllm", declaration="planted edge", part="all")

    report_on(folder.path)

    limits = text_of(folder).split('id="limits"')[1].split("</section>")[0]
    for fact in ("smollm2-135m", "generated world", "bans automated trading", "trained on", "own review of an account"):
        assert fact in limits


def test_an_old_rule_pack_warns(tmp_path: Path) -> None:
    """The pack was read on 2026-08-31; day 90 is 2026-11-29."""
    folder = play(tmp_path, walk(DAY), {})
    recorded = []
    for day in ("2026-11-29", "2026-11-30"):
        folder.write_manifest(folder.manifest().model_copy(update={"started": f"{day}T12:00:00+00:00"}))
        report_on(folder.path)
        recorded.append("more than 90 days before" in text_of(folder))

    assert recorded == [False, True]


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no run's folder"):
        report_on(tmp_path)


def test_trades_of_one_session_prove_nothing_either_way() -> None:
    """Whole sessions are resampled: with one there is no spread, so even a run of losses is no FAIL."""
    expectancy = session_block_bootstrap(np.full(200, -1.0), np.zeros(200, np.int64))

    assert interval(expectancy) == "no interval: 1 session with trades; at least 10 are needed"


def test_what_the_manifest_says_of_bars_and_policy_reaches_word_page_and_file(tmp_path: Path) -> None:
    bars = walk(DAY)
    folder = play(tmp_path, bars, every_tenth_minute(bars))
    clean = {"in_sample": False, "trained_on_world": False, "training_ended": True}
    words = []

    for changed in ({}, {"trained_on_world": True}, {"training_ended": False}, {"in_sample": True}):
        folder.write_manifest(folder.manifest().model_copy(update={**clean, **changed}))
        summary = report_on(folder.path)
        told = json.loads((folder.path / "verdict.json").read_text())
        assert summary["verdict"] == told["verdict"] and told["verdict"] in text_of(folder)
        words.append((told["verdict"], told["reasons"][0]))

    assert words[0][0] == "NOT PROVEN" and "at least 10 are needed" in words[0][1]
    assert words[1] == ("NOT PROVEN", "the policy was trained on a synthetic world")
    assert words[2] == ("NOT PROVEN", "the training of the policy has not ended")
    assert words[3] == (
        "IN SAMPLE",
        "bars that the policy or its phase 1 was trained on, or that had been seen, are included",
    )


def test_a_run_from_before_that_was_recorded_is_asked_by_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its checkpoint is gone, so what cannot be found again is a doubt; a run over all bars is in sample."""
    monkeypatch.chdir(tmp_path)  # the default checkpoint lies below it, and may be there after `make sim`
    bars = walk(DAY)
    folder = play(tmp_path, bars, every_tenth_minute(bars))
    manifest = folder.manifest()
    assert manifest.in_sample is None

    report_on(folder.path)
    told = json.loads((folder.path / "verdict.json").read_text())
    every = manifest.inputs.model_copy(update={"config": {**manifest.inputs.config, "part": "all"}})

    assert told["verdict"] == "NOT PROVEN" and "is gone, so whether it was trained on a" in told["reasons"][0]
    assert origin_of(manifest.model_copy(update={"inputs": every})).in_sample


@pytest.mark.parametrize(
    ("mean_r", "money", "said"),
    [(0.034, -26220, True), (-0.1, 5, True), (0.1, 5, False), (None, 0, False), (0.1, 0, False)],
)
def test_results_of_different_signs_are_explained(mean_r: float | None, money: int, said: bool) -> None:
    assert (signs_differ(mean_r, money) is not None) == said
