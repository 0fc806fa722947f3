"""Cases of a gated world: every signal as a run would propose it, and what there is to find beside them."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from llm_gate.evals.data.cases import read_cases
from llm_gate.evals.data.planted_cases import read_planted
from llm_gate.prompts.facts import facts_of
from orchestrator.cli import app
from rl_core.worlds.gated import gate_optimum
from trigate.errors import ConfigError


def test_the_command_writes_what_a_gate_is_told_and_which_cases_pay(tmp_path: Path) -> None:
    """With the one fact in words, a reader of the prompt knows which signals pay."""
    path = tmp_path / "cases.jsonl"

    ended = CliRunner().invoke(app, ["world-cases", "--out", str(path), "--sessions", "20", "--seed", "3"])

    assert ended.exit_code == 0, ended.output
    cases, world = read_cases(path), read_planted(path)
    told = {case.case_id for case in cases if facts_of(case.proposal).trend_240 == "with"}
    assert told == set(world.paying) and 0 < len(told) < len(cases)
    assert world.uplift_r == gate_optimum(1.15).uplift_r
    assert {case.in_sample for case in cases} == {False} and {case.split for case in cases} == {"tune", "held_out"}
    assert -1.6 < np.mean([(case.outcome_r_milli or 0) / 1000 for case in cases]) < 3
    assert "best gate: +0.256 R" in ended.output


def test_a_world_without_a_condition_is_refused(tmp_path: Path) -> None:
    ended = CliRunner().invoke(app, ["world-cases", "--out", str(tmp_path / "c.jsonl"), "--kind", "two"])

    assert isinstance(ended.exception, ConfigError)
    with pytest.raises(ConfigError, match="not for planted"):
        CliRunner().invoke(
            app, ["world-cases", "--out", str(tmp_path / "c.jsonl"), "--kind", "planted"], catch_exceptions=False
        )
