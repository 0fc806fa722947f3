"""One market as device arrays, made once with NumPy."""

from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from rl_core.bars.rungs import Ladder
from rl_core.envs.climb import Rungs
from rl_core.features.market_view import MarketView
from rl_core.market.costs import fillable, slippage_ticks
from rl_core.market.types import (
    Frictions,
    Namespace,
)

ANY_QUANTITY = 1 << 30


class EntryOutcomes(NamedTuple):
    """What a long [:, 0] and a short [:, 1] entered at each close would have earned, with its bracket left alone.

    Zeros where no entry may be decided. `rl_core.envs.entry_outcomes` plays them.
    """

    credit: jax.Array  # [T, 2] float32, R, with later bars counting less: what the entry is praised for
    r: jax.Array  # [T, 2] float32, R after costs
    bars: jax.Array  # [T, 2] int32, bars until the trade was closed


class MarketArrays(NamedTuple):
    """One market as device arrays; traced, so that another market of the same length compiles nothing."""

    prices: jax.Array  # [T, 4] int32 ticks: open, high, low, close
    true_range_sum: jax.Array  # [T] int32 ticks
    features: jax.Array  # [T, 11] float32
    entry_open: jax.Array  # [T] bool
    flatten_due: jax.Array  # [T] bool
    last_in_session: jax.Array  # [T] bool
    entries_over: jax.Array  # [T] bool: neither this close nor a later one of the session decides an entry
    starts: jax.Array  # [T] int32: bars at whose close an episode may start; only the first ``start_count`` count
    start_count: jax.Array  # int32; an array, so that other hours or packs compile nothing
    rungs: Rungs | None = None  # the seconds of each bar, where the market has them
    slippage: jax.Array | None = None  # [T] int32 ticks that a fill after this close loses, where it is not fixed
    fillable: jax.Array | None = None  # [T] int32 contracts of an entry that this bar fills, where there is a cap
    start_first: jax.Array | None = None  # [M] int32 where each market's starts begin, if it is several (`joined`)
    entries: EntryOutcomes | None = None  # where phase 1 learns from both entries of every close


def make_market(
    view: MarketView,
    first: int = 0,
    stop: int | None = None,
    *,
    ladder: Ladder | None = None,
    frictions: Frictions | None = None,
    left_out: npt.NDArray[np.bool_] | None = None,
) -> MarketArrays:
    """The bars of ``view`` on the device; episodes start within [first, stop); ``ladder`` is of the same bars.

    None starts where ``left_out`` [T] says so; an episode ends with its session, so of a session that is left out whole
    nothing is ever played.

    Raises:
        ValueError: no bar of the range can start an episode.
    """
    bars, hours, features = view.bars, view.hours, view.features
    last = view.last_in_session
    entry_open = hours.entry_open & features.warm
    starts = np.flatnonzero(entry_open & ~last)
    first, stop = max(first, view.yardstick.window - 1), len(bars) if stop is None else stop
    starts = starts[(starts >= first) & (starts < stop)]
    starts = starts if left_out is None else starts[~left_out[starts]]
    if starts.size == 0:
        raise ValueError("no bar can start an episode: too short a history, or outside entry hours")
    return MarketArrays(
        prices=jnp.asarray(np.stack([bars.open, bars.high, bars.low, bars.close], axis=-1), jnp.int32),
        true_range_sum=jnp.asarray(features.true_range_sum),
        features=jnp.asarray(features.values),
        entry_open=jnp.asarray(entry_open),
        flatten_due=jnp.asarray(hours.flatten_due),
        last_in_session=jnp.asarray(last),
        entries_over=jnp.asarray(_entries_over(view)),
        starts=jnp.asarray(np.pad(starts, (0, len(bars) - starts.size), mode="edge"), jnp.int32),
        start_count=jnp.int32(starts.size),
        rungs=None if ladder is None else Rungs(jnp.asarray(ladder.offsets), jnp.asarray(ladder.rungs)),
        slippage=None if frictions is None else jnp.asarray(_slippage(view, frictions), jnp.int32),
        fillable=None if frictions is None else jnp.asarray(_fillable(view, frictions), jnp.int32),
    )


def _slippage(view: MarketView, frictions: Frictions) -> np.ndarray[Any, np.dtype[np.int64]]:
    by_minute = frictions._replace(by_minute=np.array(frictions.by_minute))
    totals = view.features.true_range_sum.astype(np.int64)
    return np.asarray(slippage_ticks(cast(Namespace, np), by_minute, view.hours.decision_minute, totals))


def _fillable(view: MarketView, frictions: Frictions) -> np.ndarray[Any, np.dtype[np.int64]]:
    if frictions.volume_milli == 0:
        return np.full(len(view.bars), ANY_QUANTITY)
    return np.asarray(np.minimum(ANY_QUANTITY, fillable(frictions, view.bars.volume)))


def _entries_over(view: MarketView) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """[T] whether neither this bar nor a later one of the session is in entry hours."""
    session, index = view.located.session, np.arange(len(view.bars))
    days, row = np.unique(session, return_inverse=True)
    final = np.full(len(days), -1)
    np.maximum.at(final, row, np.where(view.hours.entry_open, index, -1))
    return np.asarray(index > final[row])
