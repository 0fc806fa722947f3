"""Writes a policy as one plain `.npz` that needs nothing of trigate to be read; `docs/extending.md` has the reader."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from rl_core.checkpoints.policy import Policy, policy_arrays
from rl_core.features.features import FEATURE_NAMES
from rl_core.features.observation import MANAGEMENT_NAMES, POSITION_NAMES
from trigate.errors import ConfigError
from trigate.whole_files import write_whole

ENDING = ".npz"
FORMAT = 1


def check_ending(path: Path) -> None:
    """Raise ConfigError unless a policy can be exported to a file of this name."""
    if path.suffix != ENDING:
        raise ConfigError(f"{path}: a policy is exported as {ENDING}; give a name that ends so")


def export_policy(policy: Policy, path: Path) -> dict[str, Any]:
    """Write ``policy`` to ``path``, whole or not at all, and return the metadata that the file holds as JSON.

    Raises:
        ConfigError: the file's name ends otherwise than in .npz.
        ResourceError: the disk refuses it.
    """
    check_ending(path)
    metadata = _metadata(policy)
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, metadata=np.array(json.dumps(metadata)), **policy_arrays(policy))
    write_whole(path, content.getvalue())
    return metadata


def _metadata(policy: Policy) -> dict[str, Any]:
    """What the arrays are good for: the checkpoint's identity, and the name of every input."""
    identity = policy.identity
    assert identity is not None, "a policy that is exported comes from a checkpoint"
    standing = POSITION_NAMES if identity.phase == 1 else (*POSITION_NAMES, *MANAGEMENT_NAMES)
    bars = range(1 - int(identity.features["window"]), 1)  # 0 is the bar that has just closed
    inputs = [f"{name}[{bar}]" for bar in bars for name in FEATURE_NAMES] + list(standing)
    assert len(inputs) == policy.observation_size, (len(inputs), policy.observation_size)
    return {"format": FORMAT, "inputs": inputs, **identity.model_dump(mode="json")}
