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
from rl_core.market.types import FLAT, Bracket, Position
from rl_core.market.yardstick import USUAL, Yardstick

MOST_ACCOUNTS, BARS_AN_ACCOUNT = 4096, 64  # played side by side; each takes the next entry when its own has ended


class ListedEntries(NamedTuple):
    """Entries [N] to be played, each the first of a fresh account; only the first ``listed`` count."""

    bar: jax.Array  # [N] int32, at whose close it is decided
    action: jax.Array  # [N] int32, BUY or SELL
    listed: jax.Array  # int32, how many of them count
    market_index: jax.Array | None = None  # [N] int32, of several markets
    bracket: Bracket | None = None  # [N] int32 a field; None: the usual one


class Outcome(NamedTuple):
    """What entries have come to, float32 a field; apart, as XLA computes a column of a stack number by number."""

    credit: jax.Array
    r: jax.Array
    bars: jax.Array


class _Playing(NamedTuple):
    """Accounts [B], each in the middle of one entry."""

    entry: jax.Array  # int32, its number in the list
    bar: jax.Array  # int32, at whose close it was decided
    state: EnvState
    outcome: Outcome  # so far


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
    credit, r, bars = _tabulated(market, plain, jnp.float32(credit_decay), env=env)
    sides = (len(market.prices), 2)
    return market._replace(
        entries=EntryOutcomes(credit.reshape(sides), r.reshape(sides), bars.reshape(sides).astype(jnp.int32))
    )


@partial(jax.jit, static_argnames="env")
def played_entries(market: MarketArrays, params: EnvParams, entries: ListedEntries, *, env: Env) -> jax.Array:
    """R and bars [N, 2] of each entry: as `with_entry_outcomes` plays them, with whatever bracket each brings."""
    played = _played(market, params, entries, jnp.float32(0), env)
    return jnp.stack([played.r, played.bars], axis=-1)


@partial(jax.jit, static_argnames="env")
def _tabulated(market: MarketArrays, params: EnvParams, credit_decay: jax.Array, *, env: Env) -> Outcome:
    """[2 T] of the long and the short of every bar; zeros where none may be decided."""
    rows = 2 * market.prices.shape[0]
    number = jnp.arange(rows, dtype=jnp.int32)
    bar, total, market_index = jnp.repeat(market.starts, 2), 2 * jnp.sum(market.start_count), None
    if market.start_first is not None:
        market_index = jnp.searchsorted(market.start_first, number // 2, side="right").astype(jnp.int32) - 1
    listed = ListedEntries(bar, jnp.where(number % 2 == 0, BUY, SELL), total, market_index)
    place = jnp.where(number < total, 2 * bar + number % 2, rows)
    played = _played(market, params, listed, credit_decay, env)
    return Outcome(*(jnp.zeros(rows).at[place].set(column, mode="drop") for column in played))


def _played(
    market: MarketArrays, params: EnvParams, entries: ListedEntries, credit_decay: jax.Array, env: Env
) -> Outcome:
    """[N] of each entry; zeros where it may not be decided."""
    rows, total = entries.bar.shape[0], entries.listed
    accounts = max(1, min(MOST_ACCOUNTS, rows // (2 * BARS_AN_ACCOUNT)))
    numbers = jnp.arange(accounts, dtype=jnp.int32)

    def one_bar(carry: tuple[_Playing, jax.Array, Outcome]) -> tuple[_Playing, jax.Array, Outcome]:
        playing, following, table = carry
        playing, ended = _later(market, params, entries, playing, credit_decay, env)
        row = jnp.where(ended & (playing.entry < total), playing.entry, rows)
        table = Outcome(
            *(column.at[row].set(new, mode="drop") for column, new in zip(table, playing.outcome, strict=True))
        )
        fresh = _begun(params, entries, following + jnp.cumsum(ended, dtype=jnp.int32) - 1)
        chosen = jax.tree.map(lambda a, b: jnp.where(ended, a, b), fresh, playing)
        return chosen, following + jnp.sum(ended, dtype=jnp.int32), table

    start = _begun(params, entries, numbers), jnp.int32(accounts), Outcome(*(jnp.zeros(rows) for _ in Outcome._fields))
    return jax.lax.while_loop(lambda carry: jnp.any(carry[0].entry < total), one_bar, start)[2]


def _begun(params: EnvParams, entries: ListedEntries, number: jax.Array) -> _Playing:
    """Fresh accounts at the closes of entries [B]; those past the last one repeat it, and nobody looks at them."""
    known = jnp.minimum(number, entries.bar.shape[0] - 1)
    market_index = None if entries.market_index is None else entries.market_index[known]
    account = new_accounts(params_by_account(params, market_index).venue.rules, number.shape[0])
    bar, zeros = entries.bar[known], jnp.zeros_like(number)
    state = EnvState(bar, Position(*(zeros for _ in FLAT)), account, market_index)
    nothing = jnp.zeros(number.shape)
    return _Playing(number, bar, state, Outcome(nothing, nothing, nothing))


def _later(
    market: MarketArrays,
    params: EnvParams,
    entries: ListedEntries,
    playing: _Playing,
    credit_decay: jax.Array,
    env: Env,
) -> tuple[_Playing, jax.Array]:
    """Accounts one bar later, and whether the entry of each has ended [B]."""
    state, first = playing.state, playing.state.bar == playing.bar
    known, bracket = jnp.minimum(playing.entry, entries.bar.shape[0] - 1), None
    enters = first
    if entries.bracket is None:
        enters = first & env.glimpse(market, params, state).legal_actions[:, BUY]
    else:
        bracket = Bracket(*(column[known] for column in entries.bracket))
    result = env.step(market, params, state, jnp.where(enters, entries.action[known], HOLD), bracket)
    ended = (result.state.position.quantity == 0) | result.terminated | result.truncated
    bars = (result.state.bar - playing.bar).astype(jnp.float32)
    gained, counts = Outcome(result.reward * bars**-credit_decay, result.reward, jnp.ones_like(bars)), enters | ~first
    outcome = jax.tree.map(lambda sofar, more: sofar + jnp.where(counts, more, 0.0), playing.outcome, gained)
    return playing._replace(state=result.state, outcome=outcome), ended
