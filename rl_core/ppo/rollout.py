"""Plays a rollout: T bars of the behaviour policy in B environments, with a reset where an episode ends."""

from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp

from rl_core.contract import BUY, SELL
from rl_core.ppo import normaliser as norm
from rl_core.ppo.advantages import Trajectory
from rl_core.ppo.backend import conditions_are_free, turns_at_once
from rl_core.ppo.config import PPOConfig
from rl_core.ppo.devices import UNSHARDED, Shards
from rl_core.ppo.environment import ClosedTrades, EnvArrays, Environment
from rl_core.ppo.networks import (
    NetworkOutput,
    Parameters,
    forward,
    has_choice,
    log_probabilities,
    log_probability_of,
    masked_logits,
)
from rl_core.ppo.normaliser import Normaliser, Sums
from rl_core.ppo.packed import packed, unpacked

Tree = TypeVar("Tree")


class EpisodesInPlay(NamedTuple):
    """B environments in the middle of their episodes."""

    env_state: Any  # leaves [B, ...]
    episode_return: jax.Array  # [B], rewards since the last reset, without shaping


class Transition(NamedTuple):
    """One step of every environment; leaves are [B, ...], stacked to [T, B, ...]."""

    memory: Any  # what `rebuilt_observations` makes the normalised observations of
    legal_actions: jax.Array  # [B, A] bool
    action: jax.Array  # [B] int8
    log_probability: jax.Array  # [B]
    value: jax.Array  # [B]
    reward: jax.Array  # [B], shaping included
    terminated: jax.Array  # [B] bool
    done: jax.Array  # [B] bool
    known_logits: jax.Array | None = None  # [B, A] of the account without a position, where all its actions are known


class Counts(NamedTuple):
    """What happened in a rollout, as sums; every field is a scalar, or [B] before it is summed over environments."""

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
    """What one rollout leaves for learning and for the metrics."""

    transitions: Transition  # [T, B, ...]
    cut_value: jax.Array  # [T, B], V of the state before its reset where truncated, else 0
    last_value: jax.Array  # [B], V of the states in which the rollout stopped
    observed: Normaliser  # moments of the raw observations of this rollout
    counts: Counts


class _TruncatedStates(NamedTuple):
    """Values of truncated episodes' last states, and the states still to be valued: at most one an environment.

    A truncated episode is bootstrapped with V of its last state, which the reset overwrites. Valuing that state at once
    would run the network over all environments at every bar, for a truncation every few hundred bars.
    """

    value: jax.Array  # [T, B]
    step: jax.Array  # [B] int32, the bar at which the waiting state was truncated; T where none waits
    memory: Any  # [B, ...] of the waiting state


class _Carry(NamedTuple):
    playing: EpisodesInPlay
    cuts: _TruncatedStates
    observed: Sums
    counts: Counts  # [B] each


class Actor(NamedTuple):
    """The behaviour policy, frozen for the length of a rollout."""

    parameters: Parameters
    normaliser: Normaliser

    def evaluate(self, config: PPOConfig, raw: jax.Array) -> tuple[jax.Array, NetworkOutput]:
        """The normalised observations [B, O] of raw ones [B, O], and the network's outputs for them."""
        observation = norm.normalise(self.normaliser, raw)
        return observation, forward(config, self.parameters, observation)


class StoredObservations(NamedTuple):
    """Observations that a rollout kept beside what they can be rebuilt from; leaves [N, ...]."""

    values: jax.Array  # [N, O], normalised
    memory: Any


def compact_memory(config: PPOConfig, memory: Any) -> Any:
    """What `Environment.glimpse` gave of the states that a rollout kept as ``memory``."""
    return memory.memory if config.stored_observations else memory


def rebuilt_observations(
    config: PPOConfig, env: Environment, env_arrays: EnvArrays, normaliser: Normaliser, memory: Any
) -> jax.Array:
    """The normalised observations [N, O] that the behaviour policy acted on, made of what its rollout kept [N, ...]."""
    if config.stored_observations:
        stored: jax.Array = memory.values
        return stored
    return norm.normalise(normaliser, env.shown(env_arrays.market, memory))


class RolloutContext(NamedTuple):
    """Everything constant that a rollout is played with."""

    config: PPOConfig
    env: Environment
    env_arrays: EnvArrays
    actor: Actor
    shards: Shards = UNSHARDED

    def value_of(self, memory: Any) -> jax.Array:
        """V [B] of the states that ``memory`` [B, ...] stands for."""
        return self.actor.evaluate(self.config, self.env.shown(self.env_arrays.market, memory))[1].value


