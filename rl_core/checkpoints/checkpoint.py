"""Saves and restores a training run.

A checkpoint folder holds the arrays of the training state (Orbax), `policy.npz` for serving without JAX, and a manifest
with the SHA-256 of every file: Orbax alone restores flipped bits without a word.
"""

import hashlib
import json
import logging
import shutil
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp  # type: ignore[import-untyped]
from numpy.typing import NDArray

from rl_core.checkpoints.manifest import MANIFEST, Expected, Identity, check_fit, read_manifest, write_manifest
from rl_core.checkpoints.policy import POLICY_FILE, Policy, policy_of, save_policy
from rl_core.errors import DamagedCheckpointError, FitError
from rl_core.ppo.metrics import MetricRow
from rl_core.ppo.networks import Parameters
from rl_core.ppo.normaliser import BOUND, EPSILON, Normaliser
from rl_core.ppo.train import TrainState
from trigate.whole_files import disk_faults, sync, write_whole

ARRAYS = "state"
NOTHING: Mapping[str, bytes] = MappingProxyType({})
ORBAX_FAULTS = (jax.errors.JaxRuntimeError, ValueError, RuntimeError)
"""What Orbax raises besides OSError where a disk fails."""

Tree = TypeVar("Tree")
Arrays = dict[str, NDArray[Any]]


class LearnedParameters(NamedTuple):
    """What phase 2 takes from a checkpoint of phase 1."""

    parameters: Parameters
    normaliser: Normaliser
    identity: Identity


def save_checkpoint(
    folder: Path, state: TrainState, identity: Identity, *, final: bool, extra: Mapping[str, bytes] = NOTHING
) -> Path:
    """Write ``state`` as a new folder inside ``folder``, and return it. The folder appears whole or not at all.

    Args:
        folder: where the run keeps its checkpoints; made if missing.
        state: finite, and not yet donated to the next update.
        identity: what it was trained as, and on.
        final: whether training has ended.
        extra: small files to keep beside the arrays, by name; the manifest covers them.

    Raises:
        ResourceError: the disk failed; what was there before is as it was.
    """
    assert not {ARRAYS, POLICY_FILE, MANIFEST} & extra.keys(), extra.keys()
    target = folder / f"phase{identity.phase}_jax_{'final_' if final else ''}{identity.step}"
    arrays = named_arrays(state)
    for name, array in arrays.items():
        assert not jnp.issubdtype(array.dtype, jnp.floating) or np.isfinite(array).all(), f"{name} is not finite"
    with _whole_or_nothing(target) as scratch:
        _save_arrays(target, scratch / ARRAYS, arrays)
        save_policy(served_policy(state.parameters, state.normaliser), scratch)
        for name, content in extra.items():
            (scratch / name).write_bytes(content)
        write_manifest(scratch, identity)
    return target


def served_policy(parameters: Parameters, normaliser: Normaliser) -> Policy:
    """The NumPy policy that decides as the network behind its normaliser does."""
    mean, variance, _, gain = (np.asarray(column) for column in normaliser)
    plain = policy_of(parameters, mean=mean, scale=np.sqrt(variance + np.float32(EPSILON)), bound=BOUND)
    # The gain is applied after the clip, so it can be multiplied into the first layer's rows.
    return replace(plain, kernels=(gain[:, None] * plain.kernels[0], *plain.kernels[1:]))


def restore_state(path: Path, like: TrainState, *, expected: Expected) -> tuple[TrainState, Identity]:
    """Restore the training state saved in folder ``path``.

    Args:
        path: a checkpoint folder.
        like: a state of the run that wants it (`initial_state`): its shapes must be those saved.
        expected: what the run needs the checkpoint to be.

    Raises:
        ConfigError: there is no checkpoint.
        DamagedCheckpointError: its bytes are not those written.
        FitError: it was made for something else.
    """
    identity, arrays = read_arrays(path, expected)
    return from_named_arrays(path, arrays, like), identity


def load_learned(path: Path, *, expected: Expected) -> LearnedParameters:
    """Parameters and normaliser saved in folder ``path``; raises as `restore_state` does."""
    identity, arrays = read_arrays(path, expected)
    prefix = "learner.parameters."
    parameters: dict[str, Any] = {}
    for name in (name for name in arrays if name.startswith(prefix)):
        part, layer, leaf = name.removeprefix(prefix).split(".")
        parameters.setdefault(part, {}).setdefault(layer, {})[leaf] = jnp.asarray(arrays[name])
    normaliser = Normaliser(*(jnp.asarray(arrays[f"normaliser.{field}"]) for field in Normaliser._fields))
    return LearnedParameters(parameters, normaliser, identity)


