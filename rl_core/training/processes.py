"""Runs one training over several JAX processes; process 0 writes.

All processes check that they were given the same inputs, start from the state that process 0 has read, and agree at
every sync whether to stop. If one is lost, the others end too: a collective operation cannot go on without it.
"""

import hashlib
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, NoReturn

import jax
import numpy as np
from jax.experimental import multihost_utils
from numpy.typing import NDArray

from rl_core.ppo.devices import join_processes
from rl_core.training.watchdog import PROCESS_LOST
from trigate.errors import ConfigError, ProcessNotReadyError, TrigateError

DEFAULT_COORDINATOR = "127.0.0.1:8476"
FAILED = re.compile("Gloo|NCCL|coordination service|UNAVAILABLE|DEADLINE_EXCEEDED", re.IGNORECASE)
"""Words of JAX's errors that mean that another process did not answer."""


class ProcessGroup(NamedTuple):
    """Which process this is of how many; JAX asks Slurm, Open MPI, Kubernetes or the TPU for what is None."""

    coordinator: str | None
    processes: int | None
    process: int | None


@contextmanager
def distributed_training(group: ProcessGroup | None) -> Iterator[list[str]]:
    """Make this process one of ``group``; yields the settings that follow from it. Does nothing without a group.

    A fault ends this process at once. An orderly exit would have JAX wait for the other processes, which wait for this
    one; they notice its end within `devices.HEARTBEAT_S` and end with exit code 5.

    Raises:
        ConfigError: the number of processes, or which one this is, is not known.
    """
    if group is None:
        yield []
        return
    try:
        _join_group(group)
        yield [f"ppo.devices={jax.device_count()}"]
        any_process(False)  # wait here until all have finished
    except TrigateError as error:
        _exit_at_once(str(error), error.exit_code)
    except KeyboardInterrupt:
        _exit_at_once("interrupted", 130)
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        if not FAILED.search(str(error)):
            raise
        _exit_at_once(PROCESS_LOST, ProcessNotReadyError.exit_code)


def is_writer() -> bool:
    """Whether this is process 0, the only one that writes files and prints."""
    return jax.process_index() == 0


def any_process(flag: bool) -> bool:
    """Whether ``flag`` is True in any process; every process must call it."""
    if jax.process_count() == 1:
        return flag
    return bool(np.any(multihost_utils.process_allgather(np.array(flag))))


def check_same_in_all(text: str) -> None:
    """Check that every process calls with the same ``text``.

    Raises:
        ConfigError: they do not; it is raised in all of them.
    """
    if jax.process_count() == 1:
        return
    digest = np.frombuffer(hashlib.sha256(text.encode()).digest(), np.uint8)
    differing = np.flatnonzero(np.any(multihost_utils.process_allgather(digest) != digest, axis=1))
    if differing.size:
        raise ConfigError(
            f"process {jax.process_index()} and process {differing[0]} were given other settings, bars or code"
        )


def broadcast_from_writer(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Process 0's ``arrays``, bit for bit, in every process; names, shapes and types must be the same in all."""
    if jax.process_count() == 1:
        return dict(arrays)
    sent = np.frombuffer(b"".join(array.tobytes() for array in arrays.values()), np.uint8)
    received = np.asarray(multihost_utils.broadcast_one_to_all(sent))
    ends = np.cumsum([array.nbytes for array in arrays.values()])
    parts = zip(arrays.items(), np.split(received, ends[:-1]), strict=True)
    return {name: np.frombuffer(part.tobytes(), array.dtype).reshape(array.shape) for (name, array), part in parts}


def _join_group(group: ProcessGroup) -> None:
    coordinator, processes, process = group
    if None not in (processes, process):
        coordinator = coordinator or DEFAULT_COORDINATOR
    try:
        join_processes(coordinator, processes, process)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"--distributed: {error}; give --processes and --process") from error


def _exit_at_once(message: str, code: int) -> NoReturn:
    sys.stderr.write(f"rl-core: {message}\n")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
