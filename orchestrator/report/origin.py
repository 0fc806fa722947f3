"""Where a run's bars and policy come from, as far as a verdict depends on it; from its manifest or its checkpoint."""

from pathlib import Path
from typing import NamedTuple

from orchestrator.run.folder import RunManifest
from rl_core.checkpoints.manifest import find_checkpoint, is_final
from rl_core.checkpoints.provenance import training_worlds
from trigate.errors import TrigateError


class Origin(NamedTuple):
    """What makes the evidence of a run worth less than it looks."""

    in_sample: bool
    trained_on_world: bool
    training_ended: bool
    doubts: tuple[str, ...] = ()  # what could not be found out


def origin_of(manifest: RunManifest) -> Origin:
    """What the run recorded of its bars and policy; for a run older than that record, what its checkpoint says.

    Such a run over every bar of its file counts as in sample: when its training ended is not in its manifest.
    """
    if manifest.in_sample is not None and manifest.trained_on_world is not None and manifest.training_ended is not None:
        return Origin(manifest.in_sample, manifest.trained_on_world, manifest.training_ended)
    in_sample = manifest.inputs.config.get("part") == "all"
    name = str(manifest.inputs.config["checkpoint"])
    try:
        checkpoint = find_checkpoint(Path(name))
        return Origin(in_sample, bool(training_worlds(checkpoint)), is_final(checkpoint))
    except TrigateError:
        doubt = f"{name} is gone, so whether it was trained on a synthetic world, and to its end, is not known"
        return Origin(in_sample, trained_on_world=False, training_ended=True, doubts=(doubt,))
