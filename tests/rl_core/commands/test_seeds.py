"""`rl-core train --seeds`: each seed is the run that it is alone, one program serves all, and they are compared."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from rl_core.bars.write import write_bars
from rl_core.cli import app
from rl_core.ppo.train import update
from tests.rl_core.markets import random_bars, session_minutes
from trigate.errors import ConfigError

TINY = ("num_envs=4", "rollout_length=8", "total_steps=64", "minibatches=2", "epochs=1", "hidden=[8]", "hold_bias=-2")


class Made(NamedTuple):
    """Phases 1 and 2 of two seeds, and phase 1 of the second seed alone."""

    folder: Path
    several: Result
    phase2: Result
    compiled: int


def rl_core(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def settings(*more: str) -> list[str]:
    return [word for name in TINY + more for word in ("--set", f"ppo.{name}")] + ["--set", "train_share=0.75"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("seeds")
    bars = folder / "NQ_D1M.parquet"
    write_bars(random_bars(4, session_minutes(4)), bars)
    before = update._cache_size()
    several = rl_core("train", "--bars", bars, "--out", folder / "one", "--seeds", 2, *settings("seed=5"))
    compiled = update._cache_size() - before
    assert several.exit_code == 0, several.output
    alone = rl_core("train", "--bars", bars, "--out", folder / "alone", *settings("seed=6"))
    assert alone.exit_code == 0, alone.output
    words = ("train", "--phase", 2, "--from", folder / "one", "--out", folder / "two", "--seeds", 2, "--json")
    return Made(folder, several, rl_core(*words, *settings("seed=5")), compiled)


def policy_of(run: Path) -> bytes:
    (policy,) = run.glob("checkpoints/*/policy.npz")
    return policy.read_bytes()


def test_each_seed_is_the_run_that_it_is_alone(made: Made) -> None:
    assert policy_of(made.folder / "one/seed-6") == policy_of(made.folder / "alone")
    assert policy_of(made.folder / "one/seed-5") != policy_of(made.folder / "one/seed-6")
    assert (made.folder / "one/seed-5/tb").is_dir() and (made.folder / "one/seed-6/tb").is_dir()


def test_all_seeds_are_one_program(made: Made) -> None:
    assert made.compiled == 1


def test_they_are_compared_on_what_was_held_out(made: Made) -> None:
    """Each line is what `evaluate` says of that run."""
    lines = made.several.stdout.splitlines()
    rows = [line.split() for line in lines if line.strip().startswith(("5 ", "6 "))]

    for row, seed in zip(rows, (5, 6), strict=True):
        told = json.loads(rl_core("evaluate", made.folder / f"one/seed-{seed}", "--json").stdout)
        assert int(row[1]) == told["trades"] > 0
        assert float(row[3]) == pytest.approx(told["mean_r"], abs=6e-4)
        assert float(row[2]) == pytest.approx(told["mean_r"] * told["trades"] / told["sessions"], abs=2e-2)
    assert any("interquartile mean over seeds" in line and "2 seeds" in line for line in lines)


def test_phase_2_starts_each_seed_from_its_own_phase_1(made: Made) -> None:
    assert made.phase2.exit_code == 0, made.phase2.output
    record = json.loads(made.phase2.stdout.splitlines()[-1])

    assert [row["seed"] for row in record["seeds"]] == [5, 6]
    mean = np.mean([row["r_a_session"] for row in record["seeds"]])
    assert record["held_out_r_a_session"]["iqm"] == pytest.approx(mean)
    parents = [
        json.loads((made.folder / f"two/seed-{seed}/run.json").read_text())["inputs"]["parent_digest"]
        for seed in (5, 6)
    ]
    assert parents[0] != parents[1]


def test_a_second_time_nothing_is_trained(made: Made) -> None:
    again = rl_core("train", "--bars", made.folder / "NQ_D1M.parquet", "--out", made.folder / "one", "--seeds", 2,
                    *settings("seed=5"))  # fmt: skip

    assert again.exit_code == 0 and again.output.count("has finished") == 2


def test_phase_2_in_the_folders_of_its_own_phase_1_is_refused(made: Made) -> None:
    """Also with --new-run, which would set phase 1 aside."""
    words = ("train", "--phase", 2, "--from", made.folder / "one", "--out", made.folder / "one", "--seeds", 2)

    refused = rl_core(*words, "--new-run", *settings("seed=5"))

    assert isinstance(refused.exception, ConfigError) and "holds the phase 1 run" in str(refused.exception)
    assert policy_of(made.folder / "one/seed-6") == policy_of(made.folder / "alone")


def test_where_nothing_was_held_out_the_seeds_are_trained_and_not_compared(made: Made) -> None:
    words = [word for name in (*TINY, "seed=5") for word in ("--set", f"ppo.{name}")]

    whole = rl_core("train", "--bars", made.folder / "NQ_D1M.parquet", "--out", made.folder / "whole", "--seeds", 2,
                    *words, "--set", "train_share=1.0")  # fmt: skip

    assert whole.exit_code == 0, whole.output
    assert "nothing was held out" in whole.output and "interquartile" not in whole.output
