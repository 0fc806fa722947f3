"""Several markets as one: laid end to end along time, with nothing that flows over a seam."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rl_core.envs.climb import Rungs
from rl_core.envs.env import EnvParams
from rl_core.envs.market_arrays import MarketArrays


def joined(markets: Sequence[MarketArrays]) -> MarketArrays:
    """The markets as one of [T1 + T2 + ...] bars; environment b plays market b mod M for life.

    Each market's last bar ends a session and no episode starts before its first full window, so neither an episode
    nor an observation crosses a seam.
    """
    assert all(bool(market.last_in_session[-1]) for market in markets)
    begins = np.cumsum([0, *(market.prices.shape[0] for market in markets)])
    counts = [int(market.start_count) for market in markets]
    starts = [market.starts[:count] + begin for market, count, begin in zip(markets, counts, begins[:-1], strict=True)]
    all_starts = jnp.concatenate(starts)
    whole: dict[str, Any] = {
        field: jnp.concatenate([getattr(market, field) for market in markets])
        for field in ("prices", "true_range_sum", "features", "entry_open", "flatten_due", "last_in_session")
    }
    return MarketArrays(
        **whole,
        entries_over=jnp.concatenate([market.entries_over for market in markets]),
        starts=jnp.pad(all_starts, (0, int(begins[-1]) - all_starts.shape[0]), mode="edge"),
        start_count=jnp.asarray(counts, jnp.int32),
        rungs=_rungs(markets),
        slippage=_column(markets, "slippage"),
        fillable=_column(markets, "fillable"),
        start_first=jnp.asarray(np.cumsum([0, *counts[:-1]]), jnp.int32),
    )


def joined_params(each: Sequence[EnvParams]) -> EnvParams:
    """What the environments of all markets may change: venue and limits [M] a leaf, the rest that of the first."""
    venue, limits = jax.tree.map(
        lambda *leaves: jnp.asarray(leaves, jnp.int32), *((params.venue, params.limits) for params in each)
    )
    return each[0]._replace(venue=venue, limits=limits)


def _column(markets: Sequence[MarketArrays], field: str) -> jax.Array | None:
    columns = [getattr(market, field) for market in markets]
    return None if columns[0] is None else jnp.concatenate(columns)


def _rungs(markets: Sequence[MarketArrays]) -> Rungs | None:
    """The ladders end to end; a market without seconds has minutes without rungs."""
    ladders = [market.rungs for market in markets]
    if all(rungs is None for rungs in ladders):
        return None
    offsets, parts = [np.zeros(1, np.int32)], []
    for market, rungs in zip(markets, ladders, strict=True):
        last = offsets[-1][-1]
        ends = np.zeros(market.prices.shape[0], np.int32) if rungs is None else np.asarray(rungs.offsets[1:])
        offsets.append(ends + last)
        parts += [] if rungs is None else [rungs.rungs]
    return Rungs(jnp.asarray(np.concatenate(offsets)), jnp.concatenate(parts))
