"""Checkpoints: whole or not there, byte for byte, refused when damaged or made for something else."""

import json
import random
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from rl_core.checkpoints.checkpoint import (
    load_learned,
    named_arrays,
    restore_state,
    save_checkpoint,
    write_records,
)
from rl_core.checkpoints.manifest import MANIFEST, Expected, Identity, find_checkpoint, read_manifest, write_manifest
from rl_core.checkpoints.policy import POLICY_FILE, load_policy
from rl_core.errors import DamagedCheckpointError, FitError
from rl_core.features.fingerprint import Fingerprint
from rl_core.ppo.config import PPOConfig
from rl_core.ppo.environment import EnvArrays
from rl_core.ppo.loop import train
from rl_core.ppo.train import TrainState, initial_state
from tests.campaigns.corrupt import KINDS, damaged
from tests.rl_core.ppo.toy_env import SHORT, ToyEnv, toy_world
from trigate.errors import ConfigError, ResourceError

ENV, WORLD = ToyEnv(), EnvArrays(*toy_world())
CONFIG = SHORT
EXPECTED = Expected(phase=1, observation_size=4, actions=("hold", "buy", "sell"), fingerprint=Fingerprint("f1", {}))


def identity(**changed: Any) -> Identity:
    """What the toy run is."""
    made: dict[str, Any] = {
        "phase": 1,
        "market": "NQ",
        "step": 128,
        "observation_size": 4,
        "actions": ("hold", "buy", "sell"),
        "fingerprint": "f1",
        "features": {"window": 20},
        "config": CONFIG.model_dump(mode="json"),
        "data_digest": "d",
    }
    return Identity.model_validate(made | changed)


def half_trained() -> TrainState:
    """Two of four updates."""
    return train(CONFIG, ENV, WORLD, initial_state(CONFIG, ENV, WORLD), lambda state, row: True).state


@pytest.fixture(scope="module")
def state() -> TrainState:
    """To be saved; never trained on, as that would take its buffers over."""
    return half_trained()


