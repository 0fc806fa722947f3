"""`orchestrator walk-gate` on a walk of `rl-core walk-forward`: from its folder alone, and not if a line is crossed."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from llm_gate.engines.logistic import read_logistic
from llm_gate.evals.data.cases import read_cases
from orchestrator.cli import app
from rl_core.bars.read import read_bars
from rl_core.bars.write import write_bars
from rl_core.checkpoints.policy import load_trader
from rl_core.evaluation.carried import FRESH, play_carried
from rl_core.evaluation.entrants import Trained
from rl_core.evaluation.span import span_between
from rl_core.features.market_view import view_of
from rl_core.proofs.walk_record import RECORD
from rl_core.trading.setup import TradingConfig, compile_trading
from tests.processes.conftest import untrained
from tests.rl_core.markets import random_bars, session_minutes
from trigate.errors import ConfigError, DataError


def walk_gate(folder: Path, *more: str) -> Result:
    return CliRunner().invoke(app, ["walk-gate", str(folder), "--reruns", "3", *more])


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A walk of one fold, whose policy was never updated: twelve sessions are the gate's, and two judge.

    `tests/rl_core/commands/test_walk_forward.py` gives the command a folder that `rl-core walk-forward` wrote.
    """
    folder = tmp_path_factory.mktemp("walk_gate")
    bars, run = random_bars(4, session_minutes(18)), folder / "walk/fold-1/seed-0/phase1"
    write_bars(bars, folder / "NQ_D1M.parquet")
    read = read_bars(folder / "NQ_D1M.parquet")
    trading = compile_trading(TradingConfig(), read.instrument)
    view = view_of(read, trading.pack, trading.hours)
    days = np.unique(view.located.session)
    label = [str(day) for day in days.astype("datetime64[D]")]
    until = int(read.ts_event_ns[np.searchsorted(view.located.session, days[2])])
    checkpoint = untrained(run.parent, 1, read, until)
    source = {"bars": str(folder / "NQ_D1M.parquet"), "market": "NQ", "timezone": None, "digest": read.digest}
    (run / "source.json").write_text(json.dumps(source))
    judged = play_carried(
        Trained(load_trader(checkpoint)), view, trading, span_between(view.located.session, days[16], days[17]),
        accounts=FRESH,
    )  # fmt: skip
    fold = {"fold": 1, "locked": False, "trained_on": f"{label[0]} to {label[1]}", "sessions": 2}
    fold |= {"left_to_gate": f"{label[3]} to {label[14]}", "judged_on": f"{label[16]} to {label[17]}"}
    fold |= {"trades": [len(judged.trades.r)], "r_a_session": [judged.trades.r.sum() / 2]}
    record = {"phase": 1, "folds": [fold], "seeds": {"0": 0.0}, "openings_of_the_locked_fold": 0}
    (folder / "walk" / RECORD).write_text(json.dumps(record))
    return folder / "walk"


@pytest.fixture(scope="module")
def told(walked: Path) -> dict[str, Any]:
    done = walk_gate(walked, "--json")
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def changed(walked: Path, to: Path, **fields: str) -> Path:
    """A copy of the walk whose record says something else of its only fold."""
    copy = to / "walk"
    shutil.copytree(walked, copy)
    record = json.loads((copy / RECORD).read_text())
    record["folds"][0].update(fields)
    (copy / RECORD).write_text(json.dumps(record))
    return copy


def test_each_policy_has_a_gate_and_the_figures_are_kept(walked: Path, told: dict[str, Any]) -> None:
    record = json.loads((walked / RECORD).read_text())["folds"][0]
    (fold,) = told["folds"]
    cases = read_cases(walked / "gates/fold-1/seed-0/cases.jsonl")

    assert told == json.loads((walked / "walk_gate.json").read_text())
    assert (fold["gate_taught_on"], fold["judged_on"]) == (record["left_to_gate"], record["judged_on"])
    assert fold["r_a_session"]["always approving"] * record["sessions"] == pytest.approx(
        record["r_a_session"][0] * record["sessions"]
    )
    assert fold["cases"] == [sum(case.split == "tune" for case in cases)] and fold["cases"][0] > 20
    assert read_logistic(walked / "gates/fold-1/seed-0/logistic.json").saved.cases == fold["cases"][0]
    assert sum(each["asked"] for each in told["regimes"]) == fold["asked"][0]
    assert sum(each["taught"] for each in told["regimes"]) == fold["cases"][0]
    assert told["verdict"] == "NOT PROVEN" and told["sessions"] == 2, "two sessions prove nothing"


def test_the_command_prints_folds_and_regimes(walked: Path) -> None:
    done = walk_gate(walked, "--strict")

    assert done.exit_code == 4
    assert "gate less always approving: " in done.stdout and "NOT PROVEN: no interval against" in done.stdout
    assert "rare when taught" in done.stdout and "often met when taught" in done.stdout


def test_a_record_that_lets_trained_bars_teach_is_not_believed(walked: Path, tmp_path: Path) -> None:
    """The checkpoint says itself until when it was trained."""
    record = json.loads((walked / RECORD).read_text())["folds"][0]
    trained_until, gate_until = record["trained_on"].split(" to ")[1], record["left_to_gate"].split(" to ")[1]

    refused = walk_gate(changed(walked, tmp_path, left_to_gate=f"{trained_until} to {gate_until}"))

    assert isinstance(refused.exception, ConfigError) and "was trained on bars" in str(refused.exception)


def test_a_record_that_lets_taught_bars_judge_is_not_believed(walked: Path, tmp_path: Path) -> None:
    record = json.loads((walked / RECORD).read_text())["folds"][0]
    gate_until, judged_until = record["left_to_gate"].split(" to ")[1], record["judged_on"].split(" to ")[1]

    refused = walk_gate(changed(walked, tmp_path, judged_on=f"{gate_until} to {judged_until}"))

    assert isinstance(refused.exception, ConfigError) and "judged on bars that it is taught on" in str(
        refused.exception
    )


def test_other_figures_than_the_walks_are_refused(walked: Path, tmp_path: Path) -> None:
    """Without a gate the path is what the walk judged, or something has changed in between."""
    record = json.loads((walked / RECORD).read_text())["folds"][0]

    refused = walk_gate(changed(walked, tmp_path, r_a_session=[record["r_a_session"][0] + 0.01]))

    assert isinstance(refused.exception, DataError) and "fold 1, seed 0: without a gate" in str(refused.exception)


def test_a_walk_that_left_nothing_to_a_gate_and_no_walk_are_refused(walked: Path, tmp_path: Path) -> None:
    without = walk_gate(changed(walked, tmp_path, left_to_gate=None))  # type: ignore[arg-type]  # as json has it
    none = walk_gate(tmp_path)

    assert isinstance(without.exception, ConfigError) and "--gate-share 0.2" in str(without.exception)
    assert isinstance(none.exception, ConfigError) and "walk_forward.json" in str(none.exception)
