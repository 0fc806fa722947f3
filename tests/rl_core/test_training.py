"""A training run end to end: what it trains on, what it leaves, and what it refuses."""

import json
from pathlib import Path

import numpy as np
import pytest

from rl_core.configuration import read_config
from rl_core.errors import ConfigError, DataError
from rl_core.manifest import Identity, read_manifest
from rl_core.policy import load_policy
from rl_core.ppo.config import PPOConfig
from rl_core.provenance import first_held_out
from rl_core.trading import TradingConfig
from rl_core.training import TrainConfig, Trained, split_of, train_run
from tests.rl_core.markets import small_view

ROOT = Path(__file__).parents[2]
TINY = PPOConfig(
    num_envs=4, rollout_length=8, total_steps=128, minibatches=2, epochs=1, hidden=(8,), updates_per_sync=1
)
RULES = TradingConfig(rules=ROOT / "configs/rules/apex_legacy_50k_eval.toml")


def config(phase: int = 1) -> TrainConfig:
    """Four updates on the first two of three sessions."""
    return TrainConfig(phase=phase, train_share=0.7, ppo=TINY, trading=RULES)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Trained, Trained]:
    """Phase 1, and phase 2 from it, asked to stop after one update."""
    folder = tmp_path_factory.mktemp("training")
    first = train_run(config(), small_view().bars, folder / "one")
    return (
        folder,
        first,
        train_run(config(2), small_view().bars, folder / "two", parent=folder / "one", on_update=lambda row: True),
    )


def identity_of(trained: Trained) -> Identity:
    """What its checkpoint says."""
    return read_manifest(trained.checkpoint).identity


def test_both_phases_leave_a_policy_that_serves(runs: tuple[Path, Trained, Trained]) -> None:
    _, first, second = runs

    assert [trained.checkpoint.name for trained in (first, second)] == ["phase1_jax_final_128", "phase2_jax_final_32"]
    assert [load_policy(trained.checkpoint).num_actions for trained in (first, second)] == [3, 6]
    assert (first.stop, first.transfer, second.transfer is not None) == ("finished", None, True)


def test_the_records_lie_beside_the_checkpoints(runs: tuple[Path, Trained, Trained]) -> None:
    folder, first, _ = runs
    metadata = json.loads((folder / "two/metadata.json").read_text())

    assert len(json.loads((folder / "one/training_metrics_NQ.json").read_text())) == len(first.rows) > 0
    assert metadata["checkpoint"] == "phase2_jax_final_32" and "divergence" in metadata["transfer"]
    assert "transfer" not in json.loads((folder / "one/metadata.json").read_text())


def test_what_was_not_trained_on_is_held_out(runs: tuple[Path, Trained, Trained]) -> None:
    view, (_, first, _) = small_view(), runs
    days = np.unique(view.located.session)

    held = first_held_out(identity_of(first), view.bars)

    assert view.located.session[held] == days[2] and view.located.session[held - 1] == days[1]


@pytest.mark.parametrize(("share", "kept"), [(1.0, 3), (0.99, 2), (0.67, 2), (0.34, 1)])
def test_a_share_is_whole_sessions_from_the_first(share: float, kept: int) -> None:
    view = small_view()

    split = split_of(view, share)

    assert len(np.unique(view.located.session[: split.stop])) == kept
    assert (view.bars.ts_event_ns < split.stop_ns).sum() == split.stop


def test_too_little_to_train_on_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="too few to train"):
        split_of(small_view(), 0.3)
    with pytest.raises(DataError, match="no warm bar"):
        train_run(config().model_copy(update={"train_share": 0.34}), small_view().bars, tmp_path)


def test_phase_2_starts_from_phase_1_and_phase_1_from_nothing(tmp_path: Path) -> None:
    for phase, parent in ((2, None), (1, tmp_path)):
        with pytest.raises(ConfigError, match="phase 2 starts from a phase 1 run"):
            train_run(config(phase), small_view().bars, tmp_path / "out", parent=parent)
    with pytest.raises(ConfigError, match="no checkpoint of phase 1"):
        train_run(config(2), small_view().bars, tmp_path / "out", parent=tmp_path)


def test_asked_to_stop_it_saves_what_it_has(runs: tuple[Path, Trained, Trained]) -> None:
    """32 bars an update: phase 1 played all four, phase 2 one."""
    _, first, second = runs

    assert [(trained.stop, len(trained.rows)) for trained in (first, second)] == [("finished", 4), ("asked", 1)]
    assert (identity_of(first).step, identity_of(second).step) == (128, 32)


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("phase*.toml")), ids=lambda path: path.stem)
def test_every_shipped_file_is_a_valid_configuration(path: Path) -> None:
    assert read_config(TrainConfig, path).phase == int(path.stem[5])
