"""Saving and restoring a run: Orbax holds the arrays, a manifest proves them, `policy.npz` serves them."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp  # type: ignore[import-untyped]
from numpy.typing import NDArray

from rl_core.errors import DamagedCheckpointError, FitError, ResourceError
from rl_core.manifest import Expected, Identity, check_fit, read_manifest, write_manifest
from rl_core.policy import Policy, policy_of, save_policy
from rl_core.ppo.metrics import Summary
from rl_core.ppo.networks import Parameters
from rl_core.ppo.normaliser import BOUND, EPSILON, Normaliser
from rl_core.ppo.train import TrainState

ARRAYS = "state"

Tree = TypeVar("Tree")
Arrays = dict[str, NDArray[Any]]


class Learned(NamedTuple):
    """What another phase can go on from."""

    parameters: Parameters
    normaliser: Normaliser
    identity: Identity


def save_checkpoint(folder: Path, state: TrainState, identity: Identity, *, final: bool) -> Path:
    """Write ``state`` as a new folder inside ``folder`` and return it: whole under its name, or not there at all.

    Args:
        folder: where the run keeps its checkpoints; made if missing.
        state: finite, and not yet taken over by the next update.
        identity: what it was trained as, and on.
        final: whether training has ended.

    Raises:
        ResourceError: the disk failed; what was there before is as it was.
    """
    target = folder / f"phase{identity.phase}_jax_{'final_' if final else ''}{identity.step}"
    arrays = named_arrays(state)
    for name, array in arrays.items():
        assert not np.issubdtype(array.dtype, np.floating) or np.isfinite(array).all(), f"{name} is not finite"
    with _whole_or_nothing(target) as scratch:
        with ocp.PyTreeCheckpointer() as checkpointer:
            checkpointer.save((scratch / ARRAYS).absolute(), arrays)
        save_policy(served_policy(state.parameters, state.normaliser), scratch)
        write_manifest(scratch, identity)
    return target


def served_policy(parameters: Parameters, normaliser: Normaliser) -> Policy:
    """The NumPy policy that decides as the network does behind its normaliser."""
    mean, variance, _, gain = (np.asarray(column) for column in normaliser)
    plain = policy_of(parameters, mean=mean, scale=np.sqrt(variance + np.float32(EPSILON)), bound=BOUND)
    # The gain follows the clip, so it is part of the first layer.
    return replace(plain, kernels=(gain[:, None] * plain.kernels[0], *plain.kernels[1:]))


def restore_state(path: Path, like: TrainState, *, expected: Expected) -> tuple[TrainState, Identity]:
    """The state saved in folder ``path``, to go on training from.

    Args:
        path: a checkpoint folder.
        like: a state of the run that wants it (`initial_state`): its shapes must be those saved.
        expected: what the run is.

    Raises:
        ConfigError: there is no checkpoint.
        DamagedCheckpointError: its bytes are not those written.
        FitError: it was made for something else.
    """
    identity, arrays = _verified(path, expected)
    return from_named_arrays(path, arrays, like), identity


def load_learned(path: Path, *, expected: Expected) -> Learned:
    """Parameters and normaliser saved in folder ``path``; raises as `restore_state` does."""
    identity, arrays = _verified(path, expected)
    prefix = "learner.parameters."
    parameters: dict[str, Any] = {}
    for name in (name for name in arrays if name.startswith(prefix)):
        part, layer, leaf = name.removeprefix(prefix).split(".")
        parameters.setdefault(part, {}).setdefault(layer, {})[leaf] = jnp.asarray(arrays[name])
    normaliser = Normaliser(*(jnp.asarray(arrays[f"normaliser.{field}"]) for field in Normaliser._fields))
    return Learned(parameters, normaliser, identity)


def write_records(
    folder: Path,
    *,
    market: str,
    metrics: Sequence[Summary],
    metadata: Mapping[str, object],
    adjustments: Sequence[Mapping[str, object]] = (),
) -> None:
    """Write `training_metrics_<MARKET>.json`, `metadata.json` and `adjustment_history.json` beside the checkpoints."""
    records = {
        f"training_metrics_{market}.json": list(metrics),
        "metadata.json": dict(metadata),
        "adjustment_history.json": list(adjustments),
    }
    with _disk_faults(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in records.items():
            scratch = folder / f".{name}.tmp"
            scratch.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
            scratch.replace(folder / name)


def named_arrays(tree: object) -> Arrays:
    """Every leaf of ``tree`` on the host, by its dotted path; random keys as their raw words."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {_name(path): np.asarray(_raw(leaf)) for path, leaf in leaves}


