"""Playing: the behaviour policy over a batch of environments, with resets in between."""

from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp

from rl_core.contract import BUY, SELL
from rl_core.ppo import normaliser as norm
from rl_core.ppo.advantages import Trajectory
from rl_core.ppo.config import PPOConfig
from rl_core.ppo.devices import ALONE, Shards
from rl_core.ppo.environment import Closed, EnvArrays, Environment
from rl_core.ppo.networks import NetworkOutput, Parameters, forward, has_choice, log_probabilities, log_probability_of
from rl_core.ppo.normaliser import Normaliser, Sums

Tree = TypeVar("Tree")


class Playing(NamedTuple):
    """Environments in the middle of their episodes."""

    env_state: Any  # leaves [B, ...]
    episode_return: jax.Array  # [B], rewards since the last reset, without shaping


class Transition(NamedTuple):
    """One step of every environment; leaves are [B, ...], stacked to [T, B, ...]."""

    memory: Any  # what `Actor.recall` makes the normalised observation of
    legal_actions: jax.Array  # [B, A] bool
    action: jax.Array  # [B] int8
    log_probability: jax.Array  # [B]
    value: jax.Array  # [B]
    reward: jax.Array  # [B], shaping included
    terminated: jax.Array  # [B] bool
    done: jax.Array  # [B] bool


class Counts(NamedTuple):
    """What happened in a rollout, counted; every field is a scalar, or [B] before it is summed."""

    trades: jax.Array  # closed
    wins: jax.Array  # closed with a profit after costs
    pnl_cents: jax.Array  # of closed trades
    r: jax.Array  # sum of profit / risk over closed trades
    bars_held: jax.Array  # of closed trades
    episodes: jax.Array  # completed
    episode_return: jax.Array  # sum over completed episodes
    choices: jax.Array  # states with more than one legal action
    entry_choices: jax.Array  # states in which an entry is legal
    entry_probability: jax.Array  # sum of P(entry) over those
    entries: jax.Array  # entries taken
    longs: jax.Array  # of which long


class Rollout(NamedTuple):
    """The fruits of one rollout."""

    transitions: Transition  # [T, B, ...]
    cut_value: jax.Array  # [T, B], V of the state before its reset where truncated, else 0
    last_value: jax.Array  # [B], V of the states in which the rollout stopped
    seen: Normaliser  # moments of the raw observations of this rollout
    counts: Counts


class _Cuts(NamedTuple):
    """Episodes cut off: their values, and the states that still wait for one, at most one an environment."""

    value: jax.Array  # [T, B]
    step: jax.Array  # [B] int32, when the waiting one was cut; T where none waits
    memory: Any  # [B, ...] of the waiting state


class _Carry(NamedTuple):
    playing: Playing
    cuts: _Cuts
    seen: Sums
    counts: Counts  # [B] each


class Actor(NamedTuple):
    """The behaviour policy, frozen for the length of a rollout."""

    parameters: Parameters
    normaliser: Normaliser

    def look(self, config: PPOConfig, raw: jax.Array) -> tuple[jax.Array, NetworkOutput]:
        """The normalised observation [B, O] and what the network says of it."""
        observation = norm.normalise(self.normaliser, raw)
        return observation, forward(config, self.parameters, observation)


def recall(config: PPOConfig, env: Environment, world: EnvArrays, normaliser: Normaliser, memory: Any) -> jax.Array:
    """The normalised observations [N, O] that the behaviour policy saw, of what its rollout kept [N, ...]."""
    if config.stored_observations:
        seen: jax.Array = memory
        return seen
    return norm.normalise(normaliser, env.shown(world.market, memory))


class Stage(NamedTuple):
    """What a rollout is played with."""

    config: PPOConfig
    env: Environment
    world: EnvArrays
    actor: Actor
    shards: Shards = ALONE

    def value_of(self, memory: Any) -> jax.Array:
        """V [B] of the states that are remembered."""
        return self.actor.look(self.config, self.env.shown(self.world.market, memory))[1].value


class _Bar(NamedTuple):
    """What is drawn for one bar."""

    step: jax.Array  # int32
    noise: jax.Array  # [B, A] Gumbel: the largest log-probability plus noise is a draw of the policy
    reset_key: jax.Array


def roll_out(stage: Stage, playing: Playing, key: jax.Array) -> tuple[Playing, Rollout]:
    """Play ``rollout_length`` bars in every environment, starting afresh where an episode ends."""
    config, env, world = stage.config, stage.env, stage.world
    steps = config.rollout_length
    noise_key, reset_key = jax.random.split(key)
    noise = jax.random.gumbel(noise_key, (config.num_envs, steps, env.num_actions))
    noise = jnp.swapaxes(stage.shards.own(noise), 0, 1)
    now = env.glimpse(*world, playing.env_state)
    envs = now.legal_actions.shape[0]

    def one_bar(carry: _Carry, bar: _Bar) -> tuple[_Carry, Transition]:
        return _one_bar(stage, carry, bar)

    start = _Carry(
        playing=playing,
        cuts=_Cuts(jnp.zeros((steps, envs)), jnp.full(envs, steps), now.memory),
        seen=norm.no_sums(stage.shards.mean(jnp.mean(env.shown(world.market, now.memory), axis=0))),
        counts=_nothing(envs),
    )
    bars = _Bar(jnp.arange(steps), noise, jax.random.split(reset_key, steps))
    end, transitions = jax.lax.scan(one_bar, start, bars)
    last = env.glimpse(*world, end.playing.env_state)
    return end.playing, Rollout(
        transitions=transitions,
        cut_value=_all_valued(stage, end.cuts).value,
        last_value=stage.value_of(last.memory),
        seen=norm.moments_of(end.seen._replace(parts=stage.shards.sum(end.seen.parts))),
        counts=stage.shards.sum(jax.tree.map(jnp.sum, end.counts)),
    )


