"""The network and the masked categorical."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_core.ppo.config import PPOConfig
from rl_core.ppo.networks import (
    entropy,
    forward,
    has_choice,
    initial_parameters,
    limited_gradient,
    log_probabilities,
    log_probability_of,
)

SHARED = PPOConfig(hidden=(16, 8), shared_torso=True, hold_bias=0.0)
SEPARATE = SHARED.model_copy(update={"shared_torso": False})


def test_illegal_actions_are_never_sampled_and_the_rest_sums_to_one() -> None:
    """10,000 draws with the favourite action illegal."""
    logits = jnp.array([0.0, 1.0, 9.0])
    legal = jnp.array([True, True, False])

    log_probability = log_probabilities(logits, legal)
    drawn = jax.random.categorical(jax.random.key(0), log_probability, shape=(10_000,))

    assert jnp.exp(log_probability).sum() == pytest.approx(1.0, abs=1e-6)
    assert jnp.exp(log_probability[2]) == 0.0
    assert sorted(np.unique(drawn)) == [0, 1]
    assert np.mean(drawn) == pytest.approx(1 / (1 + np.exp(-1)), abs=0.02)


def test_a_forced_state_has_no_entropy_and_no_choice() -> None:
    """Only HOLD is legal in the first row; two actions in the second: ln 2."""
    legal = jnp.array([[True, False, False], [True, True, False]])

    log_probability = log_probabilities(jnp.zeros((2, 3)), legal)

    assert entropy(log_probability).tolist() == pytest.approx([0.0, np.log(2)], abs=1e-6)
    assert has_choice(legal).tolist() == [False, True]
    assert log_probability_of(log_probability, jnp.array([0, 1])).tolist() == pytest.approx([0, -np.log(2)], abs=1e-6)


@pytest.mark.parametrize("config", [SHARED, SEPARATE])
def test_the_first_policy_is_nearly_uniform(config: PPOConfig) -> None:
    """The policy head's scale of 0.01 leaves logits near zero while values are not."""
    parameters = initial_parameters(config, 12, 3, jax.random.key(1))

    output = forward(config, parameters, jax.random.normal(jax.random.key(2), (64, 12)))

    assert output.logits.shape == (64, 3)
    assert output.value.shape == (64,)
    assert jnp.abs(output.logits).max() < 0.1
    assert jnp.abs(output.value).max() > 0.1


def test_a_hold_bias_makes_first_entries_rare() -> None:
    """Bias 3 beside two near-zero logits: P(entry) = 2 / (2 + e^3) = 0.09, in every state."""
    config = PPOConfig(hidden=(16, 8), hold_bias=3.0)
    parameters = initial_parameters(config, 12, 3, jax.random.key(1))

    logits = forward(config, parameters, jax.random.normal(jax.random.key(2), (64, 12))).logits
    entry = 1 - jnp.exp(log_probabilities(logits, jnp.ones((64, 3), bool)))[:, 0]

    assert entry.tolist() == pytest.approx([2 / (2 + np.exp(3))] * 64, rel=0.1)


def test_separate_networks_share_no_parameter() -> None:
    """The value's gradient is zero in every parameter of the actor."""
    parameters = initial_parameters(SEPARATE, 5, 3, jax.random.key(0))
    observation = jnp.ones((4, 5))

    gradient = jax.grad(lambda p: forward(SEPARATE, p, observation).value.sum())(parameters)

    assert set(parameters) == {"actor", "critic"}
    assert all(not leaf.any() for leaf in jax.tree.leaves(gradient["actor"]))
    assert any(leaf.any() for leaf in jax.tree.leaves(gradient["critic"]))


def test_a_huge_value_error_cannot_drown_the_policy_in_a_shared_torso() -> None:
    """Value errors of 1e5: without the bound the torso would follow the critic alone."""
    parameters = initial_parameters(SHARED, 5, 3, jax.random.key(0))
    observation = jax.random.normal(jax.random.key(1), (32, 5))

    def value_pull(scale: float) -> jax.Array:
        gradient = jax.grad(lambda p: jnp.mean(scale * forward(SHARED, p, observation).value))(parameters)
        return jnp.sqrt(sum(jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(gradient["torso"])))

    assert value_pull(1e5) == pytest.approx(float(value_pull(10.0)), rel=1e-4)
    assert value_pull(1e5) < 10 * SHARED.max_grad_norm


def test_the_pull_bound_is_on_the_root_mean_square_per_sample() -> None:
    """Four samples of gradient (3, 4) / 4 each: 5 per sample, so a limit of 1 scales by 1/5 and 10 leaves it."""
    features = jnp.zeros((4, 2))

    def pulled(limit: float) -> jax.Array:
        return jax.grad(lambda x: jnp.mean(limited_gradient(x, limit) @ jnp.array([3.0, 4.0])))(features)

    assert pulled(1.0)[0].tolist() == pytest.approx([0.15, 0.2], rel=1e-5)
    assert pulled(10.0)[0].tolist() == pytest.approx([0.75, 1.0], rel=1e-5)
