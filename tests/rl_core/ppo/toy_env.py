"""A small environment with the market environments' interface: the sign of one input tells which entry pays."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rl_core.ppo.config import PPOConfig

HOLD_BARS = 3
EPISODE_BARS = 20

# The learners of all files that play this environment: each other one is compiled anew.
SHORT = PPOConfig(num_envs=8, rollout_length=8, total_steps=8 * 8 * 4, hidden=(8,), hold_bias=0.0, updates_per_sync=2)
LEARNING = PPOConfig(
    num_envs=64,
    rollout_length=32,
    total_steps=64 * 32 * 24,
    hidden=(32, 32),
    learning_rate=3e-3,
    hold_bias=0.0,
    updates_per_sync=6,
)


class ToyMarket(NamedTuple):
    """Signals +1 or -1 [T], one a bar."""

    signal: jax.Array


class ToyParams(NamedTuple):
    """Traced scalars."""

    cost_cents: jax.Array
    ruin: jax.Array  # losing trades in a row that end the episode


class ToyState(NamedTuple):
    """Leaves [B]."""

    bar: jax.Array
    bars_played: jax.Array
    side: jax.Array  # of the open position, 0 when flat
    held: jax.Array
    right: jax.Array  # +1 if the open position follows the signal of its entry, -1 if not
    losses: jax.Array  # losing trades in a row


class ToyObservation(NamedTuple):
    """Raw inputs [B, O] and mask [B, A]."""

    values: jax.Array
    legal_actions: jax.Array


class ToyGlimpse(NamedTuple):
    """The bar and the rest of the observation [B, O - 1]."""

    memory: tuple[jax.Array, jax.Array]
    legal_actions: jax.Array


class ToyTrade(NamedTuple):
    """Fields [B]."""

    closed: jax.Array
    pnl_cents: jax.Array
    risk_cents: jax.Array
    bars_held: jax.Array
    side: jax.Array


class ToyStep(NamedTuple):
    """What a step returns."""

    state: ToyState
    reward: jax.Array
    terminated: jax.Array
    truncated: jax.Array
    trade: ToyTrade
    shaping: jax.Array | None = None


@dataclass(frozen=True)
class ToyEnv:
    """Entries pay 100 cents minus cost where they follow the signal; a position lasts `HOLD_BARS` bars."""

    phase: int = 1

    @property
    def observation_size(self) -> int:
        """Signal, its bar's parity, side, bars held; phase 2 adds two."""
        return 4 if self.phase == 1 else 6

    @property
    def window_shape(self) -> tuple[int, int]:
        """It sees no window."""
        return 0, 0

    @property
    def num_actions(self) -> int:
        """Hold, buy, sell; phase 2 adds three."""
        return 3 if self.phase == 1 else 6

    def scheduled(self, params: ToyParams, updates: jax.Array) -> ToyParams:
        """Nothing changes."""
        del updates
        return params

    def reset(self, market: ToyMarket, params: ToyParams, key: jax.Array, num_envs: int) -> ToyState:
        """Flat at a random bar."""
        del params
        bar = jax.random.randint(key, (num_envs,), 0, market.signal.shape[0] - EPISODE_BARS)
        zero = jnp.zeros(num_envs, jnp.int32)
        return ToyState(bar, zero, zero, zero, zero, zero)

    def observe(self, market: ToyMarket, params: ToyParams, state: ToyState) -> ToyObservation:
        """The signal is offset and scaled, so that only a normaliser makes it easy."""
        memory, legal_actions = self.glimpse(market, params, state)
        return ToyObservation(self.shown(market, memory), legal_actions)

    def glimpse(self, market: ToyMarket, params: ToyParams, state: ToyState) -> ToyGlimpse:
        """All but the signal, which the bar tells."""
        del market, params
        flat = state.side == 0
        columns = [state.bar % 2, state.side, state.held]
        legal = [jnp.ones_like(flat), flat, flat]
        if self.phase == 2:
            columns += [flat, state.losses]
            legal += [~flat] * 3
        rest = jnp.stack([jnp.asarray(column, jnp.float32) for column in columns], axis=-1)
        return ToyGlimpse((state.bar, rest), jnp.stack(legal, axis=-1))

    def shown(self, market: ToyMarket, memory: tuple[jax.Array, jax.Array]) -> jax.Array:
        """Signal first."""
        bar, rest = memory
        signal = 50.0 + 3.0 * market.signal[bar].astype(jnp.float32)
        return jnp.concatenate([signal[:, None], rest], axis=-1)

    def window_weights(self, market: ToyMarket) -> None:
        """It has no window."""

    def known_actions(self, market: ToyMarket, memory: tuple[jax.Array, jax.Array]) -> None:
        """Only playing tells."""
        del market, memory

    def step(self, market: ToyMarket, params: ToyParams, state: ToyState, action: jax.Array) -> ToyStep:
        """One bar."""
        entering = (action == 1) | (action == 2)
        side = jnp.where(action == 1, 1, jnp.where(action == 2, -1, state.side))
        right = jnp.where(entering, side * market.signal[state.bar], state.right)
        held = jnp.where(side != 0, state.held + 1, 0)
        closed = held == HOLD_BARS
        pnl = jnp.where(closed, 100 * right - params.cost_cents, 0)
        losses = jnp.where(closed, jnp.where(pnl < 0, state.losses + 1, 0), state.losses)
        after = ToyState(
            bar=state.bar + 1,
            bars_played=state.bars_played + 1,
            side=jnp.where(closed, 0, side),
            held=jnp.where(closed, 0, held),
            right=right,
            losses=losses,
        )
        trade = ToyTrade(closed, pnl, jnp.full_like(pnl, 100), held, side)
        return ToyStep(after, pnl / 100.0, losses >= params.ruin, after.bars_played >= EPISODE_BARS, trade)


def toy_world(seed: int = 0, *, cost_cents: int = 10, ruin: int = 4) -> tuple[ToyMarket, ToyParams]:
    """A market of 512 random signals, and its cost of a trade."""
    signal = jax.random.bernoulli(jax.random.key(seed), 0.5, (512,))
    return ToyMarket(jnp.where(signal, 1, -1)), ToyParams(jnp.int32(cost_cents), jnp.int32(ruin))