class _BarDraws(NamedTuple):
    """The random numbers of one bar."""

    step: jax.Array  # int32
    noise: jax.Array  # [B, A] Gumbel: the largest log-probability plus noise is a draw of the policy
    reset_key: jax.Array


class _Seen(NamedTuple):
    """What the behaviour policy makes of every environment before it acts."""

    memory: Any  # of `Environment.glimpse`
    legal_actions: jax.Array  # [B, A] bool
    raw: jax.Array  # [B, O], not normalised
    observation: jax.Array  # [B, O]
    output: NetworkOutput
    known_logits: jax.Array | None  # as in `Transition`


class _Played(NamedTuple):
    """One bar of every environment, before any reset."""

    transition: Transition
    raw: jax.Array  # [B, O], not normalised
    log_probability: jax.Array  # [B, A]
    trade: ClosedTrades
    episode_return: jax.Array  # [B], this bar's reward included
    state: Any  # after the bar


def roll_out(context: RolloutContext, playing: EpisodesInPlay, key: jax.Array) -> tuple[EpisodesInPlay, Rollout]:
    """Play T = ``rollout_length`` bars in each of B environments, resetting those whose episode ends.

    Returns the environments after the last bar, and the rollout with leaves [T, B, ...].
    """
    config, env = context.config, context.env
    noise_key, reset_key = jax.random.split(key)
    # The noise is drawn for all environments and then cut to this shard's, so that the split changes no number.
    noise = jax.random.gumbel(noise_key, (config.num_envs, config.rollout_length, env.num_actions))
    noise = jnp.swapaxes(context.shards.local_part(noise), 0, 1)
    steps = jnp.arange(config.rollout_length)
    bars = _BarDraws(steps, noise, jax.random.split(reset_key, config.rollout_length))
    return (_rolled_out if conditions_are_free() else _rolled_out_at_once)(context, playing, bars)


def _rolled_out(context: RolloutContext, playing: EpisodesInPlay, bars: _BarDraws) -> tuple[EpisodesInPlay, Rollout]:
    """Ends of episodes, counts and moments are seen to bar by bar, and only where there are any."""
    env, env_arrays = context.env, context.env_arrays
    steps = context.config.rollout_length
    now = env.glimpse(*env_arrays, playing.env_state)
    envs = now.legal_actions.shape[0]

    def one_bar(carry: _Carry, bar: _BarDraws) -> tuple[_Carry, Transition]:
        return _one_bar(context, carry, bar)

    start = _Carry(
        playing=playing,
        cuts=_TruncatedStates(jnp.zeros((steps, envs)), jnp.full(envs, steps), now.memory),
        observed=norm.empty_sums(_near_the_mean(context, now.memory)),
        counts=_zero_counts(envs),
    )
    end, transitions = jax.lax.scan(one_bar, start, bars)
    last = env.glimpse(*env_arrays, end.playing.env_state)
    return end.playing, Rollout(
        transitions=transitions,
        cut_value=_value_truncated(context, end.cuts).value,
        last_value=context.value_of(last.memory),
        observed=norm.moments_of(end.observed._replace(parts=context.shards.sum(end.observed.parts))),
        counts=context.shards.sum(jax.tree.map(jnp.sum, end.counts)),
    )