@pytest.fixture(scope="module")
def original(state: TrainState, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that no test changes."""
    return save_checkpoint(tmp_path_factory.mktemp("original"), state, identity(), final=False)


@pytest.fixture
def checkpoint(original: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(original, tmp_path / original.name))


def test_everything_a_run_depends_on_comes_back_bit_for_bit(original: Path, state: TrainState) -> None:
    """Parameters, optimiser, normaliser, environments, random key and counts, with their types."""
    restored, found = restore_state(original, initial_state(CONFIG, ENV, WORLD), expected=EXPECTED)

    before, after = named_arrays(state), named_arrays(restored)
    assert found == identity()
    assert before.keys() == after.keys()
    assert {"key", "updates", "learner.optimiser.1.0.count", "normaliser.mean", "playing.env_state.bar"} <= after.keys()
    for name, array in before.items():
        assert (array.dtype, array.shape) == (after[name].dtype, after[name].shape)
        assert (array == after[name]).all(), name


def test_a_restored_run_ends_as_the_unbroken_one(original: Path) -> None:
    """2 updates, saved, restored, 2 more = 4 at once, bit for bit on one machine."""
    whole = train(CONFIG, ENV, WORLD, initial_state(CONFIG, ENV, WORLD), lambda state, row: False).state
    restored, _ = restore_state(original, initial_state(CONFIG, ENV, WORLD), expected=EXPECTED)

    resumed = train(CONFIG, ENV, WORLD, restored, lambda state, row: False).state

    ours, theirs = named_arrays(resumed), named_arrays(whole)
    assert all((ours[name] == theirs[name]).all() for name in theirs)


def test_the_policy_inside_decides_as_the_parameters_do(original: Path, state: TrainState) -> None:
    """`policy.npz` is the same network."""
    policy, learned = load_policy(original), load_learned(original, expected=EXPECTED)

    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), learned.parameters, state.parameters))
    assert (policy.kernels[0] == np.asarray(state.parameters["actor"]["dense_0"]["kernel"])).all()
    assert (policy.mean == np.asarray(learned.normaliser.mean)).all()


def test_an_extra_file_is_kept_and_covered_by_the_manifest(state: TrainState, tmp_path: Path) -> None:
    """Whoever saves names it; a changed byte of it is refused like any other."""
    saved = save_checkpoint(tmp_path, state, identity(), final=False, extra={"regimes.json": b"{}\n"})

    assert (saved / "regimes.json").read_bytes() == b"{}\n"
    read_manifest(saved)
    (saved / "regimes.json").write_bytes(b"{} ")
    with pytest.raises(DamagedCheckpointError, match=r"regimes\.json is damaged"):
        read_manifest(saved)


def test_a_flipped_bit_anywhere_is_refused_by_the_files_name(checkpoint: Path) -> None:
    """100 random bits over all files; Orbax alone restores many of them without a word."""
    files = [path for path in checkpoint.rglob("*") if path.is_file() and path.stat().st_size]
    rng = random.Random(0)

    for _ in range(100):
        path = rng.choice(files)
        whole = path.read_bytes()
        bit = rng.randrange(8 * len(whole))
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(DamagedCheckpointError, match=path.name.replace(".", r"\.")):
            read_manifest(checkpoint)
        path.write_bytes(whole)

    assert read_manifest(checkpoint).identity == identity()


def test_whatever_is_done_to_a_checkpoint_is_refused(original: Path, tmp_path: Path) -> None:
    """110 of the damages of the campaign, ten of each kind, before anything is made of the bytes."""
    like = initial_state(CONFIG, ENV, WORLD)
    other = save_checkpoint(tmp_path, like, identity(step=0), final=False)

    found = list(damaged(original, other, 10 * len(KINDS), lambda path: restore_state(path, like, expected=EXPECTED)))

    assert [damage for damage in found if damage.refusal is None] == []
    assert {damage.kind for damage in found} == set(KINDS)


@pytest.mark.parametrize("name", ["normaliser.pkl", "vec_normalize.pickle", "policy.npy", "model.pt"])
def test_files_that_execute_code_are_no_checkpoints(name: str, tmp_path: Path) -> None:
    """Refused by their name, unread: the file is none."""
    with pytest.raises(ConfigError, match="pickle files execute code"):
        read_manifest(tmp_path / name)
    with pytest.raises(ConfigError, match="pickle files execute code"):
        find_checkpoint(tmp_path / name)


def test_missing_cut_and_foreign_files_are_refused(checkpoint: Path) -> None:
    """Each by its name."""
    policy = checkpoint / "policy.npz"
    whole = policy.read_bytes()

    policy.write_bytes(whole[:-1])
    with pytest.raises(DamagedCheckpointError, match=r"policy\.npz is damaged"):
        read_manifest(checkpoint)
    policy.unlink()
    with pytest.raises(DamagedCheckpointError, match=r"policy\.npz is missing"):
        read_manifest(checkpoint)
    policy.write_bytes(whole)
    (checkpoint / "normaliser.pkl").write_bytes(b"\x80\x04.")
    with pytest.raises(DamagedCheckpointError, match=r"normaliser\.pkl is not in the manifest"):
        read_manifest(checkpoint)


@pytest.mark.parametrize(
    ("expected", "told"),
    [
        (EXPECTED._replace(phase=2), "phase 1 in the checkpoint, 2 here"),
        (EXPECTED._replace(observation_size=5), "observation size 4 in the checkpoint, 5 here"),
        (EXPECTED._replace(actions=("hold",)), r"actions \['hold', 'buy', 'sell'\] in the checkpoint, \['hold'\] here"),
        (
            EXPECTED._replace(fingerprint=Fingerprint("f2", {"window": 30})),
            "window 20 in the checkpoint, 30 here",
        ),
    ],
)
def test_another_run_is_refused_with_the_difference(original: Path, expected: Expected, told: str) -> None:
    """Before an array is read."""
    with pytest.raises(FitError, match=told):
        restore_state(original, initial_state(CONFIG, ENV, WORLD), expected=expected)


def test_other_shapes_are_refused_with_the_difference(original: Path) -> None:
    """Orbax alone would restore them silently."""
    wider = PPOConfig.model_validate(CONFIG.model_dump() | {"hidden": (16,)})

    with pytest.raises(FitError, match=r"actor\.head\.kernel was float32\[8, 3\], is float32\[16, 3\]"):
        restore_state(original, initial_state(wider, ENV, WORLD), expected=EXPECTED)


def test_names_follow_the_known_artefacts(state: TrainState, tmp_path: Path) -> None:
    """`phase1_jax_final_<steps>` at the end, without `final_` on the way."""
    on_the_way = save_checkpoint(tmp_path, state, identity(), final=False)
    last = save_checkpoint(tmp_path, state, identity(step=256), final=True)

    assert (on_the_way.name, last.name) == ("phase1_jax_128", "phase1_jax_final_256")
    assert sorted(path.name for path in tmp_path.iterdir()) == [on_the_way.name, last.name]


def test_a_half_written_checkpoint_is_not_found(checkpoint: Path) -> None:
    """What a killed save leaves has another name, and a folder without manifest is no checkpoint."""
    folder = checkpoint.parent
    shutil.copytree(checkpoint, folder / ".phase1_jax_final_999.tmp")

    assert find_checkpoint(folder, phase=1) == checkpoint
    assert find_checkpoint(checkpoint) == checkpoint
    (checkpoint / MANIFEST).unlink()
    with pytest.raises(ConfigError, match=r"holds no manifest\.json"):
        read_manifest(checkpoint)


def test_the_newest_checkpoint_of_a_phase_is_found(tmp_path: Path) -> None:
    """By steps, not by the order of names: 1000 is after 999; also from the run's folder."""
    for name in ("phase1_jax_999", "phase1_jax_final_1000", "phase2_jax_5"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)

    assert find_checkpoint(tmp_path, phase=1).name == "phase1_jax_final_1000"
    assert find_checkpoint(tmp_path).name == "phase2_jax_5"
    with pytest.raises(ConfigError, match="no checkpoint of phase 2"):
        find_checkpoint(tmp_path / "elsewhere", phase=2)


def test_saving_again_replaces_the_whole(state: TrainState, checkpoint: Path) -> None:
    """A resumed run reaches the same step a second time."""
    (checkpoint / "policy.npz").write_bytes(b"torn")

    again = save_checkpoint(checkpoint.parent, state, identity(), final=False)

    assert again == checkpoint
    assert read_manifest(checkpoint).identity == identity()
    assert [path.name for path in checkpoint.parent.iterdir()] == [checkpoint.name]


def test_a_folder_that_cannot_be_made_is_a_fault_of_the_disk(state: TrainState, tmp_path: Path) -> None:
    """Exit code 7; what is there stays."""
    (tmp_path / "file").write_text("kept")

    with pytest.raises(ResourceError):
        save_checkpoint(tmp_path / "file", state, identity(), final=True)
    assert (tmp_path / "file").read_text() == "kept"


def test_a_state_that_is_not_finite_is_never_saved(state: TrainState, tmp_path: Path) -> None:
    """Our own mistake, if it ever comes so far."""
    poisoned = state._replace(normaliser=state.normaliser._replace(mean=state.normaliser.mean * np.nan))

    with pytest.raises(AssertionError, match=r"normaliser\.mean is not finite"):
        save_checkpoint(tmp_path, poisoned, identity(), final=True)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_read_is_a_fault_of_the_disk(checkpoint: Path) -> None:
    """A link to nothing is there for all to see, but nobody can open it."""
    (checkpoint / POLICY_FILE).unlink()
    (checkpoint / POLICY_FILE).symlink_to("nothing")

    with pytest.raises(ResourceError, match=rf"cannot read \S+/{POLICY_FILE}: No such file"):
        read_manifest(checkpoint)


def test_a_missing_checkpoint_and_a_pickle_are_named(tmp_path: Path) -> None:
    """Exit code 2 each."""
    with pytest.raises(ConfigError, match="does not exist"):
        read_manifest(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="pickle files execute code"):
        restore_state(tmp_path / "model.pkl", initial_state(CONFIG, ENV, WORLD), expected=EXPECTED)


def test_an_honest_manifest_over_broken_arrays_is_still_refused(checkpoint: Path) -> None:
    """Orbax's own complaint becomes ours."""
    (checkpoint / "state" / "_METADATA").unlink()
    write_manifest(checkpoint, identity())

    with pytest.raises(DamagedCheckpointError, match="state cannot be restored"):
        restore_state(checkpoint, initial_state(CONFIG, ENV, WORLD), expected=EXPECTED)


def test_records_lie_beside_the_checkpoints(tmp_path: Path) -> None:
    """Three JSON files under their known names."""
    write_records(tmp_path, market="NQ", metrics=[{"step": 1, "win_rate": None}], metadata={"phase": 1})

    read = {path.name: json.loads(path.read_text()) for path in tmp_path.iterdir()}
    assert read == {
        "training_metrics_NQ.json": [{"step": 1, "win_rate": None}],
        "metadata.json": {"phase": 1},
        "adjustment_history.json": [],
    }
