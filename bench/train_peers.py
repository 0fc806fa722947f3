"""What `bench/train.py` measures beside us: rejax on our own environment, Stable-Baselines3 on a NumPy one.

Both run the separate network (225 -> 256 -> 256 tanh for the actor and for the critic), 4 epochs of 4 minibatches, and
normalise nothing, which saves them work that we do. A peer that is not installed gives None.
"""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rl_core.contract import HOLD
from rl_core.ppo.config import PPOConfig
from rl_core.ppo.environment import EnvArrays

HIDDEN = (256, 256)
NUMPY_EPISODE = 390  # bars


def rejax_update(config: PPOConfig, env: Any, world: EnvArrays) -> Callable[[], None] | None:
    """One iteration of `rejax.PPO` on our environment, one account at a time under ``vmap``."""
    if find_spec("rejax") is None:
        return None
    import rejax
    from gymnax.environments import environment, spaces

    class Gymnax(environment.Environment):
        """Our environment with gymnax's interface; an illegal action holds, as rejax knows no mask."""

        def step(self, key: Any, state: Any, action: Any, params: Any = None) -> tuple[Any, ...]:
            legal = env.observe(*world, state).legal_actions
            result = env.step(*world, state, jnp.where(legal[0, action], action, HOLD)[None])
            done = (result.terminated | result.truncated)[0]
            fresh = env.reset(*world, key, 1)
            after = jax.tree.map(lambda new, old: jnp.where(done, new, old), fresh, result.state)
            return env.observe(*world, after).values[0], after, result.reward[0], done, {}

        def reset(self, key: Any, params: Any = None) -> tuple[Any, Any]:
            state = env.reset(*world, key, 1)
            return env.observe(*world, state).values[0], state

        def action_space(self, params: Any = None) -> Any:
            return spaces.Discrete(env.num_actions)

        def observation_space(self, params: Any = None) -> Any:
            return spaces.Box(-np.inf, np.inf, (env.observation_size,))

    learner = rejax.PPO.create(
        env=Gymnax(),
        env_params=environment.EnvParams(max_steps_in_episode=NUMPY_EPISODE),
        agent_kwargs={"activation": "tanh", "hidden_layer_sizes": HIDDEN},
        num_envs=config.num_envs,
        num_steps=config.rollout_length,
        num_epochs=config.epochs,
        num_minibatches=config.minibatches,
        max_grad_norm=config.max_grad_norm,
    )
    iterate = jax.jit(learner.train_iteration, donate_argnums=0)
    state = jax.jit(learner.init_state)(jax.random.key(0))

    def once() -> None:
        nonlocal state
        state = jax.block_until_ready(iterate(state))

    return once


def sb3_update(config: PPOConfig) -> Callable[[], None] | None:
    """One iteration of Stable-Baselines3's PPO on a vector environment that draws its observations with NumPy."""
    if find_spec("stable_baselines3") is None:
        return None
    from stable_baselines3 import PPO
    from torch import nn

    model = PPO(
        "MlpPolicy",
        _numpy_env(config.num_envs),
        n_steps=config.rollout_length,
        batch_size=config.batch_size // config.minibatches,
        n_epochs=config.epochs,
        policy_kwargs={"net_arch": {"pi": list(HIDDEN), "vf": list(HIDDEN)}, "activation_fn": nn.Tanh},
        device="auto",
    )

    def once() -> None:
        model.learn(config.batch_size, reset_num_timesteps=False, log_interval=None)

    return once


def _numpy_env(num_envs: int) -> Any:  # noqa: C901  (nine short methods, as VecEnv asks for)
    from gymnasium import spaces
    from stable_baselines3.common.vec_env import VecEnv

    class Market(VecEnv):
        """225 floats a bar out of a table, a reward of the action and the table, episodes of 390 bars."""

        def __init__(self) -> None:
            super().__init__(num_envs, spaces.Box(-np.inf, np.inf, (225,), np.float32), spaces.Discrete(3))
            self.table = np.random.default_rng(0).normal(size=(8192, 225)).astype(np.float32)
            self.at = np.arange(num_envs) * 29 % len(self.table)
            self.age = np.arange(num_envs) % NUMPY_EPISODE

        def reset(self) -> Any:
            return self.table[self.at]

        def step_async(self, actions: Any) -> None:
            self.actions = actions

        def step_wait(self) -> Any:
            self.at = (self.at + 1) % len(self.table)
            self.age = (self.age + 1) % NUMPY_EPISODE
            seen = self.table[self.at]
            reward = (self.actions - 1) * seen[:, 0]
            return seen, reward.astype(np.float32), self.age == 0, self._infos(seen)

        def _infos(self, seen: Any) -> list[dict[str, Any]]:
            ended: dict[int, dict[str, Any]] = {
                int(i): {"terminal_observation": seen[i], "TimeLimit.truncated": True}
                for i in np.flatnonzero(self.age == 0)
            }
            return [ended.get(i, {}) for i in range(self.num_envs)]

        def close(self) -> None:
            pass

        def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
            return [None] * self.num_envs

        def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
            pass

        def env_method(self, *given: Any, indices: Any = None, **named: Any) -> list[Any]:
            return [None] * self.num_envs

        def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
            return [False] * self.num_envs

    return Market()