def _rolled_out_at_once(
    context: RolloutContext, playing: EpisodesInPlay, bars: _BarDraws
) -> tuple[EpisodesInPlay, Rollout]:
    """The same without a condition, and with as little in a bar as can be: states and actions, in one matrix.

    Resets are drawn before the first bar; after the last one all bars are played again at once from what was kept.
    """
    config, env, env_arrays = context.config, context.env, context.env_arrays

    def drawn(key: jax.Array) -> jax.Array:
        state = context.shards.local_part(env.reset(*env_arrays, key, config.num_envs))
        return packed(EpisodesInPlay(state, jnp.zeros_like(playing.episode_return)))

    def one_bar(words: jax.Array, bar: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        noise, fresh = bar
        state, episode_return = unpacked(words, playing)
        seen = _seen(context, state)
        action = _drawn_action(seen, noise)
        result = env.step(*env_arrays, state, action)
        after = packed(EpisodesInPlay(result.state, episode_return + result.reward))
        kept = jnp.concatenate([words, action.astype(jnp.int32)[None]])
        return jnp.where(result.terminated | result.truncated, fresh, after), kept

    def played_again(kept: jax.Array) -> tuple[_Played, Any, Counts]:
        start = unpacked(kept[:-1], playing)
        played = _played(context, start, _seen(context, start.env_state), kept[-1])
        last = env.glimpse(*env_arrays, played.state).memory
        return played._replace(state=None), last, _counts_of(played)

    near = _near_the_mean(context, env.glimpse(*env_arrays, playing.env_state).memory)
    given = (bars.noise, jax.vmap(drawn)(bars.reset_key))
    end, kept = jax.lax.scan(one_bar, packed(playing), given, unroll=turns_at_once())
    played, lasts, counts = jax.vmap(played_again)(kept)
    transition = played.transition
    cut = transition.done & ~transition.terminated
    values = context.value_of(_rows(lasts)).reshape(cut.shape)
    observed = norm.add(norm.empty_sums(near), _rows(played.raw))
    after: EpisodesInPlay = unpacked(end, playing)
    return after, Rollout(
        transitions=transition,
        cut_value=jnp.where(cut, values, 0.0),
        last_value=context.value_of(env.glimpse(*env_arrays, after.env_state).memory),
        observed=norm.moments_of(observed._replace(parts=context.shards.sum(observed.parts))),
        counts=context.shards.sum(jax.tree.map(jnp.sum, counts)),
    )


def _rows(tree: Any) -> Any:
    """Leaves [T, B, ...] as [T * B, ...]."""
    return jax.tree.map(lambda leaf: leaf.reshape((-1, *leaf.shape[2:])), tree)


def _near_the_mean(context: RolloutContext, memory: Any) -> jax.Array:
    """Observation [O] that sums of squares may be taken about: the mean of the states in ``memory`` [B, ...]."""
    return context.shards.mean(jnp.mean(context.env.shown(context.env_arrays.market, memory), axis=0))


def _seen(context: RolloutContext, state: Any) -> _Seen:
    now, market = context.env.glimpse(*context.env_arrays, state), context.env_arrays.market
    raw = context.env.shown(market, now.memory)
    observation, output = context.actor.evaluate(context.config, raw)
    known = context.env.known_actions(market, now.memory)
    if known is None or known.legal_actions.shape[-1] < context.env.num_actions:
        return _Seen(now.memory, now.legal_actions, raw, observation, output, None)
    # Such an account may act without a position alone, and is then the known one: its logits there are those of both.
    logits = context.actor.evaluate(context.config, context.env.shown(market, known.memory))[1].logits
    return _Seen(now.memory, now.legal_actions, raw, observation, output._replace(logits=logits), logits)


def _drawn_action(seen: _Seen, noise: jax.Array) -> jax.Array:
    """An action [B] of the policy: the largest logit plus Gumbel noise, as normalising them changes no order."""
    return jnp.argmax(masked_logits(seen.output.logits, seen.legal_actions) + noise, axis=-1)


def _played(context: RolloutContext, playing: EpisodesInPlay, seen: _Seen, action: jax.Array) -> _Played:
    """The bar that ``action`` [B] decides in the states of ``seen``."""
    state, episode_return = playing
    log_probability = log_probabilities(seen.output.logits, seen.legal_actions)
    result = context.env.step(*context.env_arrays, state, action)
    stored = context.config.stored_observations
    transition = Transition(
        memory=StoredObservations(seen.observation, seen.memory) if stored else seen.memory,
        legal_actions=seen.legal_actions,
        action=action.astype(jnp.int8),
        log_probability=log_probability_of(log_probability, action),
        value=seen.output.value,
        reward=result.reward if result.shaping is None else result.reward + result.shaping,
        terminated=result.terminated,
        done=result.terminated | result.truncated,
        known_logits=seen.known_logits,
    )
    return _Played(transition, seen.raw, log_probability, result.trade, episode_return + result.reward, result.state)


def _one_bar(context: RolloutContext, carry: _Carry, bar: _BarDraws) -> tuple[_Carry, Transition]:
    env, env_arrays = context.env, context.env_arrays
    seen = _seen(context, carry.playing.env_state)
    played = _played(context, carry.playing, seen, _drawn_action(seen, bar.noise))
    transition = played.transition
    done, cut = transition.done, transition.done & ~transition.terminated

    def restart() -> tuple[Any, _TruncatedStates]:
        fresh = context.shards.local_part(env.reset(*env_arrays, bar.reset_key, context.config.num_envs))
        last = env.glimpse(*env_arrays, played.state).memory
        queued = _queue_truncated(context, carry.cuts, cut, bar.step, last)
        return _select_environments(done, fresh, played.state), queued

    state, cuts = jax.lax.cond(jnp.any(done), restart, lambda: (played.state, carry.cuts))
    counts = _counts_of(played)
    after = _Carry(
        playing=EpisodesInPlay(state, jnp.where(done, 0.0, played.episode_return)),
        cuts=cuts,
        observed=norm.add(carry.observed, played.raw),
        counts=jax.tree.map(jnp.add, carry.counts, counts),
    )
    return after, transition


def _queue_truncated(
    context: RolloutContext, cuts: _TruncatedStates, cut: jax.Array, step: jax.Array, last: Any
) -> _TruncatedStates:
    """Queue the states ``last`` [B, ...] of the environments that are truncated now (``cut`` [B]).

    They are valued together at the end of the rollout, or earlier where an environment is truncated a second time.
    """
    crowded = jnp.any(cut & (cuts.step < cuts.value.shape[0]))
    cuts = jax.lax.cond(crowded, lambda: _value_truncated(context, cuts), lambda: cuts)
    return _TruncatedStates(cuts.value, jnp.where(cut, step, cuts.step), _select_environments(cut, last, cuts.memory))


def _value_truncated(context: RolloutContext, cuts: _TruncatedStates) -> _TruncatedStates:
    """Value every waiting state; none waits afterwards."""
    steps, envs = cuts.value.shape
    value = cuts.value.at[cuts.step, jnp.arange(envs)].set(context.value_of(cuts.memory), mode="drop")
    return _TruncatedStates(value, jnp.full_like(cuts.step, steps), cuts.memory)


def _select_environments(picked: jax.Array, new: Tree, old: Tree) -> Tree:
    """Leaves [B, ...] of ``new`` where ``picked`` [B] is True, else of ``old``."""

    def choose(a: jax.Array, b: jax.Array) -> jax.Array:
        chosen: jax.Array = jnp.where(picked.reshape(picked.shape + (1,) * (b.ndim - 1)), a, b)
        return chosen

    tree: Tree = jax.tree.map(choose, new, old)
    return tree


def _counts_of(played: _Played) -> Counts:
    """Counts [B] of one bar."""
    transition, log_probability, trade = played.transition, played.log_probability, played.trade
    closed, pnl = trade.closed, trade.pnl_cents
    legal, action = transition.legal_actions, transition.action
    may_enter = legal[..., BUY] | legal[..., SELL]
    enter = jnp.exp(log_probability[..., BUY]) + jnp.exp(log_probability[..., SELL])
    return Counts(
        trades=closed,
        wins=closed & (pnl > 0),
        pnl_cents=jnp.where(closed, pnl, 0),
        r=jnp.where(closed, pnl / jnp.maximum(trade.risk_cents, 1), 0.0),
        bars_held=jnp.where(closed, trade.bars_held, 0),
        episodes=transition.done,
        episode_return=jnp.where(transition.done, played.episode_return, 0.0),
        choices=has_choice(legal),
        entry_choices=may_enter,
        entry_probability=jnp.where(may_enter, enter, 0.0),
        entries=(action == BUY) | (action == SELL),
        longs=action == BUY,
    )


def _zero_counts(envs: int) -> Counts:
    """Counts of zero [B]: probabilities, returns and multiples of risk are float32, the rest int32."""
    whole, real = jnp.zeros(envs, jnp.int32), jnp.zeros(envs)
    return Counts(*[whole] * len(Counts._fields))._replace(r=real, episode_return=real, entry_probability=real)


def trajectory_of(rollout: Rollout) -> Trajectory:
    """The rollout [T, B] as the advantages need it: the next value is that of the state before any reset."""
    steps = rollout.transitions
    following = jnp.concatenate([steps.value[1:], rollout.last_value[None]])
    next_value = jnp.where(steps.done, rollout.cut_value, following)
    return Trajectory(steps.reward, steps.value, next_value, steps.terminated, steps.done)
