"""What entries at any bar of a span would have earned, each played to its end: tabulated once, or one by one."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from rl_core.contract import BUY, SELL
from rl_core.envs.entry_outcomes import ListedEntries, played_entries, with_entry_outcomes
from rl_core.envs.env import Env, EnvParams
from rl_core.envs.market_arrays import MarketArrays, make_market
from rl_core.evaluation.inputs import EvaluationInputs
from rl_core.market.types import Bracket
from rl_core.market.yardstick import Yardstick
from trigate.errors import DataError

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Outcomes:
    """The bars of a span, and both sides of the usual bracket at each of its closes.

    Attributes:
        market: the bars on the device.
        params: a fresh account and its venue.
        r: [T, 2] R after costs of a long and of a short; 0 where none may be decided.
        bars: [T, 2] bars until it was closed; 0 where none may be decided.
        yardstick: of the usual bracket.
    """

    market: MarketArrays
    params: EnvParams
    r: Floats
    bars: Integers
    yardstick: Yardstick

    def usual(self, bar: Integers, side: Integers) -> tuple[Floats, Integers]:
        """R and bars held of entries [...] with the usual bracket."""
        column = (side < 0).astype(np.int64)
        return self.r[bar, column], self.bars[bar, column]

    def own(self, bar: Integers, side: Integers, bracket: Bracket) -> tuple[Floats, Integers]:
        """R and bars held of entries [...] with brackets of their own, [...] a field, played one by one."""
        shape, count = bar.shape, bar.size
        room = 1 << max(7, (count - 1).bit_length())  # a power of two, so that few sizes are ever compiled
        padded = [np.pad(np.asarray(x, np.int32).reshape(-1), (0, room - count)) for x in (bar, side, *bracket)]
        at, sides, stops, targets = (jnp.asarray(column) for column in padded)
        listed = ListedEntries(
            bar=at,
            action=jnp.where(sides < 0, SELL, BUY),
            listed=jnp.int32(count),
            bracket=Bracket(jnp.maximum(1, stops), jnp.maximum(1, targets)),
        )
        results = played_entries(self.market, self.params, listed, env=Env(1, self.yardstick))
        played = np.asarray(results, np.float64)[:count]
        return played[:, 0].reshape(shape), played[:, 1].astype(np.int64).reshape(shape)


def outcomes_of(inputs: EvaluationInputs) -> Outcomes:
    """The outcomes of the span that ``inputs`` plays, under its costs and rules.

    Raises:
        DataError: no bar of the span can decide an entry.
    """
    _, view, trading, span, ladder, _ = inputs
    try:
        market = make_market(view, span.first, span.stop, ladder=ladder, frictions=trading.frictions)
    except ValueError as error:
        raise DataError(f"nothing to evaluate: {error}") from error
    params = EnvParams(trading.venue, trading.limits, 1.0, 1.0)
    entries = with_entry_outcomes(market, params, credit_decay=0.0, yardstick=view.yardstick).entries
    assert entries is not None
    r, bars = jax.device_get((entries.r, entries.bars))
    return Outcomes(market, params, np.asarray(r, np.float64), np.asarray(bars, np.int64), view.yardstick)
