"""The report of a run: its figures, its files, and what it says when something is missing or wrong."""

import json
import re
from collections import Counter
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from played_runs import every_tenth_minute, play, walk

from llm_gate.contract import Approve, GateFailed, Outcome, Resize, Veto
from orchestrator.journal.journal import DamagedJournalError, ForeignJournalError, Journal, read_journal
from orchestrator.report.account_book import read_account_book
from orchestrator.report.cases import recorded_cases
from orchestrator.report.facts import facts_of
from orchestrator.report.formats import interval
from orchestrator.report.origin import origin_of
from orchestrator.report.page import in_words
from orchestrator.report.report import UnreconciledError, report_on
from orchestrator.report.result import run_result
from orchestrator.run.folder import RunFolder
from orchestrator.run.telemetry import Telemetry
from rl_core.regimes.fitted import RegimeModel, as_text
from rl_core.regimes.labels import Thresholds
from rl_core.statistics.bootstrap import session_block_bootstrap
from rl_core.statistics.sizes import signs_differ
from trigate.errors import ConfigError

DAY = ("2024-06-03",)


def text_of(folder: RunFolder) -> str:
    """The page without its script and style."""
    page = (folder.path / "report.html").read_text(encoding="utf-8")
    return re.sub(r"<(script|style).*?</\1>", "", page, flags=re.DOTALL)


def test_the_figures_are_those_of_the_journal(tmp_path: Path) -> None:
    bars = walk()
    folder = play(tmp_path, bars, every_tenth_minute(bars))

    summary = report_on(folder.path)

    trades = [record.payload for record in read_journal(folder.journal) if record.type == "trade"]
    net = sum(trade["pnl"] for trade in trades)
    assert summary["trades"] == len(trades) > 10
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


def test_the_journal_of_another_run_is_refused(tmp_path: Path) -> None:
    bars = walk(DAY)
    folder = play(tmp_path, bars, every_tenth_minute(bars), stop_after=30)
    other = play(tmp_path / "other", bars, every_tenth_minute(bars), stop_after=30, name="other")
    folder.write_manifest(folder.manifest().model_copy(update={"journal_head": ""}))
    folder.journal.write_bytes(other.journal.read_bytes())

    with pytest.raises(ForeignJournalError, match=f"record of run {other.manifest().run_id}") as refused:
        report_on(folder.path)

    assert refused.value.exit_code == 3


def test_a_run_whose_proposals_went_without_a_verdict_is_not_proven(tmp_path: Path) -> None:
    """From 3 % on it is a reason of its own: what was traded is not what the gate would have traded."""
    bars = walk()
    entries = every_tenth_minute(bars)

    def failing(every: int) -> list[str]:
        folder = play(
            tmp_path / str(every),
            bars,
            entries,
            lambda number: GateFailed(cause="timeout") if number % every == 0 else Veto(reason="no"),
            engine="vllm",
        )
        report_on(folder.path)
        reasons: list[str] = json.loads((folder.path / "verdict.json").read_text())["reasons"]
        return [reason for reason in reasons if "without a verdict" in reason]

    (told,) = failing(20)
    assert re.match(r"\d+ of \d+ proposals went without a verdict \(\d+\.\d %\)", told)
    assert failing(1000) == []


def test_proposals_are_broken_down_by_the_regime_they_went_out_with(tmp_path: Path) -> None:
    """Each proposal counts once by its regime and once by its part of the session."""
    bars = walk()
    folder = play(tmp_path, bars, every_tenth_minute(bars))
    report_on(folder.path)

    result = run_result(facts_of(folder.path, folder.manifest()), read_account_book(folder))

    contexts = [row.proposal.context for row in result.ledger if row.result is not None]
    sizes = {group.name: group.r.size for groups in result.regimes.values() for group in groups}
    assert sizes == {**Counter(c["regime"] for c in contexts), **Counter(c["session_part"] for c in contexts)}
    assert sum(sizes.values()) == 2 * len(contexts) > 20
    assert all(f"<td>{name}</td>" in text_of(folder) for name in sizes)


