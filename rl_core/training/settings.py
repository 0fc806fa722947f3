"""What a training was asked for: the phase's file, the command line over it, and what phase 2 takes over."""

from collections.abc import Sequence
from pathlib import Path

from rl_core.checkpoints.manifest import find_checkpoint, read_manifest
from rl_core.trading.setup import check_account
from rl_core.training.config import TrainConfig
from rl_core.training.parents_settings import NETWORK, TAKEN_OVER, with_parents_settings
from trigate.toml_config import Given, ReadConfig, ShownValue, read_with_origins, shown_values


def read_train_config(phase: int | None, path: Path | None, settings: Sequence[str | Given]) -> ReadConfig[TrainConfig]:
    """The settings that were asked for: those of ``path``, else of ``configs/phase1_nq.toml`` or ``phase2_nq.toml``.

    Without ``phase`` it is the file's or that of ``settings``, else 1.

    Raises:
        ConfigError: a file, key or value that cannot be used.
    """
    given: list[str | Given] = [] if phase is None else [Given("phase", phase, f"--phase {phase}")]
    given += settings
    read = read_with_origins(TrainConfig, path or default_config(phase or 1), given)
    if path is None and read.config.phase != (phase or 1):  # --set phase=2: the other phase's file belongs to it
        return read_with_origins(TrainConfig, default_config(read.config.phase), given)
    return read


def default_config(phase: int) -> Path:
    """The file of settings that a phase has where none is named."""
    return Path(f"configs/phase{phase}_nq.toml")


def shown_settings(read: ReadConfig[TrainConfig], parent: Path | None) -> list[ShownValue]:
    """Every value of the training with its origin; with ``parent`` as phase 2 would start from it.

    Raises:
        ConfigError: there is no checkpoint of phase 1 in ``parent``, or it has another network than was asked for; or
            there is no such rule pack, contract or table of fees.
    """
    if parent is None:
        check_account(read.config.trading)
        return shown_values(read.config, read.origins)
    checkpoint = find_checkpoint(parent, phase=1)
    config = with_parents_settings(read.config, read_manifest(checkpoint).identity.config)
    check_account(config.trading)
    where = f"checkpoint {checkpoint}"
    network = dict.fromkeys((f"ppo.{name}" for name in NETWORK), where)
    return shown_values(config, {**dict.fromkeys(TAKEN_OVER, where), **read.origins, **network})
