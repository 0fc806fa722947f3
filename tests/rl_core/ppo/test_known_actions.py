"""Advantages and objective where every action's outcome is known, by hand; and that they are the policy's gradient."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_core.envs.entry_outcomes import with_entry_outcomes
from rl_core.envs.env import Env
from rl_core.envs.market_arrays import make_market
from rl_core.ppo.config import PPOConfig
from rl_core.ppo.environment import EnvArrays
from rl_core.ppo.known_actions import known_batch, scaled_advantage
from rl_core.ppo.losses import Batch, KnownBatch, ppo_loss
from rl_core.ppo.networks import NetworkOutput
from rl_core.ppo.rollout import Actor, RolloutContext, roll_out
from rl_core.ppo.train import initial_state, without_entries
from tests.rl_core.envs.episodes import params_for
from tests.rl_core.markets import small_view

CONFIG = PPOConfig(num_envs=8, rollout_length=16, total_steps=8 * 16 * 2, hidden=(8,), clip=0.2)
ALL, HOLD_ONLY = [True, True, True], [True, False, False]


class Known(NamedTuple):
    """As an environment gives it."""

    memory: jax.Array
    legal_actions: jax.Array
    credit: jax.Array
    outcome: jax.Array
    bars: jax.Array


def world() -> EnvArrays:
    return EnvArrays(with_entry_outcomes(make_market(small_view()), params_for(), credit_decay=1.0), params_for())


def context(arrays: EnvArrays) -> RolloutContext:
    state = initial_state(CONFIG, Env(1), arrays)
    return RolloutContext(CONFIG, Env(1), arrays, Actor(state.parameters, state.normaliser))


def known(outcome: list[float], credit: list[float]) -> Known:
    """One choice in which BUY takes 5 bars and SELL 3, and one state without a choice, which counts for nothing."""
    return Known(
        memory=jnp.zeros(2),
        legal_actions=jnp.array([ALL, HOLD_ONLY]),
        credit=jnp.array([[0.0, *credit], [0.0, 9.0, 9.0]]),
        outcome=jnp.array([[0.0, *outcome], [0.0, 9.0, 9.0]]),
        bars=jnp.array([[1, 5, 3], [1, 0, 0]]),
    )


LOG_PROBABILITY = jnp.log(jnp.array([[0.5, 0.25, 0.25], [1.0, 1e-30, 1e-30]]))


def test_an_entry_costs_what_its_bars_would_have_earned() -> None:
    """E[outcome] = .25 x 3 + .25 x -1 = .5, E[bars] = .5 + 1.25 + .75 = 2.5: .2 R a bar.

    BUY 2 - .2 x 4 = 1.2, SELL 0 - .2 x 2 = -.4; root mean square sqrt((1.44 + .16) / 2) = sqrt(.8).
    """
    advantage = scaled_advantage(context(world()), known([3.0, -1.0], [2.0, 0.0]), LOG_PROBABILITY)

    assert advantage[0] == pytest.approx([0.0, 1.2 / 0.8**0.5, -0.4 / 0.8**0.5], abs=1e-5)
    assert advantage[1].tolist() == [0.0, 0.0, 0.0]


def test_a_policy_that_loses_is_not_paid_for_long_trades() -> None:
    """At a negative rate an entry of many bars would look better than HOLD for its length."""
    advantage = scaled_advantage(context(world()), known([-3.0, -1.0], [-0.5, 0.5]), LOG_PROBABILITY)

    assert advantage[0] == pytest.approx([0.0, -1.0, 1.0], abs=1e-5)


def batch_with(rows: KnownBatch) -> Batch:
    n = rows.advantage.shape[0]
    zeros = jnp.zeros(n)
    return Batch(zeros, jnp.ones((n, 3), bool), jnp.zeros(n, jnp.int32), zeros, zeros, zeros, zeros, rows)


def test_the_objective_is_summed_over_actions_by_hand() -> None:
    """Behaviour .5, .25, .25; now uniform: ratios 2/3, 4/3, 4/3, clipped at 1.2 where that is the lesser gain.

    BUY +1: .25 x 1.2 = .3; SELL -1: .25 x -4/3 = -1/3. The loss is 1/30. Two actions of .25 each are beyond the clip,
    and HOLD's 2/3 too. KL = sum of p log(p / q) = .5 ln 1.5 + .5 ln .75.
    """
    rows = KnownBatch(
        memory=jnp.zeros(2),
        legal_actions=jnp.array([ALL, HOLD_ONLY]),
        log_probability=LOG_PROBABILITY,
        advantage=jnp.array([[0.0, 1.0, -1.0], [0.0, 0.0, 0.0]]),
    )

    output = NetworkOutput(jnp.zeros((2, 3)), jnp.zeros(2))
    losses = ppo_loss(output, batch_with(rows), CONFIG, known_logits=jnp.zeros((2, 3)))

    assert losses.policy == pytest.approx(1 / 3 - 0.3, abs=1e-6)
    assert losses.clip_fraction == pytest.approx(1.0)
    assert losses.kl == pytest.approx(0.5 * np.log(1.5) + 0.5 * np.log(0.75), abs=1e-6)
    assert losses.entropy == pytest.approx(np.log(3), abs=1e-6)


def test_in_phase_1_a_policy_learns_nothing_from_its_critic() -> None:
    """All of its actions are known, so what the critic said, missed and thought of an action moves no logit."""
    rows = KnownBatch(jnp.zeros(2), jnp.array([ALL, ALL]), jnp.full((2, 3), -np.log(3.0)), jnp.ones((2, 3)))
    plain = batch_with(rows)._replace(legal_actions=jnp.array([ALL, ALL]))
    spoken = plain._replace(
        value=jnp.array([9.0, -9.0]), target=jnp.array([5.0, 3.0]), advantage=jnp.array([7.0, -7.0])
    )

    def policy_gradient(batch: Batch, value: jax.Array) -> list[float]:
        def total(logits: jax.Array) -> jax.Array:
            return ppo_loss(NetworkOutput(logits, value), batch, CONFIG, known_logits=logits).total

        gradient: list[float] = jax.grad(total)(jnp.array([[0.3, 0.1, -0.2], [0.0, 0.5, 0.1]])).ravel().tolist()
        return gradient

    assert policy_gradient(plain, jnp.zeros(2)) == policy_gradient(spoken, jnp.array([1.0, 2.0]))
    assert any(policy_gradient(plain, jnp.zeros(2)))


def test_the_gradient_is_that_of_the_expected_advantage() -> None:
    """At the behaviour policy itself nothing is clipped: d/dlogits of sum p A."""
    generator = np.random.default_rng(4)
    logits = jnp.asarray(generator.normal(size=(6, 3)), jnp.float32)
    advantage = jnp.asarray(generator.normal(size=(6, 3)), jnp.float32)
    rows = KnownBatch(jnp.zeros(6), jnp.ones((6, 3), bool), jax.nn.log_softmax(logits), advantage)

    def loss(logits: jax.Array) -> jax.Array:
        output = NetworkOutput(jnp.zeros((6, 3)), jnp.zeros(6))
        return ppo_loss(output, batch_with(rows), CONFIG, known_logits=logits).policy

    expected = jax.grad(lambda logits: -jnp.mean(jnp.sum(jax.nn.softmax(logits) * advantage, -1)))(logits)

    np.testing.assert_allclose(jax.grad(loss)(logits), expected, atol=1e-6)


def test_a_rollout_teaches_at_bars_in_a_position_too() -> None:
    """Every bar in entry hours is a choice, with the probabilities of the policy for an account without a position."""
    arrays = world()
    stage, state = context(arrays), initial_state(CONFIG, Env(1), arrays)
    _, rollout = roll_out(stage, state.playing, jax.random.key(3))
    memory = rollout.transitions.memory

    known = known_batch(stage, memory)

    assert known is not None
    batch = known.batch
    assert batch.advantage.shape == (16, 8, 3)
    held = memory.standing[..., 0] != 0
    assert bool(held.any())
    assert bool((batch.legal_actions[held].sum(-1) == 3).any())
    flat = ~held & (rollout.transitions.legal_actions.sum(-1) == 3) & (batch.legal_actions.sum(-1) == 3)
    taken = jnp.take_along_axis(batch.log_probability, rollout.transitions.action[..., None].astype(int), -1)[..., 0]
    np.testing.assert_allclose(taken[flat], rollout.transitions.log_probability[flat], atol=1e-5)


def test_what_a_rollout_kept_of_all_its_bars_is_what_asking_the_policy_anew_gives() -> None:
    """In a position, too, where the rollout's own account saw something else and could only hold."""
    arrays = world()
    stage, state = context(arrays), initial_state(CONFIG, Env(1), arrays)
    _, rollout = roll_out(stage, state.playing, jax.random.key(3))
    memory, kept = rollout.transitions.memory, rollout.transitions.known_logits

    asked, remembered = known_batch(stage, memory), known_batch(stage, memory, kept)

    assert asked is not None and remembered is not None
    np.testing.assert_allclose(remembered.batch.log_probability, asked.batch.log_probability, atol=2e-7)
    held = (memory.standing[..., 0] != 0) & (asked.batch.legal_actions.sum(-1) == 3)
    assert bool(held.any())


