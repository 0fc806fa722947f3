"""Folds, seeds and members come out the same, to the byte, whoever trains them."""

import os
from pathlib import Path

import pytest

from rl_core.bars.write import write_bars
from tests.processes.commands import call_here
from tests.quick_programs import quick_environment
from tests.rl_core.markets import random_bars, session_minutes

pytestmark = pytest.mark.process

TINY = ("num_envs=4", "rollout_length=8", "total_steps=64", "minibatches=2", "epochs=1", "hidden=[8]", "hold_bias=-2")
AS_THE_TESTS_COMPILE = quick_environment()
SETTINGS = [word for name in TINY for word in ("--set", f"ppo.{name}")]


@pytest.fixture(scope="module")
def bars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("jobs") / "NQ_D1M.parquet"
    write_bars(random_bars(4, session_minutes(5)), path)
    return path


@pytest.fixture(autouse=True)
def _as_the_tests_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that is compiled otherwise may differ in the last bits."""
    for name, value in AS_THE_TESTS_COMPILE.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(Path.cwd()), os.environ.get("PYTHONPATH")))))


def left_in(out: Path) -> dict[str, bytes]:
    """What decides, and what is served: policies, settings, records."""
    names = ("policy.npz", "run.json", "config.toml", "source.json", "walk_forward.json")
    return {str(path.relative_to(out)): path.read_bytes() for name in names for path in sorted(out.rglob(name))}


def test_a_walk_by_two_processes_leaves_the_bytes_of_one_in_turn(bars: Path, tmp_path: Path) -> None:
    walk = ("walk-forward", "--bars", bars, "--folds", 2, "--seeds", 2, "--first-share", 0.6, *SETTINGS)

    told = [call_here("rl-core", *walk, "--out", tmp_path / f"walk-{jobs}" / "w", "--jobs", jobs) for jobs in (1, 2)]

    assert [each.returncode for each in told] == [0, 0], told[1].stderr
    in_turn, together = (left_in(tmp_path / f"walk-{jobs}" / "w") for jobs in (1, 2))
    assert len(in_turn) == 2 * 4 + 1 and together == in_turn
    assert "1 of 2 trainings done, about " in told[1].stderr
    assert told[0].stdout.replace("walk-1", "walk-2") == told[1].stdout


def test_a_fold_that_fails_is_named_and_ends_with_its_code(bars: Path, tmp_path: Path) -> None:
    """Its folder holds another run."""
    blocked = tmp_path / "w/fold-1/seed-0/phase1"
    blocked.mkdir(parents=True)
    (blocked / "run.json").write_text("{}")

    told = call_here("rl-core", "walk-forward", "--bars", bars, "--folds", 2, "--seeds", 1, "--first-share", 0.6,
                     "--out", tmp_path / "w", "--jobs", 2, *SETTINGS)  # fmt: skip

    assert told.returncode == 2
    assert told.stderr.splitlines()[-1].startswith("rl-core: fold 1, seed 0: ") and "holds another run" in told.stderr
