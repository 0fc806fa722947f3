"""A run whose stops were managed is held beside the same entries with their brackets left alone; others are not."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from orchestrator.report.report import report_on
from orchestrator.run.folder import RunFolder
from rl_core.contract import BUY, ENABLE_TRAIL, SELL
from tests.orchestrator.played_runs import play, text_of, walk


def test_management_is_paired_with_the_brackets_alone(tmp_path: Path) -> None:
    """Every second entry trails from its fourth minute on: the pairs are the trades and the rows of the veto ledger."""
    bars = walk()
    actions = {n: BUY if n % 100 else SELL for n in range(50, len(bars) - 60, 50)}
    actions |= {n + 4: ENABLE_TRAIL for n in range(50, len(bars) - 60, 100)}

    run = play(tmp_path, bars, actions, phase=2)
    summary = report_on(run.path)

    told = json.loads((run.path / "verdict.json").read_text())["management"]
    trades, ledger = (pq.read_table(run.path / f"{name}.parquet").to_pylist() for name in ("trades", "veto_ledger"))
    alone = {row["proposal_id"]: row["r"] for row in ledger}
    assert told["trades"] == len(trades) >= 8
    assert told["r"] == pytest.approx(sum(trade["r"] for trade in trades))
    assert told["alone"] == pytest.approx(sum(alone[trade["order_id"]] for trade in trades))
    assert abs(told["alone"] - told["r"]) > 0.1
    assert told["verdict"] == "NOT PROVEN" and any("management.min_sessions = 60" in why for why in told["reasons"])
    assert summary["management"].startswith("NOT PROVEN: ")
    assert "Management over fixed brackets: NOT PROVEN." in text_of(run)


def test_a_run_without_management_says_nothing_of_it(won: RunFolder) -> None:
    summary = report_on(won.path)

    assert "management" not in summary and "Management over fixed brackets" not in text_of(won)
    assert json.loads((won.path / "verdict.json").read_text())["management"] is None
