"""A gate that blocks everything is said in the summary, on the page and in verdict.json, with the true cause."""

import json
from decimal import Decimal
from pathlib import Path

from played_runs import DAYS, TRADING, every_tenth_minute, play, walk

from llm_gate.contract import Approve, Outcome, Veto
from orchestrator.report.account_book import BookedProposal
from orchestrator.report.figures import gate_figures
from orchestrator.report.report import report_on
from rl_core.market.types import NO_ORDER

REFUSING = "near the floor"


def proposals(*kinds: str) -> list[BookedProposal]:
    """Proposals with these outcomes, one after the other."""
    outcomes = [{"kind": kind, "cause": "timeout"} if kind == "gate_failed" else {"kind": kind} for kind in kinds]
    decided = [{"outcome": outcome, "engine": "rules", "model": "m"} for outcome in outcomes]
    return [
        BookedProposal(f"{number:032x}", number, NO_ORDER, {}, one, "vetoed", NO_ORDER)
        for number, one in enumerate(decided)
    ]


def test_the_alarm_rings_for_a_gate_that_vetoes_nearly_everything_and_not_below() -> None:
    """Of twenty 19 are 95 %, with the approval in the middle so that no row is long; 18 are less."""
    mostly = proposals(*["veto"] * 10, "approve", *["veto"] * 9)
    less = proposals(*["veto"] * 9, "approve", *["veto"] * 9, "approve")

    assert gate_figures(mostly, {}, alarm_from=12).alarm == "it vetoed 19 of 20 proposals"
    assert gate_figures(less, {}, alarm_from=12).alarm == ""
    assert gate_figures(mostly, {}, alarm_from=21).alarm == "", "too few to say"


def test_the_alarm_rings_for_the_same_verdict_in_a_row_whatever_failed_in_between() -> None:
    figures = gate_figures(proposals("veto", *["approve"] * 3, "gate_failed", *["approve"] * 2), {}, alarm_from=5)

    assert (figures.in_a_row, figures.alarm) == (("approve", 5), "it said approve 5 times in a row")
    assert gate_figures(proposals("veto", *["approve"] * 4), {}, alarm_from=5).alarm == ""


def refused_run(runs: Path, first: Outcome) -> Path:
    """Five days under a gate that refuses all but the first, with less than two budgets of room at the start."""
    bars = walk((*DAYS, "2024-06-06", "2024-06-07"))
    account = TRADING.model_copy(update={"risk_dollars": Decimal(1500)})
    verdicts = [first]
    folder = play(
        runs,
        bars,
        every_tenth_minute(bars),
        lambda number: verdicts[number] if number < 1 else Veto(reason=REFUSING),
        engine="rules",
        account=account,
    )
    return folder.path


def test_an_account_stranded_by_its_gate_is_said_so_everywhere(tmp_path: Path) -> None:
    run = refused_run(tmp_path, Veto(reason=REFUSING))

    summary = report_on(run)

    verdict = json.loads((run / "verdict.json").read_text())
    page = (run / "report.html").read_text()
    assert "1 stranded (1 by the gate's vetoes)" in summary["attempts"]
    assert "; ALARM: it vetoed " in summary["gate"]
    assert verdict["attempts"]["refused"] == 1 and verdict["gate"]["alarm"].startswith("it vetoed ")
    assert any("stranded by the gate: in 3 sessions in a row" in text for text in verdict["not_proven"])
    assert "<strong>Alarm</strong>: it vetoed " in page and "1 stranded (1 by the gate&#39;s vetoes)" in page


def test_why_nothing_was_entered_any_more_is_the_gate_and_not_the_room(tmp_path: Path) -> None:
    run = refused_run(tmp_path, Approve())

    report_on(run)

    (why,) = [
        text
        for text in json.loads((run / "verdict.json").read_text())["not_proven"]
        if text.startswith("No entry was made in the last ")
    ]
    assert "the gate vetoed " in why and "an entry needs more than its stop's loss" not in why