def _one_bar(stage: Stage, carry: _Carry, bar: _Bar) -> tuple[_Carry, Transition]:
    config, env, world = stage.config, stage.env, stage.world
    state, episode_return = carry.playing
    now = env.glimpse(*world, state)
    raw = env.shown(world.market, now.memory)
    observation, output = stage.actor.look(config, raw)
    log_probability = log_probabilities(output.logits, now.legal_actions)
    action = jnp.argmax(log_probability + bar.noise, axis=-1)

    result = env.step(*world, state, action)
    done = result.terminated | result.truncated
    cut = result.truncated & ~result.terminated
    episode_return = episode_return + result.reward
    transition = Transition(
        memory=observation if config.stored_observations else now.memory,
        legal_actions=now.legal_actions,
        action=action.astype(jnp.int8),
        log_probability=log_probability_of(log_probability, action),
        value=output.value,
        reward=result.reward if result.shaping is None else result.reward + result.shaping,
        terminated=result.terminated,
        done=done,
    )

    def restart() -> tuple[Any, _Cuts]:
        fresh = stage.shards.own(env.reset(*world, bar.reset_key, config.num_envs))
        last = env.glimpse(*world, result.state).memory
        return _where(done, fresh, result.state), _noted(stage, carry.cuts, cut, bar.step, last)

    state, cuts = jax.lax.cond(jnp.any(done), restart, lambda: (result.state, carry.cuts))
    counts = _counts(transition, log_probability, result.trade, episode_return)
    after = _Carry(
        playing=Playing(state, jnp.where(done, 0.0, episode_return)),
        cuts=cuts,
        seen=norm.add(carry.seen, raw),
        counts=jax.tree.map(jnp.add, carry.counts, counts),
    )
    return after, transition


def _noted(stage: Stage, cuts: _Cuts, cut: jax.Array, step: jax.Array, last: Any) -> _Cuts:
    """``cuts`` and the states ``last`` of the environments ``cut`` [B] now.

    They are valued together at the end of the rollout, or before where an environment is cut a second time.
    """
    crowded = jnp.any(cut & (cuts.step < cuts.value.shape[0]))
    cuts = jax.lax.cond(crowded, lambda: _all_valued(stage, cuts), lambda: cuts)
    return _Cuts(cuts.value, jnp.where(cut, step, cuts.step), _where(cut, last, cuts.memory))


def _all_valued(stage: Stage, cuts: _Cuts) -> _Cuts:
    """``cuts`` with nobody waiting."""
    steps, envs = cuts.value.shape
    value = cuts.value.at[cuts.step, jnp.arange(envs)].set(stage.value_of(cuts.memory), mode="drop")
    return _Cuts(value, jnp.full_like(cuts.step, steps), cuts.memory)


def _where(picked: jax.Array, new: Tree, old: Tree) -> Tree:
    """Leaves [B, ...] of ``new`` where ``picked`` [B], else of ``old``."""

    def choose(a: jax.Array, b: jax.Array) -> jax.Array:
        chosen: jax.Array = jnp.where(picked.reshape(picked.shape + (1,) * (b.ndim - 1)), a, b)
        return chosen

    tree: Tree = jax.tree.map(choose, new, old)
    return tree


def _counts(transition: Transition, log_probability: jax.Array, trade: Closed, episode_return: jax.Array) -> Counts:
    """One bar's counts [B]; ``episode_return`` [B] includes this bar's reward."""
    closed, pnl = trade.closed, trade.pnl_cents
    legal, action = transition.legal_actions, transition.action
    may_enter = legal[:, BUY] | legal[:, SELL]
    enter = jnp.exp(log_probability[:, BUY]) + jnp.exp(log_probability[:, SELL])
    return Counts(
        trades=closed,
        wins=closed & (pnl > 0),
        pnl_cents=jnp.where(closed, pnl, 0),
        r=jnp.where(closed, pnl / jnp.maximum(trade.risk_cents, 1), 0.0),
        bars_held=jnp.where(closed, trade.bars_held, 0),
        episodes=transition.done,
        episode_return=jnp.where(transition.done, episode_return, 0.0),
        choices=has_choice(legal),
        entry_choices=may_enter,
        entry_probability=jnp.where(may_enter, enter, 0.0),
        entries=(action == BUY) | (action == SELL),
        longs=action == BUY,
    )


def _nothing(envs: int) -> Counts:
    """Zeros [B]: probabilities, returns and multiples of risk are float32, the rest int32."""
    whole, real = jnp.zeros(envs, jnp.int32), jnp.zeros(envs)
    empty = Counts(*[whole] * len(Counts._fields))
    return empty._replace(r=real, episode_return=real, entry_probability=real)


def trajectory_of(rollout: Rollout) -> Trajectory:
    """What the advantages are estimated from: the next value is the one before any reset."""
    steps = rollout.transitions
    following = jnp.concatenate([steps.value[1:], rollout.last_value[None]])
    next_value = jnp.where(steps.done, rollout.cut_value, following)
    return Trajectory(steps.reward, steps.value, next_value, steps.terminated, steps.done)
