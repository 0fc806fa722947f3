"""Everything that is known at the close of every bar of one file: place in the session, hours, features."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rl_core.bars.bars import Bars
from rl_core.exchange.calendar import Located, locate
from rl_core.features.features import Features, compute_features, ranges_alone
from rl_core.market.yardstick import USUAL, Yardstick
from rl_core.rules.pack import RulePack
from rl_core.trading.hours import MINUTE_NS, EntryHours, Hours, hours_of, last_of_session
from trigate.errors import DataError


class MarketView(NamedTuple):
    """One market with everything that is known at each of its closes."""

    bars: Bars
    located: Located
    hours: Hours
    features: Features
    yardstick: Yardstick = USUAL  # of its features

    @property
    def last_in_session(self) -> npt.NDArray[np.bool_]:
        """[T] the last bar that starts before the flat time, of its session or of a contract in it."""
        bars = self.bars
        return last_of_session(bars.ts_event_ns, self.located.session, self.hours.minutes_to_flat, bars.contract)


def view_of(
    bars: Bars, pack: RulePack, entry: EntryHours, yardstick: Yardstick = USUAL, *, blind: bool = False
) -> MarketView:
    """The view of minute bars [T] under the flat time of ``pack``, in the lengths of ``yardstick``.

    ``blind`` leaves the features out, for whoever decides without them.

    Raises:
        DataError: not minute bars, or a bar outside every exchange session.
    """
    if bars.interval_s * 1_000_000_000 != MINUTE_NS:
        raise DataError(f"decisions need minute bars, these are bars of {bars.interval_s} s; give a file of minutes")
    located = locate(bars.ts_event_ns, bars.instrument.calendar)
    outside = np.flatnonzero(located.session < 0)
    if outside.size:
        first = np.datetime64(int(bars.ts_event_ns[outside[0]]), "ns")
        raise DataError(
            f"bar {outside[0] + 1} at {first}Z: closed_market: the calendar knows no session of "
            f"{bars.instrument.symbol} then; rl-core data check says why (and {outside.size - 1} more)"
        )
    hours = hours_of(bars.ts_event_ns, located, pack, entry)
    if blind:
        return MarketView(bars, located, hours, ranges_alone(bars, located.session, yardstick), yardstick)
    features = compute_features(bars, located.session, located.minute_et, hours, yardstick)
    return MarketView(bars, located, hours, features, yardstick)
