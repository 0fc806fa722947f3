"""The rollout: resets, bootstraps, masks and counts, against a plain loop over the same environment."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_core.envs.env import Env, EnvParams
from rl_core.envs.market_arrays import make_market
from rl_core.ppo import normaliser as norm
from rl_core.ppo.backend import as_on_an_accelerator
from rl_core.ppo.config import PPOConfig
from rl_core.ppo.environment import EnvArrays
from rl_core.ppo.networks import initial_parameters
from rl_core.ppo.normaliser import Normaliser
from rl_core.ppo.rollout import Actor, EpisodesInPlay, Rollout, RolloutContext, roll_out, trajectory_of
from rl_core.ppo.train import initial_state, update
from tests.rl_core.markets import mnq_limits, mnq_venue, random_bars, seen, session_minutes
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


@pytest.fixture(scope="module", params=["with conditions", "as on an accelerator"])
def played(actor: Actor, request: pytest.FixtureRequest) -> Rollout:
    """Three episodes' worth of bars in 16 environments."""
    state = ENV.reset(*WORLD, jax.random.key(2), CONFIG.num_envs)
    playing = EpisodesInPlay(state, jnp.zeros(CONFIG.num_envs))
    if request.param == "with conditions":
        return play(CONFIG, actor, playing)
    with as_on_an_accelerator():
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
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)  # sums of floats, in another order on an accelerator


def test_an_accelerator_plays_what_a_cpu_plays() -> None:
    """On a real market and with all six actions: every action, end, reset and count; floats as near as their sums."""
    config = PPOConfig(num_envs=32, rollout_length=300, total_steps=9600, hidden=(8,), hold_bias=0.0)
    env = Env(2)
    world = EnvArrays(
        make_market(seen(random_bars(3, session_minutes(4)))), EnvParams(mnq_venue(), mnq_limits(), 0.25, 0.6)
    )
    state = initial_state(config, env, world)
    actor = Actor(state.learner.parameters, state.normaliser)

    def run(world: EnvArrays, key: jax.Array) -> tuple[EpisodesInPlay, Rollout]:
        return roll_out(RolloutContext(config, env, world, actor), state.playing, key)

    here = jax.jit(run)(world, jax.random.key(4))
    with as_on_an_accelerator():
        there = jax.jit(run)(world, jax.random.key(4))

    steps = here[1].transitions
    assert int(steps.terminated.sum()) > 2 and int((steps.done & ~steps.terminated).sum()) > 5
    assert float(jnp.abs(here[1].cut_value).sum()) > 0
    for ours, theirs in zip(jax.tree.leaves(here), jax.tree.leaves(there), strict=True):
        np.testing.assert_allclose(theirs, ours, rtol=2e-5, atol=2e-5)


def test_an_accelerator_writes_four_turns_of_its_loops_out_and_a_cpu_one() -> None:
    """Of the bars and of the optimiser steps: what is written out together is started together."""
    config = CONFIG.model_copy(update={"rollout_length": 24})
    state = initial_state(config, ENV, WORLD)

    def turns_at_once() -> set[tuple[int, int]]:
        program = jax.make_jaxpr(partial(update, config=config, env=ENV))(state, WORLD)
        equations = program.eqns[0].params["jaxpr"].eqns
        return {(each.params["length"], each.params["unroll"]) for each in equations if each.primitive.name == "scan"}

    here = turns_at_once()
    with as_on_an_accelerator():
        there = turns_at_once()

    assert {(24, 1), (config.steps_per_update, 1)} <= here
    assert there == {(24, 4), (config.steps_per_update, 4)}
