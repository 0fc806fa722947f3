"""The rollout: resets, bootstraps, masks and counts, against a plain loop over the same environment."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_core.ppo import normaliser as norm
from rl_core.ppo.config import PPOConfig
from rl_core.ppo.environment import EnvArrays
from rl_core.ppo.networks import initial_parameters
from rl_core.ppo.normaliser import Normaliser
from rl_core.ppo.rollout import Actor, EpisodesInPlay, Rollout, RolloutContext, roll_out, trajectory_of
from tests.rl_core.ppo.toy_env import EPISODE_BARS, HOLD_BARS, ToyEnv, toy_world

CONFIG = PPOConfig(
    num_envs=16,
    rollout_length=3 * EPISODE_BARS,
    total_steps=16 * 60,
    hidden=(8,),
    hold_bias=0.0,
    stored_observations=True,
)
ENV, WORLD = ToyEnv(), EnvArrays(*toy_world(cost_cents=10))


def play(config: PPOConfig, actor: Actor, playing: EpisodesInPlay, env: ToyEnv = ENV) -> Rollout:
    """One rollout of the toy environment."""

    def run(world: EnvArrays, actor: Actor, playing: EpisodesInPlay, key: jax.Array) -> Rollout:
        return roll_out(RolloutContext(config, env, world, actor), playing, key)[1]

    return jax.jit(run)(WORLD, actor, playing, jax.random.key(3))


@pytest.fixture(scope="module")
def actor() -> Actor:
    """An untrained policy and a normaliser that is not the identity."""
    parameters = initial_parameters(CONFIG, ENV.observation_size, ENV.num_actions, jax.random.key(1))
    known = Normaliser(
        jnp.array([50.0, 0.5, 0.0, 1.0]), jnp.array([9.0, 0.25, 1.0, 2.0]), jnp.full(4, 100.0), jnp.ones(4)
    )
    return Actor(parameters, known)


@pytest.fixture(scope="module")
def played(actor: Actor) -> Rollout:
    """Three episodes' worth of bars in 16 environments."""
    state = ENV.reset(*WORLD, jax.random.key(2), CONFIG.num_envs)
    playing = EpisodesInPlay(state, jnp.zeros(CONFIG.num_envs))
    return play(CONFIG, actor, playing)


def test_only_legal_actions_are_taken_with_their_masked_probability(played: Rollout) -> None:
    """In a position only HOLD is legal, so its log-probability is zero."""
    steps = played.transitions

    taken = jnp.take_along_axis(steps.legal_actions, steps.action[..., None], axis=-1)
    forced = steps.legal_actions.sum(axis=-1) == 1

    assert bool(taken.all())
    assert float(forced.mean()) > 0.3
    assert not steps.log_probability[forced].any()
    assert (steps.log_probability[~forced] < -0.5).all()


def test_a_cut_episode_is_valued_before_its_reset(played: Rollout, actor: Actor) -> None:
    """A truncated step's next value is V of its own last state; the following row belongs to a fresh episode."""
    trajectory = trajectory_of(played)
    cut = np.asarray(trajectory.done & ~trajectory.terminated)
    rows, envs = np.nonzero(cut)

    assert len(rows) > 10
    assert bool((trajectory.next_value[rows, envs] == played.cut_value[rows, envs]).all())
    assert bool((trajectory.next_value[rows, envs] != 0).all())
    inner = rows < CONFIG.rollout_length - 1
    following = trajectory.value[rows[inner] + 1, envs[inner]]
    assert not np.allclose(trajectory.next_value[rows[inner], envs[inner]], following)


def test_next_values_inside_an_episode_are_the_following_values(played: Rollout) -> None:
    """V(s_{t+1}) is computed once, by the next step; after the last bar by the extra look."""
    trajectory = trajectory_of(played)
    inside = ~trajectory.done[:-1]

    assert bool((trajectory.next_value[:-1][inside] == trajectory.value[1:][inside]).all())
    ended = trajectory.done[-1]
    assert bool((trajectory.next_value[-1][~ended] == played.last_value[~ended]).all())


def test_episodes_last_no_longer_than_the_environment_allows(played: Rollout) -> None:
    """Without a reset the bars played would pass the limit; with one, an end comes within every 20 bars."""
    done = np.asarray(played.transitions.done)

    for env in range(CONFIG.num_envs):
        ends = np.flatnonzero(done[:, env])
        assert np.diff(np.concatenate([[-1], ends])).max() <= EPISODE_BARS
    assert bool(played.transitions.terminated.any())


def test_counts_equal_a_recount_of_the_transitions(played: Rollout) -> None:
    """Trades are what closed, not what updates there were; returns are whole episodes', rewards included to the end."""
    steps, counts = played.transitions, played.counts
    reward, done = np.asarray(steps.reward), np.asarray(steps.done)
    closing = reward != 0
    entries = (steps.action == 1) | (steps.action == 2)

    assert counts.trades == closing.sum()
    assert counts.wins == (reward > 0).sum()
    assert counts.pnl_cents == round(float(reward.sum()) * 100)
    assert counts.r == pytest.approx(float(reward.sum()), abs=1e-3)
    assert counts.bars_held == HOLD_BARS * closing.sum()
    assert counts.episodes == done.sum()
    assert counts.entries == entries.sum()
    assert counts.longs == (steps.action == 1).sum()
    last_end = [np.flatnonzero(done[:, env])[-1] for env in range(CONFIG.num_envs)]
    completed = sum(reward[: end + 1, env].sum() for env, end in enumerate(last_end))
    assert counts.episode_return == pytest.approx(float(completed), abs=1e-3)
    assert counts.entry_choices == counts.choices == (steps.legal_actions.sum(axis=-1) > 1).sum()
    assert 0.6 < counts.entry_probability / counts.entry_choices < 0.7


def test_the_normaliser_sees_raw_observations_and_is_frozen_meanwhile(played: Rollout, actor: Actor) -> None:
    """Undoing the frozen normaliser gives the raw observations back, and their moments are those reported."""
    raw = played.transitions.memory.values.reshape(-1, 4) * jnp.sqrt(actor.normaliser.variance) + actor.normaliser.mean

    seen = norm.moments(raw)

    np.testing.assert_allclose(played.observed.mean, seen.mean, atol=1e-4)
    np.testing.assert_allclose(played.observed.variance, seen.variance, rtol=1e-3, atol=1e-5)
    assert played.observed.seen[0] == CONFIG.batch_size
    assert set(np.round(np.asarray(raw[:, 0])).astype(int)) == {47, 53}


class _Shaped(ToyEnv):
    """The learner gets 10 more for every bar."""

    def step(self, market: Any, params: Any, state: Any, action: jax.Array) -> Any:
        """One bar."""
        result = super().step(market, params, state, action)
        return result._replace(shaping=jnp.full_like(result.reward, 10.0))


def test_shaping_is_learned_from_and_not_reported(actor: Actor, played: Rollout) -> None:
    """10 R a bar in every reward, none in the returns of episodes."""
    playing = EpisodesInPlay(ENV.reset(*WORLD, jax.random.key(2), CONFIG.num_envs), jnp.zeros(CONFIG.num_envs))

    shaped = play(CONFIG, actor, playing, _Shaped())

    np.testing.assert_allclose(shaped.transitions.reward, played.transitions.reward + 10.0, atol=1e-5)
    for ours, theirs in zip(shaped.counts, played.counts, strict=True):
        np.testing.assert_array_equal(ours, theirs)
