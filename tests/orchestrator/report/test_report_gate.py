"""What the report says of the gate: its verdicts and failures, the regimes it judged in, and its words."""

import json
import re
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as pq
from played_runs import every_tenth_minute, explored, play, text_of, walk

from llm_gate.contract import Approve, GateFailed, Outcome, Resize, Veto
from orchestrator.journal.journal import read_journal
from orchestrator.report.account_book import read_account_book
from orchestrator.report.facts import facts_of
from orchestrator.report.gate_words import in_words
from orchestrator.report.report import report_on
from orchestrator.report.result import run_result
from orchestrator.report.veto_ledger import veto_ledger
from rl_core.market.types import NO_ORDER
from rl_core.regimes.fitted import RegimeModel, as_text
from rl_core.regimes.labels import Thresholds
from rl_core.trading.setup import RESOLUTIONS

DAY = ("2024-06-03",)


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
    assert "<script>alert(1)</script>" in {row["reason"] for row in explored(folder)["rows"]}


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

    assert {row["reason"] for row in explored(folder)["rows"]} == {"the model gave shrinking a probability of 0.36"}


def test_what_was_ordered_is_read_both_ways(tmp_path: Path) -> None:
    """The ledger is of proposed sizes and of the run's own reading, which is not played twice; R has no size."""
    wide = {"high": 300, "low": -290}
    bars = [
        bar.model_copy(update={name: getattr(bar, name) + more for name, more in wide.items() if bar.seq % 10 == 5})
        for bar in walk()
    ]
    folder = play(tmp_path, bars, every_tenth_minute(bars), verdict_in_turn, engine="vllm")
    facts, book = facts_of(folder.path, folder.manifest()), read_account_book(folder)

    result = run_result(facts, book)

    taken = [each._replace(order=each.taken) for each in result.proposals if each.taken != NO_ORDER]
    assert {each.taken == each.order for each in result.proposals if each.taken != NO_ORDER} == {True, False}
    for name, group in zip(("pessimistic", "adaptive"), result.resolutions, strict=True):
        anew = veto_ledger(taken, result.run_bars, facts.trading.venue._replace(resolution=RESOLUTIONS[name]))
        assert group.name == name and group.r.tolist() == [row.result.r for row in anew if row.result is not None]
    assert result.resolutions[0].r.tolist() != result.resolutions[1].r.tolist()
