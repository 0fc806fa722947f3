"""Two towers' gradients one after the other are those taken at once, in less memory."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_core.ppo.config import PPOConfig
from rl_core.ppo.losses import Batch, Losses, ppo_loss
from rl_core.ppo.networks import Parameters, forward, initial_parameters
from rl_core.ppo.train import joint_gradients, separate_gradients

CONFIG = PPOConfig(shared_torso=False, hidden=(64, 64), value_clip=0.2)
ROWS, SIZE, ACTIONS = 4096, 16, 3


def loss(parameters: Parameters, rows: Batch, *, value_counts: bool = True) -> tuple[jax.Array, Losses]:
    """As an update takes it."""
    output = forward(CONFIG, parameters, rows.memory)
    losses = ppo_loss(output if value_counts else output._replace(value=rows.value), rows, CONFIG)
    return losses.total, losses


def batch() -> Batch:
    """Rows of which every action is legal in some."""
    keys = iter(jax.random.split(jax.random.key(0), 6))
    return Batch(
        memory=jax.random.normal(next(keys), (ROWS, SIZE)),
        legal_actions=jax.random.bernoulli(next(keys), 0.8, (ROWS, ACTIONS)).at[:, 0].set(True),
        action=jnp.zeros(ROWS, jnp.int8),
        log_probability=jnp.full(ROWS, -1.0),
        value=jax.random.normal(next(keys), (ROWS,)),
        advantage=jax.random.normal(next(keys), (ROWS,)),
        target=jax.random.normal(next(keys), (ROWS,)),
    )


@pytest.fixture(scope="module")
def compiled() -> dict[str, tuple[Any, Any]]:
    """Each way as a program, and what it finds."""
    parameters, rows = initial_parameters(CONFIG, SIZE, ACTIONS, jax.random.key(1)), batch()
    ways: tuple[Callable[..., Any], ...] = (joint_gradients, separate_gradients)
    made = {way.__name__: jax.jit(partial(way, CONFIG, loss)).lower(parameters, rows).compile() for way in ways}
    return {name: (program, program(parameters, rows)) for name, program in made.items()}


def test_gradients_and_losses_are_the_same(compiled: dict[str, tuple[Any, Any]]) -> None:
    """But for the last bits of the total, which is put together from its parts."""
    wanted, found = (compiled[name][1] for name in ("joint_gradients", "separate_gradients"))

    assert jax.tree.structure(wanted) == jax.tree.structure(found)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-7), found, wanted)
    assert float(jnp.abs(found[0]["critic"]["dense_0"]["kernel"]).sum()) > 0


def test_the_activations_of_one_tower_are_held_at_a_time(compiled: dict[str, tuple[Any, Any]]) -> None:
    """Of six arrays of rows x 64 floats, four are left."""
    wanted, found = (
        compiled[name][0].memory_analysis().temp_size_in_bytes / (ROWS * 64 * 4)
        for name in ("joint_gradients", "separate_gradients")
    )

    assert found < 0.7 * wanted, (wanted, found)