MODEL = RegimeModel(
    digest="", fitted_until_ns=0, bars=1, thresholds=Thresholds(1800, 30, 70), usual_log_range=(2.5,) * 48,
    start=(0.5, 0.5), transition=((0.98, 0.02), (0.05, 0.95)), mean=(-0.4, 0.6), spread=(0.5, 0.6),
    log_likelihood_per_bar=0.0, label_shares=(0.05, 0.05, 0.1, 0.1, 0.2, 0.1, 0.1, 0.2, 0.1), wild_share=0.25,
)  # fmt: skip


def test_proposals_are_broken_down_by_the_hidden_state_and_the_labels_held_against_training(tmp_path: Path) -> None:
    """Half of the bars are wild here; every one is up/normal, which 20 in 100 were in training."""
    bars = walk()
    folder = play(tmp_path, bars, every_tenth_minute(bars), regimes=as_text(MODEL))
    report_on(folder.path)

    verdict = json.loads((folder.path / "verdict.json").read_text())

    proposed = [r.payload["proposal"]["context"] for r in read_journal(folder.journal) if r.type == "proposed"]
    states = Counter("wild" if context["wild_percent"] >= 50 else "calm" for context in proposed)
    assert {name: group["rows"] for name, group in verdict["by_regime"]["hidden state"].items()} == states
    assert len(states) == 2
    assert verdict["regime_thresholds"] == (
        "Labels by thresholds fitted on the training split alone: beyond 1.8 ATR in an hour is up or down, volatility "
        "below its percentile 30 is calm, from 70 on wild."
    )
    assert verdict["regime_shift"] == (
        "Shares of the 1,350 bars, in brackets those of the training split: down 0 % (20 %), flat 0 % (40 %), "
        "up 100 % (40 %); calm 0 % (25 %), normal 100 % (45 %), wild 0 % (30 %); hidden state wild 48 % (25 %). "
        "Farthest apart: up, by 60 points."
    )
    assert verdict["regime_shift"] in text_of(folder) and verdict["regime_thresholds"] in text_of(folder)


def test_a_lost_or_changed_copy_of_the_regimes_is_said(tmp_path: Path) -> None:
    bars = walk(DAY)
    folder = play(tmp_path, bars, every_tenth_minute(bars), regimes=as_text(MODEL))
    kept = folder.path / "regimes.json"

    for spoil in (lambda: kept.write_text(kept.read_text().replace("1800", "1801")), kept.unlink):
        spoil()
        report_on(folder.path)
        page = text_of(folder)
        assert "the run&#39;s copy of them is lost" in page and "The run&#39;s regimes.json is gone or changed" in page
        assert "hidden state" in page and "those of the training split" not in page


def test_the_page_is_one_offline_file(tmp_path: Path) -> None:
    bars = walk(DAY)
    folder = play(tmp_path, bars, every_tenth_minute(bars))
    report_on(folder.path)

    page = (folder.path / "report.html").read_text(encoding="utf-8")

    assert not re.findall(r"<(?:link|img|iframe)\b|<script[^>]*\bsrc=", text_of(folder))
    assert not re.findall(r"<script[^>]*\bsrc=", page)
    assert page.count("plotly.js v") == 1
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


def verdict_in_turn(number: int) -> Outcome:
    """Approve, veto, shrink, fail, and again."""
    outcomes: tuple[Outcome, ...] = (
        Approve(),
        Veto(reason="<script>alert(1)</script>"),
        Resize(size_factor=Decimal("0.5"), reason="late"),
        GateFailed(cause="timeout"),
    )
    return outcomes[number % 4]


