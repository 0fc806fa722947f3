"""What a training was asked for: the phase's file, the command line over it, and what phase 2 takes over."""

from collections.abc import Sequence
from pathlib import Path

from rl_core.checkpoints.manifest import find_checkpoint, read_manifest
from rl_core.training.config import TrainConfig
from rl_core.training.parents_settings import NETWORK, TAKEN_OVER, with_parents_settings
from trigate.toml_config import Given, ReadConfig, ShownValue, read_with_origins, shown_values


def read_train_config(phase: int, path: Path | None, settings: Sequence[str]) -> ReadConfig[TrainConfig]:
    """The settings of ``phase``: those of ``path``, else of ``configs/phase1_nq.toml`` or ``phase2_nq.toml``.

    Raises:
        ConfigError: a file, key or value that cannot be used.
    """
    given: list[str | Given] = [Given("phase", phase, f"--phase {phase}"), *settings]
    return read_with_origins(TrainConfig, path or default_config(phase), given)


def default_config(phase: int) -> Path:
    """The file of settings that a phase has where none is named."""
    return Path(f"configs/phase{phase}_nq.toml")


def shown_settings(read: ReadConfig[TrainConfig], parent: Path | None) -> list[ShownValue]:
    """Every value of the training with its origin; with ``parent`` as phase 2 would start from it.

    Raises:
        ConfigError: there is no checkpoint of phase 1 in ``parent``, or it has another network than was asked for.
    """
    if parent is None:
        return shown_values(read.config, read.origins)
    checkpoint = find_checkpoint(parent, phase=1)
    config = with_parents_settings(read.config, read_manifest(checkpoint).identity.config)
    where = f"checkpoint {checkpoint}"
    network = dict.fromkeys((f"ppo.{name}" for name in NETWORK), where)
    return shown_values(config, {**dict.fromkeys(TAKEN_OVER, where), **read.origins, **network})