def from_named_arrays(path: Path, arrays: Arrays, like: Tree) -> Tree:
    """The tree shaped as ``like`` whose leaves `named_arrays` named.

    Raises:
        FitError: names, shapes or types differ; the message says which.
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(like)
    wanted = {_name(where): leaf for where, leaf in leaves}
    differences = [f"-{name}" for name in sorted(arrays.keys() - wanted.keys())]
    differences += [f"+{name}" for name in sorted(wanted.keys() - arrays.keys())]
    for name in sorted(wanted.keys() & arrays.keys()):
        now, was = _raw(wanted[name]), arrays[name]
        if (was.shape, was.dtype) != (now.shape, now.dtype):
            differences.append(f"{name} was {was.dtype}{list(was.shape)}, is {now.dtype}{list(now.shape)}")
    if differences:
        raise FitError(f"checkpoint {path} does not fit: {'; '.join(differences)}")
    restored = [_like(arrays[name], leaf) for name, leaf in wanted.items()]
    tree: Tree = jax.tree_util.tree_unflatten(structure, restored)
    return tree


def _verified(path: Path, expected: Expected) -> tuple[Identity, Arrays]:
    identity = read_manifest(path).identity
    check_fit(path, identity, expected)
    try:
        with ocp.PyTreeCheckpointer() as checkpointer:
            folder = (path / ARRAYS).absolute()
            known = checkpointer.metadata(folder).item_metadata
            if known is None:
                raise ValueError("Orbax finds no arrays in it")
            as_numpy = dict.fromkeys(known.tree, ocp.RestoreArgs(restore_type=np.ndarray))
            arrays: Arrays = checkpointer.restore(folder, restore_args=as_numpy)
    except (ValueError, KeyError, OSError) as error:
        raise DamagedCheckpointError(f"checkpoint {path}: {ARRAYS} cannot be restored: {error}") from error
    return identity, arrays


@contextmanager
def _whole_or_nothing(target: Path) -> Iterator[Path]:
    """A scratch folder that becomes ``target``, durably, when the block ends well."""
    scratch = target.with_name(f".{target.name}.tmp")
    with _disk_faults(target):
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        try:
            yield scratch
            for path in [*scratch.rglob("*"), scratch]:
                _sync(path)
            _move(scratch, target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _move(scratch: Path, target: Path) -> None:
    """Give ``scratch`` the name ``target``; a folder already there steps aside, as it cannot be overwritten."""
    aside = target.with_name(f".{target.name}.old")
    shutil.rmtree(aside, ignore_errors=True)
    if target.exists():
        target.rename(aside)
    scratch.rename(target)
    _sync(target.parent)
    shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def _disk_faults(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, jax.errors.JaxRuntimeError) as error:
        raise ResourceError(f"cannot write {path}: {error}; make room or choose another folder") from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _name(path: tuple[Any, ...]) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".")


def _is_key(leaf: jax.Array) -> bool:
    return bool(jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key))


def _raw(leaf: jax.Array) -> jax.Array:
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _like(array: NDArray[Any], leaf: jax.Array) -> jax.Array:
    return jax.random.wrap_key_data(jnp.asarray(array)) if _is_key(leaf) else jnp.asarray(array)
