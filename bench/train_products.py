"""The matrix products of one update and nothing else: what no pass through its networks can be faster than."""

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rl_core.envs.env import Env
from rl_core.ppo.config import PPOConfig


class Products(NamedTuple):
    """The products of one update of separate towers."""

    once: Callable[[], None]
    gflop: float  # a multiplication and its addition are two


class _Tower(NamedTuple):
    activations: list[jax.Array]  # [rows, width] of every width, from the inputs to the outputs
    kernels: list[jax.Array]  # between them


def products_update(config: PPOConfig, env: Env) -> Products:
    """One forward product a layer and bar; the same a minibatch, and the gradients of its kernels and of its inputs.

    Nothing stands between them: no bias, no tanh, no loss, no step. The first layer's inputs need no gradient.
    """
    assert not config.shared_torso
    widths = [(env.observation_size, *config.hidden, outputs) for outputs in (env.num_actions, 1)]
    bars, steps = config.rollout_length, config.steps_per_update
    bar, minibatch = ([_tower(each, rows) for each in widths] for rows in (config.num_envs, _minibatch(config)))

    @jax.jit
    def program(bar: list[_Tower], minibatch: list[_Tower]) -> tuple[jax.Array, jax.Array]:
        played = jax.lax.scan(lambda towers, turn: _turn(towers, turn, backward=False), bar, jnp.arange(bars))
        learned = jax.lax.scan(lambda towers, turn: _turn(towers, turn, backward=True), minibatch, jnp.arange(steps))
        return played[1], learned[1]

    def once() -> None:
        jax.block_until_ready(program(bar, minibatch))

    once()
    flop = sum(_flop(each, config) for each in widths)
    return Products(once, flop / 1e9)


def _minibatch(config: PPOConfig) -> int:
    return config.batch_size // config.minibatches


def _flop(widths: tuple[int, ...], config: PPOConfig) -> int:
    """Of one tower: once a row played; thrice a row learned from, less the gradient of the first layer's inputs."""
    a_row = sum(2 * wide * following for wide, following in pairwise(widths))
    learned = 3 * a_row - 2 * widths[0] * widths[1]
    return config.batch_size * (a_row + config.epochs * learned)


def _tower(widths: tuple[int, ...], rows: int) -> _Tower:
    key = jax.random.key(0)
    kernels = [jax.random.normal(key, shape) for shape in pairwise(widths)]
    return _Tower([jax.random.normal(key, (rows, width)) for width in widths], kernels)


def _turn(towers: list[_Tower], turn: jax.Array, *, backward: bool) -> tuple[list[_Tower], jax.Array]:
    """One number of each array is another in each turn, so that no product may be taken out of the loop."""
    towers = jax.tree.map(lambda array: array.at[0, 0].set(turn.astype(array.dtype)), towers)
    products = [product for each in towers for product in _products(each, backward=backward)]
    return towers, jnp.stack([product[-1, -1] for product in products])


def _products(tower: _Tower, *, backward: bool) -> list[jax.Array]:
    activations, kernels = tower
    found = [below @ kernel for below, kernel in zip(activations, kernels, strict=False)]
    if backward:
        found += [below.T @ above for below, above in pairwise(activations)]
        found += [above @ kernel.T for above, kernel in list(zip(activations[1:], kernels, strict=True))[1:]]
    return found
