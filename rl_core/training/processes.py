"""Several processes that train one run: joined, told apart, of one mind, and ended together."""

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

from rl_core.ppo.devices import join
from rl_core.training.watchdog import GONE
from trigate.errors import ConfigError, ProcessNotReadyError, TrigateError

DEFAULT_COORDINATOR = "127.0.0.1:8476"
FAILED = re.compile("Gloo|NCCL|coordination service|UNAVAILABLE|DEADLINE_EXCEEDED", re.IGNORECASE)
"""What JAX's errors say when another process did not answer."""


class Members(NamedTuple):
    """Who trains; None is left to JAX to find out (Slurm, Open MPI, Kubernetes, TPU)."""

    coordinator: str | None
    processes: int | None
    process: int | None


@contextmanager
def together(members: Members | None) -> Iterator[list[str]]:
    """The settings that make this process one of ``members``; does nothing where there are none.

    A fault ends this process at once: JAX would leave in order, and wait for those who wait for it. They hear of it
    within `devices.HEARTBEAT_S` and end with exit code 5.

    Raises:
        ConfigError: who the members are is not known.
    """
    if members is None:
        yield []
        return
    try:
        _join(members)
        yield [f"ppo.devices={jax.device_count()}"]
        any_of(False)  # all leave when the last has finished
    except TrigateError as error:
        _end(str(error), error.exit_code)
    except KeyboardInterrupt:
        _end("interrupted", 130)
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        if not FAILED.search(str(error)):
            raise
        _end(GONE, ProcessNotReadyError.exit_code)


def leads() -> bool:
    """Whether this process is the one that writes and prints."""
    return jax.process_index() == 0


def any_of(flag: bool) -> bool:
    """Whether any process says so; all must ask."""
    if jax.process_count() == 1:
        return flag
    return bool(np.any(multihost_utils.process_allgather(np.array(flag))))


def check_same(text: str) -> None:
    """Stop unless all processes call with the same ``text``.

    Raises:
        ConfigError: they do not; all of them raise it.
    """
    if jax.process_count() == 1:
        return
    own = np.frombuffer(hashlib.sha256(text.encode()).digest(), np.uint8)
    others = np.flatnonzero(np.any(multihost_utils.process_allgather(own) != own, axis=1))
    if others.size:
        raise ConfigError(
            f"process {jax.process_index()} and process {others[0]} were given other settings, bars or code"
        )


def from_first(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Process 0's ``arrays``, bit for bit; everybody's must have the same names, shapes and types."""
    if jax.process_count() == 1:
        return dict(arrays)
    own = np.frombuffer(b"".join(array.tobytes() for array in arrays.values()), np.uint8)
    told = np.asarray(multihost_utils.broadcast_one_to_all(own))
    ends = np.cumsum([array.nbytes for array in arrays.values()])
    parts = zip(arrays.items(), np.split(told, ends[:-1]), strict=True)
    return {name: np.frombuffer(part.tobytes(), array.dtype).reshape(array.shape) for (name, array), part in parts}


def _join(members: Members) -> None:
    coordinator, processes, process = members
    if None not in (processes, process):
        coordinator = coordinator or DEFAULT_COORDINATOR
    try:
        join(coordinator, processes, process)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"--distributed: {error}; give --processes and --process") from error


def _end(message: str, code: int) -> NoReturn:
    sys.stderr.write(f"rl-core: {message}\n")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
