"""Two updates of the toy environment on so many devices, saved as NumPy: the program of test_devices.

A process alone saves beside them what it learns as on an accelerator.
"""

import sys
from pathlib import Path

import jax
import numpy as np

from rl_core.ppo.backend import as_on_an_accelerator
from rl_core.ppo.config import PPOConfig
from rl_core.ppo.devices import REPLICATED, gather, join_processes, put_on_devices
from rl_core.ppo.environment import EnvArrays
from rl_core.ppo.train import STATE_SHARDING, initial_state, update
from rl_core.training.compile_cache import use_compile_cache
from tests.rl_core.ppo.toy_env import SHORT, ToyEnv, toy_world


def after_two_updates(devices: int) -> dict[str, np.ndarray]:
    """Every array of the learner, normaliser and environments, and what was counted, by name."""
    config = PPOConfig.model_validate(SHORT.model_dump() | {"devices": devices})
    env, world = ToyEnv(), EnvArrays(*toy_world())
    state = put_on_devices(initial_state(config, env, world), devices, STATE_SHARDING)
    world = put_on_devices(world, devices, REPLICATED)
    for _ in range(2):
        state, metrics = update(state, world, config=config, env=env)
    whole = gather(state._replace(key=jax.random.key_data(state.key)), devices)
    leaves = jax.tree_util.tree_flatten_with_path((whole, gather(metrics, devices)))[0]
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


if __name__ == "__main__":
    out, devices, *cluster = sys.argv[1:]
    use_compile_cache()
    if cluster:
        join_processes(cluster[0], 2, int(cluster[1]))
    np.savez(Path(out), allow_pickle=False, **after_two_updates(int(devices)))
    if not cluster:
        with as_on_an_accelerator():
            np.savez(Path(out).with_name("accelerator.npz"), allow_pickle=False, **after_two_updates(int(devices)))
