"""The selftest: shares by hand, a gate that knows, twins in which a find is a fault, and the command's exit code."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from llm_gate.cli import app
from llm_gate.evals.data.cases import Case, write_cases
from llm_gate.evals.data.planted_cases import PlantedCases, planted_path, write_planted
from llm_gate.teaching.selftest import GATES, KindResult, Reached, _reached, checks_of
from tests.llm_gate.teaching.conftest import MakeCases
from tests.optional import skip_module_without

skip_module_without("torch")


def planted(cases: list[Case], path: Path, *, twin: bool) -> Path:
    """``cases`` in a file; those that go with the 240-minute trend pay, or in a twin those that a coin says."""
    coin = np.random.default_rng(9).random(len(cases)) < 0.5
    held = [(case.proposal.context.trend_240_atr_milli > 0) == (case.proposal.side == "buy") for case in cases]
    paying = tuple(case.case_id for case, says in zip(cases, coin if twin else held, strict=True) if says)
    write_cases(cases, path)
    world = PlantedCases(
        kind="gated_twin" if twin else "gated",
        form="one_fact",
        drift_atr=1.15,
        seed=1,
        sessions=80,
        uplift_r=0.0 if twin else 0.3,
        declaration="made for a test",
        paying=paying,
    )
    write_planted(world, path)
    return path


def test_a_share_by_hand() -> None:
    """Two of four pay. Letting those through reaches 1, the others -1, all 0; half of each reaches half."""
    pays, r = np.array([1.0, 1.0, 0.0, 0.0]), np.array([2.0, 2.0, -1.0, -1.0])

    def share(*let_through: float) -> float:
        return _reached(np.array(let_through), pays, r).share

    assert [share(1, 1, 0, 0), share(0, 0, 1, 1), share(1, 1, 1, 1), share(1, 0.5, 0.5, 0)] == [1, -1, 0, 0.5]
    knows = _reached(pays, pays, r)
    assert knows.uplift_r == pytest.approx(0.75) and knows.noise == pytest.approx(1 / np.sqrt(4))


def test_what_is_found_in_a_twin_and_what_is_missed_in_a_world_fail() -> None:
    nothing, much = Reached(0.01, 0.02, 0.5, 0.0), Reached(0.6, 0.02, 0.5, 0.2)

    def result(kind: str, logistic: Reached) -> KindResult:
        return KindResult(
            kind, "one_fact", 1.15, 1, 100, 100, 0.25, {**dict.fromkeys(GATES, nothing), "logistic": logistic}, {}
        )

    failed = {
        (kind, found is much): [check.text for check in checks_of([result(kind, found)], quick=True) if not check.holds]
        for kind in ("gated", "gated_twin")
        for found in (nothing, much)
    }
    assert failed["gated", True] == failed["gated_twin", False] == []
    assert failed["gated", False] == ["gated one_fact 1.15: logistic reaches 0.50: 0.010"]
    assert failed["gated_twin", True] == ["gated_twin one_fact 1.15: logistic finds nothing: +0.60 +- 0.02"]


def test_the_command_teaches_and_judges_and_fails_where_a_twin_pays(
    make_cases: MakeCases, tiny_folder: Path, tmp_path: Path
) -> None:
    """Outcomes hang on the trend: where the file says that a coin decided, nothing is found; named paying, it is."""
    cases = make_cases(400, win=0.6, lose=0.1)
    world = planted(cases, tmp_path / "gated.jsonl", twin=False)
    twin = planted(make_cases(400, win=0.3, lose=0.3, seed=4), tmp_path / "twin.jsonl", twin=True)
    line = ["selftest", "--quick", "--model", str(tiny_folder), "--keep", str(tmp_path), "--json"]

    ended = CliRunner().invoke(app, [*line, str(world), str(twin)])

    assert ended.exit_code == 0, ended.output
    shown = json.loads(ended.stdout)
    gated, coin = sorted(shown["worlds"], key=lambda each: each["kind"])
    assert gated["reached"]["logistic"]["share"] > 0.8 > 0.3 > abs(coin["reached"]["logistic"]["share"])
    assert (gated["taught"], gated["judged"], set(gated["reached"])) == (200, 200, set(GATES))
    text = planted_path(world).read_text().replace('"gated"', '"gated_twin"')
    planted_path(world).write_text(text)
    assert CliRunner().invoke(app, [*line, str(world)]).exit_code == 100
