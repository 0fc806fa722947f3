"""One-second bars beside minute bars: read, and proved to be of the same market."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from rl_core.bars.bars import Bars
from rl_core.bars.layouts import Stamp
from rl_core.bars.read import read_bars
from rl_core.exchange.calendar import NS_PER_MINUTE
from rl_core.market.types import BarPrices
from trigate.errors import DataError

MOSTLY = 0.95


def read_seconds(path: Path, minutes: Bars, *, timezone: str | None = None, stamp: Stamp | None = None) -> Bars:
    """The second bars in ``path``, of the market of ``minutes``.

    Raises:
        ConfigError, DataError: they cannot be read, are of another time, or their minutes close elsewhere.
    """
    seconds = read_bars(path, market=minutes.instrument.symbol, interval_s=1, timezone=timezone, stamp=stamp)
    minute = seconds.ts_event_ns // NS_PER_MINUTE
    last = np.flatnonzero(np.append(minute[1:] != minute[:-1], True))
    where = np.searchsorted(minutes.ts_event_ns, minute[last] * NS_PER_MINUTE)
    inside = where < len(minutes)
    same_minute = minutes.ts_event_ns[where[inside]] == minute[last][inside] * NS_PER_MINUTE
    if not same_minute.any():
        raise DataError(f"{path}: none of its minutes is in the minute bars; give the seconds of the same time")
    closes = minutes.close[where[inside]][same_minute] == seconds.close[last][inside][same_minute]
    if closes.mean() < MOSTLY:
        raise DataError(
            f"{path}: only {closes.mean():.1%} of its minutes close as those of the minute bars do; "
            "these are seconds of another market or contract"
        )
    return seconds


class SecondsByMinute(Protocol):
    """Whoever knows the seconds of a minute bar."""

    def of(self, minute: int) -> Sequence[BarPrices]:
        """The seconds of minute bar ``minute`` in order; one without a trade has no bar."""


class MinuteSeconds:
    """The second bars of each minute, looked up by the minute's index."""

    def __init__(self, minutes: Bars, seconds: Bars) -> None:
        """``seconds`` are of the market of ``minutes``."""
        self._first = np.searchsorted(seconds.ts_event_ns, minutes.ts_event_ns)
        self._stop = np.searchsorted(seconds.ts_event_ns, minutes.ts_event_ns + NS_PER_MINUTE)
        self._prices = np.stack([seconds.open, seconds.high, seconds.low, seconds.close], axis=-1)

    def of(self, minute: int) -> list[BarPrices]:
        """The seconds of minute bar ``minute`` in order; one without a trade has no bar."""
        rows = self._prices[self._first[minute] : self._stop[minute]].tolist()
        return [BarPrices(*row) for row in rows]