def test_nothing_is_known_where_nothing_was_tabulated() -> None:
    arrays = EnvArrays(make_market(small_view()), params_for())
    stage, state = context(arrays), initial_state(CONFIG, Env(1), arrays)
    _, rollout = roll_out(stage, state.playing, jax.random.key(3))

    assert known_batch(stage, rollout.transitions.memory) is None


def test_in_phase_2_entries_are_known_and_management_is_learned_from_what_was_done() -> None:
    """Of two states one is flat, where all is known, and one held, where BREAKEVEN was taken at a third: ratio 1.

    The sampled part is -1 x 2 for the held state alone; the known part is that of uniform logits, -(1 - 1) / 3 = 0.
    """
    legal = jnp.array([[True, True, True, False, False, False], [True, False, False, True, True, False]])
    rows = KnownBatch(
        memory=jnp.zeros(2),
        legal_actions=jnp.array([ALL, ALL]),
        log_probability=jnp.full((2, 3), -np.log(3.0)),
        advantage=jnp.array([[0.0, 1.0, -1.0], [0.0, 1.0, -1.0]]),
    )
    zeros = jnp.zeros(2)
    batch = Batch(zeros, without_entries(legal), jnp.array([1, 3]), jnp.full(2, -np.log(3.0)), zeros, 2 + zeros, zeros)

    losses = ppo_loss(
        NetworkOutput(jnp.zeros((2, 6)), zeros), batch._replace(known=rows), CONFIG, known_logits=jnp.zeros((2, 6))
    )

    assert without_entries(legal).tolist() == [[True, False, False, False, False, False], legal[1].tolist()]
    assert losses.policy == pytest.approx(-2.0, abs=1e-5)
    assert losses.entropy == pytest.approx(np.log(3), abs=1e-5)
    assert losses.kl == pytest.approx(0.0, abs=1e-6)
