"""Split over two devices, in one process or in two, an update is that of one device but for the order of sums."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from rl_core.ppo.config import PPOConfig
from rl_core.ppo.devices import mesh_of
from tests.quick_programs import xla_flags
from tests.rl_core.ppo.devices_run import after_two_updates
from trigate.errors import ConfigError

ROOT = Path(__file__).parents[3]
TOLERANCE = 2e-5  # of parameters after two updates of 16 optimiser steps each


def start(out: Path, *arguments: str, host_devices: int = 1) -> subprocess.Popen[bytes]:
    """The program on ``host_devices`` devices of the CPU."""
    # As in the process that they are compared with, which its conftest sets.
    flags = xla_flags(f"--xla_force_host_platform_device_count={host_devices}")
    given = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    given["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
    return subprocess.Popen([sys.executable, "-m", "tests.rl_core.ppo.devices_run", str(out), *arguments], env=given)


@pytest.fixture(scope="module")
def alone() -> dict[str, np.ndarray]:
    """One device."""
    return after_two_updates(1)


def differences(found: Path, alone: dict[str, np.ndarray]) -> list[str]:
    """The names of arrays that are not what one device made of them."""
    arrays = np.load(found)
    assert set(arrays.files) == set(alone)
    near = {n: np.allclose(arrays[n], alone[n], rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True) for n in alone}
    return [name for name, equal in near.items() if not equal]


def test_two_devices_of_one_process_learn_what_one_learns(tmp_path: Path, alone: dict[str, np.ndarray]) -> None:
    """Same draws, same minibatches, gradients averaged, moments and advantages of all environments.

    The same again by the program that an accelerator gets.
    """
    program = start(tmp_path / "two.npz", "2", host_devices=2)

    assert program.wait(240) == 0
    assert differences(tmp_path / "two.npz", alone) == []
    assert differences(tmp_path / "accelerator.npz", alone) == []


def test_two_processes_learn_what_one_learns(tmp_path: Path, alone: dict[str, np.ndarray]) -> None:
    """One device each, joined over the loopback address; both end with the same arrays."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"

    programs = [start(tmp_path / f"{rank}.npz", "2", address, str(rank)) for rank in (0, 1)]

    assert [program.wait(240) for program in programs] == [0, 0]
    assert [differences(tmp_path / f"{rank}.npz", alone) for rank in (0, 1)] == [[], []]


def test_more_devices_than_there_are_is_a_fault_of_the_configuration() -> None:
    """Named as such, not a trace of JAX."""
    with pytest.raises(ConfigError, match=r"ppo\.devices is 4096"):
        mesh_of(4096)


def test_environments_must_divide_over_minibatches_on_every_device() -> None:
    """16 environments make 4 minibatches on 4 devices, not on 8."""
    PPOConfig(num_envs=16, devices=4)
    with pytest.raises(ValidationError, match="4 minibatches on 8 devices"):
        PPOConfig(num_envs=16, devices=8)