def write_records(
    folder: Path,
    *,
    market: str,
    metrics: Sequence[MetricRow],
    metadata: Mapping[str, object],
    adjustments: Sequence[Mapping[str, object]] = (),
) -> None:
    """Write `training_metrics_<MARKET>.json`, `metadata.json` and `adjustment_history.json` beside the checkpoints."""
    records = {
        f"training_metrics_{market}.json": list(metrics),
        "metadata.json": dict(metadata),
        "adjustment_history.json": list(adjustments),
    }
    with disk_faults(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for name, content in records.items():
        write_whole(folder / name, json.dumps(content, indent=1, allow_nan=False) + "\n")


def named_arrays(tree: object) -> Arrays:
    """Every leaf of ``tree`` on the host, by its dotted path; random keys as their raw words."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {_name(path): np.asarray(_raw(leaf)) for path, leaf in leaves}


def digest_of(tree: object) -> str:
    """SHA-256 over names, types, shapes and values of every leaf; "" for None."""
    if tree is None:
        return ""
    digest = hashlib.sha256()
    for name, array in named_arrays(tree).items():
        digest.update(f"{name} {array.dtype} {array.shape} ".encode() + array.tobytes())
    return digest.hexdigest()


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
    restored = [_placed_like(arrays[name], leaf) for name, leaf in wanted.items()]
    tree: Tree = jax.tree_util.tree_unflatten(structure, restored)
    return tree


def read_arrays(path: Path, expected: Expected) -> tuple[Identity, Arrays]:
    """The identity and every named array of the checkpoint in folder ``path``; raises as `restore_state`."""
    identity = read_manifest(path).identity
    check_fit(path, identity, expected)
    try:
        with _checkpointer() as checkpointer:
            folder = (path / ARRAYS).absolute()
            stored = checkpointer.metadata(folder).item_metadata
            if stored is None:
                raise ValueError("Orbax finds no arrays in it")
            as_numpy = dict.fromkeys(stored.tree, ocp.RestoreArgs(restore_type=np.ndarray))
            arrays: Arrays = checkpointer.restore(folder, restore_args=as_numpy)
    except (ValueError, KeyError, OSError) as error:
        raise DamagedCheckpointError(
            f"checkpoint {path}: {ARRAYS} cannot be restored: {error}; restore the folder from a copy"
        ) from error
    return identity, arrays


def _save_arrays(target: Path, folder: Path, arrays: Arrays) -> None:
    """Let Orbax write ``arrays`` into ``folder``; a fault names ``target``, of which it will be a part."""
    with disk_faults(target), _orbax_faults_as_os_errors(), _checkpointer() as checkpointer:
        checkpointer.save(folder.absolute(), arrays)


def _checkpointer() -> Any:
    """Orbax for this process alone: in a distributed run it would otherwise wait for the other processes to save."""
    this_process = jax.process_index()
    options = ocp.options.MultiprocessingOptions(
        primary_host=this_process, active_processes={this_process}, barrier_sync_key_prefix=f"process_{this_process}"
    )
    handler = ocp.PyTreeCheckpointHandler(multiprocessing_options=options)
    return ocp.Checkpointer(handler, multiprocessing_options=options)


@contextmanager
def _orbax_faults_as_os_errors() -> Iterator[None]:
    """Turn a fault of Orbax into an OSError, and silence its threads, each of which would print a traceback of it."""
    log = logging.getLogger("absl")
    before = log.disabled, threading.excepthook, sys.unraisablehook
    log.disabled, threading.excepthook, sys.unraisablehook = True, _print_nothing, _print_nothing
    futures = logging.getLogger("asyncio")  # logs the other futures of a failed save when they are collected
    futures_were_off, futures.disabled = futures.disabled, True
    try:
        yield
    except ORBAX_FAULTS as error:
        # A thread of the failed save may still end with a traceback, so the silenced hooks are not put back.
        first, _, rest = str(error).partition(": ")
        raise OSError(f"{first}: {rest.rpartition(': ')[2]}") from error
    log.disabled, threading.excepthook, sys.unraisablehook = before
    futures.disabled = futures_were_off


def _print_nothing(_: object) -> None:
    """Print nothing."""


@contextmanager
def _whole_or_nothing(target: Path) -> Iterator[Path]:
    """Yield a scratch folder that is synced and renamed to ``target`` when the block ends without a fault."""
    scratch = target.with_name(f".{target.name}.tmp")
    with disk_faults(target):
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        try:
            yield scratch
            for path in [*scratch.rglob("*"), scratch]:
                sync(path)
            _move(scratch, target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _move(scratch: Path, target: Path) -> None:
    """Rename ``scratch`` to ``target``. A folder already there is moved aside first: a rename cannot replace it."""
    aside = target.with_name(f".{target.name}.old")
    shutil.rmtree(aside, ignore_errors=True)
    if target.exists():
        target.rename(aside)
    scratch.rename(target)
    sync(target.parent)
    shutil.rmtree(aside, ignore_errors=True)


def _name(path: tuple[Any, ...]) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".")


def _is_key(leaf: Any) -> bool:
    return bool(jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key))


def _raw(leaf: Any) -> jax.Array:
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _placed_like(array: NDArray[Any], leaf: jax.Array) -> jax.Array:
    """Put ``array`` on the devices on which ``leaf`` lies, as a PRNG key where ``leaf`` is one."""
    words = jnp.asarray(array)
    made = jax.random.wrap_key_data(words, impl=jax.random.key_impl(leaf)) if _is_key(leaf) else words
    placed: jax.Array = jax.device_put(made, leaf.sharding)
    return placed
