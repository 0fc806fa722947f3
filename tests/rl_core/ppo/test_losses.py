"""The PPO loss on arrays small enough to add up by hand."""

import math

import jax
import jax.numpy as jnp
import pytest

from rl_core.ppo.config import PPOConfig
from rl_core.ppo.losses import Batch, mean_where, normalised_advantage, ppo_loss, value_loss
from rl_core.ppo.networks import NetworkOutput

ALL, HOLD_ONLY = [True, True, True], [True, False, False]


def batch_of(legal: list[list[bool]], probability: list[float], advantage: list[float]) -> Batch:
    """Rows that took action 0 with ``probability`` under the behaviour policy; values 0, targets 2."""
    rows = len(legal)
    return Batch(
        memory=jnp.zeros((rows, 4)),
        legal_actions=jnp.array(legal),
        action=jnp.zeros(rows, jnp.int32),
        log_probability=jnp.log(jnp.array(probability)),
        value=jnp.zeros(rows),
        advantage=jnp.array(advantage),
        target=jnp.full(rows, 2.0),
    )


def test_surrogate_value_and_entropy_by_hand() -> None:
    """Uniform logits: P = 1/3 now. Row 1 had 1/3 (ratio 1), row 2 had 1/6 (ratio 2, clipped to 1.2).

    Policy -(1 x 1 + 1.2 x 3) / 2 = -2.3; value (0 - 2)^2 / 2 = 2; entropy ln 3;
    total -2.3 + .5 x 2 - .1 x ln 3. KL ((1 - 1 - 0) + (2 - 1 - ln 2)) / 2. One of two rows is clipped.
    """
    output = NetworkOutput(jnp.zeros((2, 3)), jnp.zeros(2))
    batch = batch_of([ALL, ALL], [1 / 3, 1 / 6], [1.0, 3.0])

    losses = ppo_loss(output, batch, PPOConfig(entropy_coefficient=0.1, value_coefficient=0.5, clip=0.2))

    assert losses.policy == pytest.approx(-2.3, abs=1e-6)
    assert losses.value == pytest.approx(2.0)
    assert losses.entropy == pytest.approx(math.log(3), abs=1e-6)
    assert losses.total == pytest.approx(-2.3 + 1.0 - 0.1 * math.log(3), abs=1e-6)
    assert losses.kl == pytest.approx((1 - math.log(2)) / 2, abs=1e-6)
    assert losses.clip_fraction == 0.5


def test_a_gain_is_not_clipped_away_when_the_ratio_moves_against_it() -> None:
    """Ratio 2 with advantage -1: the pessimistic term is the unclipped -2, so the loss is 2."""
    output = NetworkOutput(jnp.zeros((1, 3)), jnp.zeros(1))

    losses = ppo_loss(output, batch_of([ALL], [1 / 6], [-1.0]), PPOConfig())

    assert losses.policy == pytest.approx(2.0, abs=1e-5)


def test_forced_states_count_for_nothing_but_the_value() -> None:
    """Adding a row with one legal action leaves policy loss, entropy and KL as they were."""
    one = ppo_loss(NetworkOutput(jnp.zeros((1, 3)), jnp.zeros(1)), batch_of([ALL], [1 / 6], [1.0]), PPOConfig())

    forced = batch_of([ALL, HOLD_ONLY], [1 / 6, 1.0], [1.0, 50.0])
    two = ppo_loss(NetworkOutput(jnp.zeros((2, 3)), jnp.zeros(2)), forced, PPOConfig())

    assert (two.policy, two.entropy, two.kl) == (one.policy, one.entropy, one.kl)


def test_no_choice_at_all_gives_zeros_not_nan() -> None:
    """A minibatch may hold forced states only."""
    output = NetworkOutput(jnp.zeros((1, 3)), jnp.zeros(1))

    losses = ppo_loss(output, batch_of([HOLD_ONLY], [1.0], [1.0]), PPOConfig())

    assert (losses.policy, losses.entropy) == (0.0, 0.0)
    assert bool(jnp.isfinite(losses.total))


def test_value_clip_is_taken_against_the_old_value() -> None:
    """Old value 0, new value 1.5, target 2, clip .5: the clipped 0.5 errs by 1.5, more than 0.5; half of 2.25."""
    batch = batch_of([ALL], [1 / 3], [7.0])

    assert value_loss(jnp.array([1.5]), batch, 0.5) == pytest.approx(1.125)
    assert value_loss(jnp.array([1.5]), batch, None) == pytest.approx(0.125)


def test_several_means_at_once_are_each_ones_own() -> None:
    """Of 1 2 3 and of 10 20 30, where the middle one is left out."""
    where, rows = jnp.array([True, False, True]), jnp.array([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]])

    assert mean_where(where, rows).tolist() == [2.0, 20.0]
    assert [float(mean_where(where, row)) for row in rows] == [2.0, 20.0]


def test_advantages_are_normalised_over_states_with_a_choice() -> None:
    """Choices 1 and 3: mean 2, deviation 1. The forced 1000 moves neither."""
    advantage = jnp.array([1.0, 3.0, 1000.0])

    normalised = normalised_advantage(advantage, jnp.array([ALL, ALL, HOLD_ONLY]))

    assert normalised[:2].tolist() == pytest.approx([-1.0, 1.0], abs=1e-5)


def test_no_gradient_reaches_the_logits_of_illegal_actions() -> None:
    """A masked action has probability zero whatever its logit, so nothing can pull on it."""
    legal = [[True, True, False]]
    batch = batch_of(legal, [0.5], [1.0])

    def loss(logits: jax.Array) -> jax.Array:
        return ppo_loss(NetworkOutput(logits, jnp.zeros(1)), batch, PPOConfig()).total

    gradient = jax.grad(loss)(jnp.array([[0.1, 0.2, 0.3]]))

    assert gradient[0, 2] == 0.0
    assert abs(gradient[0, 0]) > 0.01
