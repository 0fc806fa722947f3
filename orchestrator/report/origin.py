"""Where a run's bars and policy come from, as far as a verdict depends on it; from its manifest or its checkpoint."""

import hashlib
from pathlib import Path
from typing import NamedTuple

from orchestrator.run.folder import RunManifest
from rl_core.checkpoints.manifest import MANIFEST, find_checkpoint, is_final, read_manifest
from rl_core.checkpoints.provenance import trained_until_ns, training_worlds
from rl_core.evaluation.seen_until import NOBODY_SAID
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
        said = not manifest.inputs.entries_digest or manifest.inputs.config.get("seen_until") is not None
        doubts = () if said else (NOBODY_SAID,)
        return Origin(manifest.in_sample, manifest.trained_on_world, manifest.training_ended, doubts)
    in_sample = manifest.inputs.config.get("part") == "all"
    name = str(manifest.inputs.config["checkpoint"])
    try:
        checkpoint = find_checkpoint(Path(name))
        return Origin(in_sample, bool(training_worlds(checkpoint)), is_final(checkpoint))
    except TrigateError:
        doubt = f"{name} is gone, so whether it was trained on a synthetic world, and to its end, is not known"
        return Origin(in_sample, trained_on_world=False, training_ended=True, doubts=(doubt,))


def training_end_of(manifest: RunManifest) -> int | None:
    """Where the training bars of the run's policy end, in ns UTC; None where that cannot be found out any more.

    Of a trader's own entries it is where what had been seen ends, and None where nobody said.

    A run that is older than this record is asked for its checkpoint, which must still be the one that it used.
    """
    if manifest.trained_until_ns is not None or manifest.inputs.entries_digest:
        return manifest.trained_until_ns
    try:
        checkpoint = find_checkpoint(Path(str(manifest.inputs.config["checkpoint"])))
        digest = hashlib.sha256((checkpoint / MANIFEST).read_bytes()).hexdigest()
        known = digest == manifest.inputs.checkpoint_digest
        return trained_until_ns(read_manifest(checkpoint).identity) if known else None
    except (OSError, TrigateError):
        return None
