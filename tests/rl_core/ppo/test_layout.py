"""Parameters laid out for an accelerator: the same network, the same step, the same arrays afterwards."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rl_core.ppo.config import PPOConfig
from rl_core.ppo.devices import UNSHARDED
from rl_core.ppo.layout import AsTheyAre, InVectors, Layout, Shown, SideBySide, layout_of, of_moments
from rl_core.ppo.networks import initial_parameters
from rl_core.ppo.optimiser import make_optimiser

SEPARATE = PPOConfig(num_envs=4, hidden=(8, 6), max_grad_norm=0.5)
SHARED = SEPARATE.model_copy(update={"shared_torso": True})
ROWS, SIZE, ACTIONS = 12, 5, 3
near = partial(jax.tree.map, partial(np.testing.assert_allclose, rtol=2e-5, atol=1e-6))


def parameters_of(config: PPOConfig) -> Any:
    """With biases that are not zero."""
    made = initial_parameters(config, SIZE, ACTIONS, jax.random.key(1))
    return jax.tree.map(lambda leaf: leaf + 0.1 * jax.random.normal(jax.random.key(leaf.size), leaf.shape), made)


PARAMETERS = {config: parameters_of(config) for config in (SEPARATE, SHARED)}
LAYOUTS: dict[str, tuple[PPOConfig, Layout]] = {
    "vectors": (SEPARATE, InVectors(SEPARATE, UNSHARDED, PARAMETERS[SEPARATE])),
    "vectors of a shared torso": (SHARED, InVectors(SHARED, UNSHARDED, PARAMETERS[SHARED])),
    "side by side": (SEPARATE, SideBySide(SEPARATE, PARAMETERS[SEPARATE])),
}
MET, KNOWN = (jax.random.normal(jax.random.key(seed), (ROWS, SIZE)) for seed in (2, 3))


@pytest.fixture(params=LAYOUTS)
def laid_out(request: pytest.FixtureRequest) -> tuple[PPOConfig, Layout]:
    """The learner's settings, and a layout of its parameters."""
    return LAYOUTS[request.param]


def test_parameters_come_back_as_they_were(laid_out: tuple[PPOConfig, Layout]) -> None:
    """In one array a head, or one in all; the shapes and names are those that checkpoints know."""
    config, layout = laid_out

    laid = layout.laid(PARAMETERS[config])

    assert len(jax.tree.leaves(laid)) <= 3
    assert jax.tree.structure(layout.whole(laid)) == jax.tree.structure(PARAMETERS[config])
    jax.tree.map(np.testing.assert_array_equal, layout.whole(laid), PARAMETERS[config])


@pytest.mark.parametrize("known", ["nothing", "entries", "all"])
def test_the_network_says_the_same(laid_out: tuple[PPOConfig, Layout], known: str) -> None:
    """Logits and value of the states met, logits of the known ones; where all is known, no others are asked."""
    config, layout = laid_out
    shown = Shown(MET, None if known == "nothing" else KNOWN, known == "all")

    output, known_logits = layout.outputs(layout.laid(PARAMETERS[config]), shown)

    wanted, wanted_known = AsTheyAre(config, UNSHARDED).outputs(PARAMETERS[config], shown)
    near(output.value, wanted.value)
    assert (known_logits is None) == (known == "nothing")
    if known != "all":
        near(output.logits, wanted.logits)
    if known != "nothing":
        near(known_logits, wanted_known)


def test_steps_lead_to_the_same_parameters_and_moments(laid_out: tuple[PPOConfig, Layout]) -> None:
    """Two steps of clipped Adam; the critic's loss is so steep that one norm over both would hold the actor back."""
    config, layout = laid_out

    ends = [_two_steps(config, way) for way in (None, layout)]

    near(ends[1], ends[0])
    moved = jax.tree.map(lambda new, old: float(jnp.abs(new - old).max()), ends[1][0], PARAMETERS[config])
    assert min(jax.tree.leaves(moved)) > 1e-5


def _two_steps(config: PPOConfig, layout: Layout | None) -> Any:
    """Parameters and state of the optimiser after them; without a layout nothing is moved on the way."""
    optimiser, start = make_optimiser(config), PARAMETERS[config]
    way = AsTheyAre(config, UNSHARDED) if layout is None else layout

    @jax.jit
    def step(parameters: Any, state: Any) -> Any:
        gradients = jax.grad(partial(_loss, way))(parameters)
        changes, state = optimiser.update(gradients, state, parameters)
        return optax.apply_updates(parameters, changes), state

    _, state = optimiser.update(start, optimiser.init(start), start)  # moments that differ from each other
    now = (start, state) if layout is None else (layout.laid(start), of_moments(layout.laid, state))
    for _ in range(2):
        now = step(*now)
    return now if layout is None else (layout.whole(now[0]), of_moments(layout.whole, now[1]))


def _loss(layout: Layout, laid: Any) -> jax.Array:
    output, _ = layout.outputs(laid, Shown(MET, None, all_known=False))
    return jnp.mean(jnp.sum(output.logits * jnp.arange(ACTIONS), -1)) + 1e3 * jnp.mean(output.value)


def test_a_cpu_leaves_parameters_as_they_are() -> None:
    """The layouts above are for what starts operations one by one."""
    assert isinstance(layout_of(SEPARATE, PARAMETERS[SEPARATE], UNSHARDED), AsTheyAre)
