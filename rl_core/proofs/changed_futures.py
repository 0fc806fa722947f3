"""Makes other futures of the same past for the leak check: noise, no movement, other rolls or seconds, or no bars."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rl_core.bars.bars import NS_PER_SECOND, Bars
from rl_core.exchange.calendar import NS_PER_MINUTE

PRICES = ("open", "high", "low", "close")
ROLL_EVERY = 300  # bars, on average
AT_SECONDS = np.array([0, 20, 40, 59])  # of the four trades that a made-up minute is built from

Columns = dict[str, npt.NDArray[np.int64]]


class MarketSlice(NamedTuple):
    """Minute bars and the one-second bars of the same time, if there are any."""

    bars: Bars
    seconds: Bars | None = None

    def part(self, start: int, stop: int) -> "MarketSlice":
        """The minutes ``start`` to ``stop`` (excluded) and their seconds."""
        bars = self.bars.slice(start, stop)
        if self.seconds is None:
            return MarketSlice(bars)
        ends = [bars.ts_event_ns[0], bars.ts_event_ns[-1] + NS_PER_MINUTE]
        first, last = np.searchsorted(self.seconds.ts_event_ns, ends)
        return MarketSlice(bars, self.seconds.slice(int(first), int(last)))


class Future(NamedTuple):
    """One way in which it might have gone on."""

    kind: str
    market: MarketSlice

    @property
    def ends_session(self) -> bool:
        """Whether the last bar of the past is the last of its session: what an account got there may differ."""
        return self.kind == "cut"


def futures(market: MarketSlice, last: int, seed: int) -> list[Future]:
    """The market continued in other ways after minute ``last``."""
    generator = np.random.default_rng(seed)
    past = market.part(0, last + 1)
    noise = _with_future(market.bars, last, _noise_future(market.bars, last, generator))
    still = _with_future(market.bars, last, _still_future(market.bars, last))
    possible = [
        Future("noise", MarketSlice(noise, _made_seconds(noise, past, last))),
        Future("still", MarketSlice(still, past.seconds)),
        Future("rolls", MarketSlice(_other_rolls(market.bars, last, generator), market.seconds)),
        Future("cut", past),
    ]
    if market.seconds is not None:
        possible.append(Future("seconds", MarketSlice(market.bars, _made_seconds(market.bars, past, last))))
    return possible


def _noise_future(bars: Bars, last: int, generator: np.random.Generator) -> Columns:
    count = len(bars) - last - 1
    scale = 4 * max(1.0, float(np.mean(bars.high[: last + 1] - bars.low[: last + 1])))
    walk = int(bars.close[last]) + np.cumsum(np.rint(generator.standard_t(3, count) * scale)).astype(np.int64)
    walk = np.maximum(walk, 100)
    opened = np.append(int(bars.close[last]), walk[:-1])
    wick = np.rint(generator.exponential(scale, count)).astype(np.int64)
    return {
        "open": opened,
        "high": np.maximum(opened, walk) + wick,
        "low": np.maximum(1, np.minimum(opened, walk) - wick),
        "close": walk,
        "volume": generator.integers(0, 10 * int(bars.volume.max()) + 2, count),
    }


def _still_future(bars: Bars, last: int) -> Columns:
    count = len(bars) - last - 1
    level = np.full(count, int(bars.close[last]))
    return dict.fromkeys(PRICES, level) | {"volume": np.zeros(count, np.int64)}


def _with_future(bars: Bars, last: int, future: Columns) -> Bars:
    columns = {}
    for name, values in future.items():
        old = getattr(bars, name)
        columns[name] = np.concatenate([old[: last + 1], values.astype(old.dtype)])
    return replace(bars, **columns, digest="")


def _other_rolls(bars: Bars, last: int, generator: np.random.Generator) -> Bars:
    """The same prices with other rolls, from the bar after next on.

    The next bar's contract is part of the past: it decides whether the last bar is the last before a roll.
    """
    contract = bars.contract.copy()
    rolls = generator.uniform(size=len(bars) - last - 2) < 1 / ROLL_EVERY
    rolls[:1] = True
    contract[last + 2 :] = contract[last + 1] + np.cumsum(rolls)
    return replace(bars, contract=contract, digest="")


def _made_seconds(bars: Bars, past: MarketSlice, last: int) -> Bars | None:
    """The seconds of the past, then four trades in each later minute, low before high, that make up its bar."""
    past_seconds = past.seconds
    if past_seconds is None:
        return None
    after = np.s_[last + 1 :]
    at = (bars.ts_event_ns[after, None] + AT_SECONDS * NS_PER_SECOND).ravel()
    path = np.stack([bars.open[after], bars.low[after], bars.high[after], bars.close[after]], axis=-1).ravel()
    prices = {name: np.concatenate([getattr(past_seconds, name), path]) for name in PRICES}
    stamps = np.concatenate([past_seconds.ts_event_ns, at])
    volume = np.concatenate([past_seconds.volume, np.ones(len(at), np.int64)])
    return Bars(
        instrument=past_seconds.instrument,
        interval_s=past_seconds.interval_s,
        ts_event_ns=stamps,
        **prices,
        volume=volume,
    )