def test_a_failed_gate_is_counted_by_cause_and_never_as_a_veto(tmp_path: Path) -> None:
    bars = walk(DAY)
    folder = play(tmp_path, bars, every_tenth_minute(bars), verdict_in_turn, engine="vllm")

    report_on(folder.path)

    recorded = [r.payload["outcome"]["kind"] for r in read_journal(folder.journal) if r.type == "decided"]
    gate = json.loads((folder.path / "verdict.json").read_text())["gate"]
    assert gate["failures"] == {"timeout": recorded.count("gate_failed")} and recorded.count("gate_failed") > 0
    assert gate["outcomes"] == {kind: recorded.count(kind) for kind in ("approve", "resize", "veto")}
    ledger = pq.read_table(folder.path / "veto_ledger.parquet").to_pylist()
    assert [row["outcome"] for row in ledger] == recorded
    assert all(row["taken_quantity"] == 0 for row in ledger if row["outcome"] in ("veto", "gate_failed"))


def test_words_of_the_model_are_text_on_the_page(tmp_path: Path) -> None:
    bars = walk(DAY)
    folder = play(tmp_path, bars, every_tenth_minute(bars), verdict_in_turn, engine="vllm")

    report_on(folder.path)

    page = (folder.path / "report.html").read_text(encoding="utf-8")
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page


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
    assert words[3] == ("IN SAMPLE", "bars that the policy or its phase 1 was trained on are included")


def test_a_run_from_before_that_was_recorded_is_asked_by_its_checkpoint(tmp_path: Path) -> None:
    """Its checkpoint is gone, so what cannot be found again is a doubt; a run over all bars is in sample."""
    bars = walk(DAY)
    folder = play(tmp_path, bars, every_tenth_minute(bars))
    manifest = folder.manifest()
    assert manifest.in_sample is None

    report_on(folder.path)
    told = json.loads((folder.path / "verdict.json").read_text())
    every = manifest.inputs.model_copy(update={"config": {**manifest.inputs.config, "part": "all"}})

    assert told["verdict"] == "NOT PROVEN" and "is gone, so whether it was trained on a" in told["reasons"][0]
    assert origin_of(manifest.model_copy(update={"inputs": every})).in_sample


def test_what_the_gate_was_told_is_shown_as_far_as_it_was_told() -> None:
    recorded = {f"trend_{minutes}_atr_milli": 500 for minutes in (15, 60, 240)}
    recorded |= {"regime": "up/calm", "session_part": "late", "volatility_percentile": 30, "minutes_to_flat": 75}
    recorded |= {"room_to_floor_risks_milli": 8300, "losing_streak": 2}
    place = {"to_session_high_atr_milli": 700, "to_session_low_atr_milli": 2100, "vwap_atr_milli": -350}

    old, new = in_words(recorded), in_words({**recorded, **place, "volume_percentile": 40, "wild_percent": 12})

    assert old == (
        "up/calm, late; trend in ATR: +0.5 in 15, +0.5 in 60, +0.5 in 240 min; volatility above 30 % of past days; "
        "75 min to flat; room of 8.3 risks; 2 losses in a row"
    )
    place_in_words = (
        "volume above 40 %; 0.7 ATR under the high, 2.1 over the low, -0.3 from the mean price; wild state 12 %"
    )
    assert new == old.replace("past days; ", f"past days; {place_in_words}; ")


def test_a_letter_is_shown_as_what_it_stands_for(tmp_path: Path) -> None:
    bars = walk(DAY)
    chose = Resize(size_factor=Decimal("0.5"), reason="the model chose B with 0.36")
    folder = play(tmp_path, bars, every_tenth_minute(bars), lambda number: chose, engine="vllm")
    report_on(folder.path)

    assert "the model gave shrinking a probability of 0.36" in text_of(folder)


@pytest.mark.parametrize(
    ("mean_r", "money", "said"),
    [(0.034, -26220, True), (-0.1, 5, True), (0.1, 5, False), (None, 0, False), (0.1, 0, False)],
)
def test_results_of_different_signs_are_explained(mean_r: float | None, money: int, said: bool) -> None:
    assert (signs_differ(mean_r, money) is not None) == said
