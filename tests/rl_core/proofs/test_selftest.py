"""`rl-core selftest`: a learner that works passes, one that learns nothing ends with exit 100."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from rl_core.cli import app
from rl_core.proofs.selftest import Assertion, CurvePoint, WorldResult, assertions_of, first_reaching
from rl_core.proofs.selftest_config import SelftestConfig
from rl_core.statistics.interquartile import Aggregate
from trigate.toml_config import read_config

ROOT = Path(__file__).parents[3]
# One seed, twelve sessions, four updates that change nothing.
BROKEN = (
    "seeds=[0]",
    "strengths=[1.5]",
    "train_sessions=12",
    "test_sessions=12",
    "phase1.learning_rate=1e-9",
    "phase1.num_envs=16",
    "phase1.rollout_length=32",
    "phase1.total_steps=2048",
    "phase2.num_envs=16",
    "phase2.rollout_length=32",
    "phase2.total_steps=512",
)


def selftest(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> Result:
    monkeypatch.chdir(ROOT)
    return CliRunner().invoke(app, ["selftest", "--quick", *arguments])


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("optimised", "newer_generator")
def test_the_learner_passes_the_quick_selftest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = selftest("--json", "--out", str(tmp_path), monkeypatch=monkeypatch)

    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    (world,) = found["worlds"]
    assert found["passed"] and len(found["checks"]) == 8
    assert len(world["phase1"]) == len(world["phase2"]) == 3 and world["to_least_share"]["seconds"] > 0
    assert found["no_edge"]["random"]["trades"] > 100 and found["no_edge"]["costs"] > 0
    page = (tmp_path / "selftest.html").read_text()
    assert "planted 1.5" in page and 'id="plot-curve-planted-1-5"' in page and "<script src" not in page


def test_a_learner_that_learns_nothing_fails_with_100(monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds for ever, so its share of the optimum is about none; each assertion is printed with its limit."""
    settings = [word for setting in BROKEN for word in ("--set", setting)]

    done = selftest(*settings, monkeypatch=monkeypatch)

    assert done.exit_code == 100, done.output
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILS")]
    assert any("phase 1, share of the computed optimum" in line and "at least +0.6" in line for line in failed)
    assert "a single seed, no interval" in done.stdout


def test_a_figure_that_is_no_number_fails() -> None:
    assert (
        not Assertion("x", float("nan"), "at least", 0.0).passed
        and not Assertion("x", float("nan"), "at most", 0.0).passed
    )
    assert Assertion("x", 0.8, "at least", 0.8).passed and not Assertion("x", 0.81, "at most", 0.8).passed


def world_result(**changed: object) -> WorldResult:
    """A reverting world by hand: optimum 2, and 4 with management; the rules met bars that paid 1.5 and 5."""
    return WorldResult(
        **{
            "name": "reverting",
            "optimum": 2.0,
            "managed_optimum": 4.0,
            "managed_rule": 5.0,
            "rule": 1.5,
            "rule_error": 1.0,
            "phase1": [1.5] * 4,
            "phase2": [4.8] * 4,
            "curve": [],
            "sessions": 10,
            "trades": [1] * 4,
            **changed,
        }  # type: ignore[arg-type]
    )


def test_never_entering_scores_what_the_bars_denied_the_rule() -> None:
    """Its share is 1 + (0 - 1.5) / 2."""
    assert world_result().never == 0.25


def test_phase_2_is_judged_by_the_optimum_with_management() -> None:
    """4.8 R is 1 + (4.8 - 5) / 4 = 0.95 of it, 4.4 R is 0.85, whatever phase 1's optimum is."""
    config = SelftestConfig()
    name = "reverting: phase 2, share of the optimum with management (IQM)"

    def judged(world: WorldResult) -> list[Assertion]:
        return [check for check in assertions_of(config, world) if check.name == name]

    assert [(round(check.figure, 9), check.passed) for check in judged(world_result())] == [(0.95, True)]
    assert [check.passed for check in judged(world_result(phase2=[4.4] * 4))] == [False]
    assert judged(world_result(managed_optimum=None, managed_rule=None)) == []


def test_the_time_to_a_share_is_of_the_first_look_that_has_it() -> None:
    looks = [
        CurvePoint(step, step / 10, Aggregate(share, None, None, 0.95, 1, 1)) for step, share in ((10, 0.5), (20, 0.9))
    ]

    assert first_reaching(looks, 0.8) == looks[1] and first_reaching(looks, 0.95) is None


@pytest.mark.parametrize("name", ["selftest", "selftest_quick"])
def test_a_shipped_file_keeps_worlds_and_seeds_of_the_tuning_out(name: str) -> None:
    """Worlds 1001 and 1002 and seeds 100 to 102 chose the settings; neither phase may change the network's shape."""
    config = read_config(SelftestConfig, ROOT / f"configs/{name}.toml")

    worlds = range(config.world_seed, config.world_seed + 2 * (len(config.strengths) + 2))
    assert not {1001, 1002, 1102} & set(worlds) and max(config.seeds) < 100
    assert config.phase1.hidden == config.phase2.hidden
