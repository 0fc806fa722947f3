"""Generalised advantages: by hand, over episode edges, and against a slow plain-Python version."""

import contextlib
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_core.ppo.advantages import Trajectory, generalized_advantage
from rl_core.ppo.backend import as_on_an_accelerator


@pytest.fixture(autouse=True, params=["with conditions", "as on an accelerator"])
def either_program(request: pytest.FixtureRequest) -> Iterator[None]:
    """Bar after bar, and by halves."""
    with contextlib.nullcontext() if request.param == "with conditions" else as_on_an_accelerator():
        yield


def one_env(
    reward: list[float], value: list[float], next_value: list[float], terminated: list[int], done: list[int]
) -> Trajectory:
    """A trajectory [T, 1]."""
    floats = [jnp.array(column, jnp.float32)[:, None] for column in (reward, value, next_value)]
    flags = [jnp.array(column, bool)[:, None] for column in (terminated, done)]
    return Trajectory(*floats, *flags)


def test_three_steps_by_hand() -> None:
    """With discount .5 and lambda .5: deltas 1+1-1=1, 2+2-2=2, 3+0-4=-1; A = 1+.25*1.75, 2-.25, -1."""
    trajectory = one_env([1, 2, 3], [1, 2, 4], [2, 4, 0], [0, 0, 1], [0, 0, 1])

    advantage = generalized_advantage(trajectory, discount=0.5, gae_lambda=0.5)

    assert advantage[:, 0].tolist() == [1.4375, 1.75, -1.0]


def test_a_truncated_episode_is_bootstrapped_and_a_terminated_one_is_not() -> None:
    """Both end with reward 1 before a state worth 10: cut off, the 10 counts; ended, nothing follows."""
    truncated = one_env([1], [0], [10], [0], [1])
    terminated = one_env([1], [0], [10], [1], [1])

    cut = generalized_advantage(truncated, discount=0.9, gae_lambda=0.95)
    ended = generalized_advantage(terminated, discount=0.9, gae_lambda=0.95)

    assert (cut.item(), ended.item()) == (10.0, 1.0)


def test_nothing_flows_back_over_an_episode_edge() -> None:
    """Step 0 is cut off, so the 5 earned at step 1 belongs to another episode."""
    zero, no = jnp.zeros((2, 1)), jnp.zeros((2, 1), bool)
    trajectory = Trajectory(jnp.array([[0.0], [5.0]]), zero, zero, no, jnp.array([[True], [False]]))

    advantage = generalized_advantage(trajectory, discount=1.0, gae_lambda=1.0)

    assert advantage[:, 0].tolist() == [0.0, 5.0]


def slow_advantage(trajectory: Trajectory, discount: float, gae_lambda: float) -> np.ndarray:
    """The definition as a sum: A_t = sum over k of (discount lambda)^k delta_{t+k}, up to the episode's end."""
    steps, envs = trajectory.reward.shape
    out = np.zeros((steps, envs))
    for env in range(envs):
        for start in range(steps):
            weight = 1.0
            for t in range(start, steps):
                future = 0.0 if trajectory.terminated[t, env] else float(trajectory.next_value[t, env])
                delta = float(trajectory.reward[t, env]) + discount * future - float(trajectory.value[t, env])
                out[start, env] += weight * delta
                if trajectory.done[t, env]:
                    break
                weight *= discount * gae_lambda
    return out


def test_equals_the_defining_sum_on_random_episodes() -> None:
    """Eight environments of 24 steps with ends of both kinds."""
    keys = jax.random.split(jax.random.key(3), 5)
    reward, value, next_value = (jax.random.normal(key, (24, 8)) for key in keys[:3])
    terminated = jax.random.bernoulli(keys[3], 0.1, (24, 8))
    done = terminated | jax.random.bernoulli(keys[4], 0.1, (24, 8))
    trajectory = Trajectory(reward, value, next_value, terminated, done)

    advantage = generalized_advantage(trajectory, discount=0.97, gae_lambda=0.9)

    np.testing.assert_allclose(advantage, slow_advantage(trajectory, 0.97, 0.9), atol=1e-5)
