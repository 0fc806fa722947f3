"""Playing: the behaviour policy over a batch of environments, with resets in between."""

from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp

from rl_core.contract import BUY, SELL
from rl_core.ppo import normaliser as norm
from rl_core.ppo.advantages import Trajectory
from rl_core.ppo.config import PPOConfig
from rl_core.ppo.environment import Closed, Environment, World
from rl_core.ppo.networks import NetworkOutput, Parameters, forward, has_choice, log_probabilities, log_probability_of
from rl_core.ppo.normaliser import Normaliser

Tree = TypeVar("Tree")


class Playing(NamedTuple):
    """Environments in the middle of their episodes."""

    env_state: Any  # leaves [B, ...]
    episode_return: jax.Array  # [B], rewards since the last reset


class Transition(NamedTuple):
    """One step of every environment; leaves are [B, ...], stacked to [T, B, ...]."""

    observation: jax.Array  # [B, O], normalised
    legal_actions: jax.Array  # [B, A] bool
    action: jax.Array  # [B]
    log_probability: jax.Array  # [B]
    value: jax.Array  # [B]
    cut_value: jax.Array  # [B], V of the state before its reset where truncated, else 0
    reward: jax.Array  # [B]
    terminated: jax.Array  # [B] bool
    done: jax.Array  # [B] bool


class Counts(NamedTuple):
    """What happened in a rollout, counted; every field is a scalar."""

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
    last_value: jax.Array  # [B], V of the states in which the rollout stopped
    seen: Normaliser  # moments of the raw observations of this rollout
    counts: Counts


class _Carry(NamedTuple):
    playing: Playing
    seen: Normaliser


class Actor(NamedTuple):
    """The behaviour policy, frozen for the length of a rollout."""

    parameters: Parameters
    normaliser: Normaliser

    def look(self, config: PPOConfig, raw: jax.Array) -> tuple[jax.Array, NetworkOutput]:
        """The normalised observation [B, O] and what the network says of it."""
        observation = norm.normalise(self.normaliser, raw)
        return observation, forward(config, self.parameters, observation)


def roll_out(
    config: PPOConfig, env: Environment, world: World, actor: Actor, playing: Playing, key: jax.Array
) -> tuple[Playing, Rollout]:
    """Play ``rollout_length`` bars in every environment, starting afresh where an episode ends."""

    def one_bar(carry: _Carry, key: jax.Array) -> tuple[_Carry, tuple[Transition, Counts]]:
        return _one_bar(config, env, world, actor, carry, key)

    start = _Carry(playing, norm.fresh(env.observation_size))
    end, (transitions, counts) = jax.lax.scan(one_bar, start, jax.random.split(key, config.rollout_length))
    last = env.observe(*world, end.playing.env_state)
    last_value = actor.look(config, last.values)[1].value
    totals = jax.tree.map(lambda count: jnp.sum(count, axis=0), counts)
    return end.playing, Rollout(transitions, last_value, end.seen, totals)


def _one_bar(
    config: PPOConfig, env: Environment, world: World, actor: Actor, carry: _Carry, key: jax.Array
) -> tuple[_Carry, tuple[Transition, Counts]]:
    action_key, reset_key = jax.random.split(key)
    state, episode_return = carry.playing
    shown = env.observe(*world, state)
    observation, output = actor.look(config, shown.values)
    log_probability = log_probabilities(output.logits, shown.legal_actions)
    action = jax.random.categorical(action_key, log_probability)

    result = env.step(*world, state, action)
    done = result.terminated | result.truncated
    cut = result.truncated & ~result.terminated
    episode_return = episode_return + result.reward
    transition = Transition(
        observation=observation,
        legal_actions=shown.legal_actions,
        action=action,
        log_probability=log_probability_of(log_probability, action),
        value=output.value,
        cut_value=_cut_value(config, env, world, actor, result.state, cut),
        reward=result.reward,
        terminated=result.terminated,
        done=done,
    )
    counts = _counts(transition, log_probability, result.trade, episode_return)
    playing = Playing(
        env_state=_reset_where(done, env, world, result.state, reset_key),
        episode_return=jnp.where(done, 0.0, episode_return),
    )
    return _Carry(playing, norm.merge(carry.seen, norm.moments(shown.values))), (transition, counts)


def _cut_value(
    config: PPOConfig,
    env: Environment,
    world: World,
    actor: Actor,
    state: Any,
    cut: jax.Array,
) -> jax.Array:
    """V(``state``) [B] where an episode was cut off before its end; most bars cut none and skip the network."""

    def bootstrap() -> jax.Array:
        return jnp.where(cut, actor.look(config, env.observe(*world, state).values)[1].value, 0.0)

    value: jax.Array = jax.lax.cond(jnp.any(cut), bootstrap, lambda: jnp.zeros(cut.shape))
    return value


def _reset_where(done: jax.Array, env: Environment, world: World, state: Tree, key: jax.Array) -> Tree:
    """``state`` with every environment in ``done`` [B] started afresh."""

    def pick(fresh: jax.Array, kept: jax.Array) -> jax.Array:
        picked: jax.Array = jnp.where(done.reshape(done.shape + (1,) * (kept.ndim - 1)), fresh, kept)
        return picked

    def reset() -> Tree:
        fresh: Tree = jax.tree.map(pick, env.reset(*world, key, done.shape[0]), state)
        return fresh

    restarted: Tree = jax.lax.cond(jnp.any(done), reset, lambda: state)
    return restarted


def _counts(transition: Transition, log_probability: jax.Array, trade: Closed, episode_return: jax.Array) -> Counts:
    """One bar's counts; ``episode_return`` [B] includes this bar's reward."""
    closed, pnl = trade.closed, trade.pnl_cents
    legal, action = transition.legal_actions, transition.action
    may_enter = legal[:, BUY] | legal[:, SELL]
    enter = jnp.exp(log_probability[:, BUY]) + jnp.exp(log_probability[:, SELL])
    return Counts(
        trades=jnp.sum(closed),
        wins=jnp.sum(closed & (pnl > 0)),
        pnl_cents=jnp.sum(jnp.where(closed, pnl, 0)),
        r=jnp.sum(jnp.where(closed, pnl / jnp.maximum(trade.risk_cents, 1), 0.0)),
        bars_held=jnp.sum(jnp.where(closed, trade.bars_held, 0)),
        episodes=jnp.sum(transition.done),
        episode_return=jnp.sum(jnp.where(transition.done, episode_return, 0.0)),
        choices=jnp.sum(has_choice(legal)),
        entry_choices=jnp.sum(may_enter),
        entry_probability=jnp.sum(jnp.where(may_enter, enter, 0.0)),
        entries=jnp.sum((action == BUY) | (action == SELL)),
        longs=jnp.sum(action == BUY),
    )


def trajectory_of(rollout: Rollout) -> Trajectory:
    """What the advantages are estimated from: the next value is the one before any reset."""
    steps = rollout.transitions
    following = jnp.concatenate([steps.value[1:], rollout.last_value[None]])
    next_value = jnp.where(steps.done, steps.cut_value, following)
    return Trajectory(steps.reward, steps.value, next_value, steps.terminated, steps.done)
