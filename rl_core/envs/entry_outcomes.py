"""What an entry at each close would have earned: the bracket of a long and of a short, played to its end.

Prices do not react to us. So the outcome of either entry at every close, left to its bracket, is known as soon as the
bars are, and is tabulated once, by the very `Env.step` that training and evaluation play. Both phases learn from it.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rl_core.contract import BUY, HOLD, SELL
from rl_core.envs.env import Env, EnvParams, EnvState, new_accounts, params_by_account
from rl_core.envs.market_arrays import EntryOutcomes, MarketArrays
from rl_core.market.types import FLAT, Position
from rl_core.market.yardstick import USUAL, Yardstick

MOST_ACCOUNTS, BARS_AN_ACCOUNT = 4096, 64  # played side by side; each takes the next entry when its own has ended


class _Playing(NamedTuple):
    """Accounts [B], each in the middle of one entry."""

    entry: jax.Array  # int32, number of the entry: long and short of the first start, of the second, ...
    bar: jax.Array  # int32, at whose close it was decided
    state: EnvState
    outcome: jax.Array  # [B, 3] float32: credit, R and bars so far


def with_entry_outcomes(
    market: MarketArrays, params: EnvParams, *, credit_decay: float, yardstick: Yardstick = USUAL
) -> MarketArrays:
    """``market`` with the outcomes of entries at all its starts; see `EntryOutcomes`.

    Each entry is the first of a fresh account of ``params`` with its full room to the floor: costs, slippage, caps and
    hours are those of training, but no earlier loss has brought the floor or a daily limit near.

    Args:
        market: bars, of one market or of several.
        params: account and venue of each.
        credit_decay: the reward of the k-th bar after the decision is credited with k^-credit_decay.
        yardstick: of the bracket that is entered.
    """
    plain, env = params._replace(curriculum=None, eased=None), Env(1, yardstick)
    table = _tabulated(market, plain, jnp.float32(credit_decay), env=env)
    credit, r, bars = jnp.moveaxis(table.reshape(-1, 2, 3), -1, 0)
    return market._replace(entries=EntryOutcomes(credit, r, bars.astype(jnp.int32)))


@partial(jax.jit, static_argnames="env")
def _tabulated(market: MarketArrays, params: EnvParams, credit_decay: jax.Array, *, env: Env) -> jax.Array:
    """[2 T, 3] credit, R and bars of the long and the short of every bar; zeros where none may be decided."""
    rows, total = 2 * market.prices.shape[0], 2 * jnp.sum(market.start_count)
    accounts = max(1, min(MOST_ACCOUNTS, rows // (2 * BARS_AN_ACCOUNT)))
    numbers = jnp.arange(accounts, dtype=jnp.int32)

    def one_bar(carry: tuple[_Playing, jax.Array, jax.Array]) -> tuple[_Playing, jax.Array, jax.Array]:
        playing, following, table = carry
        playing, ended = _later(market, params, playing, credit_decay, env)
        row = jnp.where(ended & (playing.entry < total), 2 * playing.bar + playing.entry % 2, rows)
        table = table.at[row].set(playing.outcome, mode="drop")
        fresh = _begun(market, params, following + jnp.cumsum(ended, dtype=jnp.int32) - 1)
        chosen = jax.tree.map(lambda a, b: jnp.where(ended.reshape(-1, *[1] * (b.ndim - 1)), a, b), fresh, playing)
        return chosen, following + jnp.sum(ended, dtype=jnp.int32), table

    start = _begun(market, params, numbers), jnp.int32(accounts), jnp.zeros((rows, 3))
    return jax.lax.while_loop(lambda carry: jnp.any(carry[0].entry < total), one_bar, start)[2]


def _begun(market: MarketArrays, params: EnvParams, entry: jax.Array) -> _Playing:
    """Fresh accounts at the closes of entries [B]."""
    start, market_index = jnp.minimum(entry // 2, market.starts.shape[0] - 1), None
    if market.start_first is not None:
        market_index = jnp.searchsorted(market.start_first, start, side="right").astype(jnp.int32) - 1
    account = new_accounts(params_by_account(params, market_index).venue.rules, entry.shape[0])
    bar, zeros = market.starts[start], jnp.zeros_like(entry)
    state = EnvState(bar, Position(*(zeros for _ in FLAT)), account, market_index)
    return _Playing(entry, bar, state, jnp.zeros((entry.shape[0], 3)))


def _later(
    market: MarketArrays, params: EnvParams, playing: _Playing, credit_decay: jax.Array, env: Env
) -> tuple[_Playing, jax.Array]:
    """Accounts one bar later, and whether the entry of each has ended [B]."""
    state, first = playing.state, playing.state.bar == playing.bar
    enters = first & env.glimpse(market, params, state).legal_actions[:, BUY]
    side = jnp.where(playing.entry % 2 == 0, BUY, SELL)
    result = env.step(market, params, state, jnp.where(enters, side, HOLD))
    ended = (result.state.position.quantity == 0) | result.terminated | result.truncated
    bars = (result.state.bar - playing.bar).astype(jnp.float32)
    gained = jnp.stack([result.reward * bars**-credit_decay, result.reward, jnp.ones_like(bars)], axis=-1)
    counts = (enters | ~first)[:, None]
    return playing._replace(state=result.state, outcome=playing.outcome + jnp.where(counts, gained, 0.0)), ended
