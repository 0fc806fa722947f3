"""A checkpoint folder with its manifest and no arrays, for tests that only ask what a checkpoint says of itself."""

from pathlib import Path
from typing import Any, Literal

from rl_core.checkpoints.manifest import Identity, write_manifest
from rl_core.training.config import TrainConfig


def checkpoint_card(folder: Path, *, phase: Literal[1, 2] = 1, **settings: Any) -> Path:
    """The folder of a run that was trained with ``settings`` of `TrainConfig`; its checkpoint is in it."""
    checkpoint = folder / "checkpoints" / f"phase{phase}_jax_final_128"
    checkpoint.mkdir(parents=True)
    config = TrainConfig.model_validate({"phase": phase, **settings}).model_dump(mode="json")
    identity = Identity(
        phase=phase,
        market="NQ",
        step=128,
        observation_size=225,
        actions=("hold", "buy", "sell"),
        fingerprint="f",
        features={},
        config={**config, "trained_until_ns": 0},
        data_digest="d",
    )
    write_manifest(checkpoint, identity)
    return folder
