"""What the trader sees at each close: features, regime and hours; bar by bar, or all closes of a file at once."""

from collections import deque
from typing import NamedTuple, Protocol, Self

import numpy as np
import numpy.typing as npt

from orchestrator.messaging.catalogue import Bar
from rl_core.bars.bars import Bars
from rl_core.exchange.calendar import Calendar
from rl_core.exchange.product_hours import Family
from rl_core.features.features import FeatureStream, StreamedBar
from rl_core.features.market_view import MarketView, view_of
from rl_core.market.yardstick import USUAL, Yardstick
from rl_core.regimes.fitted import UNFITTED, Frozen, StateStream, wild_percents
from rl_core.regimes.labels import VOLATILITIES, Regime, RegimeStream, compute_regimes
from rl_core.rules.pack import RulePack
from rl_core.trading.hours import EntryHours, hours_of
from trigate.errors import DataError

_AHEAD_NS = 400 * 86_400 * 1_000_000_000
_CLOSED_MARKET = "closed_market: it lies outside every exchange session; rl-core data check says which rows do"


class CloseView(NamedTuple):
    """Everything known at one close."""

    window: npt.NDArray[np.float32]  # [220] the last feature rows, 20 unless set otherwise, oldest first
    true_range_sum: int  # ticks
    entry_open: bool  # in entry hours and warm
    flatten_due: bool
    session: int  # trading day
    minutes_to_flat: int
    regime: Regime
    decision_minute: int  # of the exchange's day, at the close
    wild_percent: int | None = None  # filtered probability of the wildest hidden state; None without a fitted model
    atr_bars: int = USUAL.atr_bars  # whose true ranges are summed


class CloseViews(Protocol):
    """Gives the view at the close of each bar, in order."""

    def push(self, bar: Bar) -> CloseView:
        """The view at the close of ``bar``.

        Raises:
            DataError: the bar is not one that can be seen.
        """


class CloseViewTable:
    """The views of a file's bars, computed in one pass; equal to the stream's, bit for bit.

    Row t of what it reads reads no bar after t (`tests/orchestrator/trader/test_seen_at_close.py`).
    """

    def __init__(
        self,
        bars: Bars,
        traded_from: int,
        pack: RulePack,
        entry: EntryHours,
        regimes: Frozen = UNFITTED,
        yardstick: Yardstick = USUAL,
    ) -> None:
        """See all of ``bars``.

        Args:
            bars: those shown as history, then those traded.
            traded_from: index of the bar with the number 0.
            pack: gives the flat time.
            entry: hours in which entries are decided.
            regimes: as the checkpoint froze them.
            yardstick: how long the ATR and the window are.

        Raises:
            DataError: a bar lies outside every exchange session.
        """
        self._bars, self._first = bars, traded_from
        self._market, self._yardstick = view_of(bars, pack, entry, yardstick), yardstick
        self._regimes = compute_regimes(self._market, regimes.thresholds)
        self._wild = None if regimes.model is None else wild_percents(regimes.model.states(self._market))

    @property
    def market(self) -> MarketView:
        """The bars shown and traded, with everything that is known at their closes."""
        return self._market

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """[T] the regime of each bar, as an index into `rl_core.regimes.fitted.LABELS`."""
        return self._regimes.direction * len(VOLATILITIES) + self._regimes.volatility

    def push(self, bar: Bar) -> CloseView:
        """The view at the close of ``bar``.

        Raises:
            DataError: the file has another bar of that number.
        """
        t = self._first + bar.seq
        self._refuse_another(bar, t)
        return self.at(t)

    def at(self, t: int) -> CloseView:
        """The view at the close of bar ``t`` of the file, the first one shown being 0."""
        hours, features = self._market.hours, self._market.features
        return CloseView(
            window=features.values[max(0, t + 1 - self._yardstick.window) : t + 1].reshape(-1),
            true_range_sum=int(features.true_range_sum[t]),
            entry_open=bool(hours.entry_open[t] and features.warm[t]),
            flatten_due=bool(hours.flatten_due[t]),
            session=int(self._market.located.session[t]),
            minutes_to_flat=int(hours.minutes_to_flat[t]),
            regime=self._regimes.at(t),
            decision_minute=int(hours.decision_minute[t]),
            wild_percent=None if self._wild is None else int(self._wild[t]),
            atr_bars=self._yardstick.atr_bars,
        )

    def _refuse_another(self, bar: Bar, t: int) -> None:
        bars = self._bars
        columns = (bars.ts_event_ns, bars.open, bars.high, bars.low, bars.close, bars.volume)
        there = None if t >= len(bars) else tuple(int(column[t]) for column in columns)
        if there != (bar.ts_event_ns, bar.open, bar.high, bar.low, bar.close, bar.volume):
            raise DataError(
                f"bar {bar.seq}: file_changed: the bars file has another one there; give the same file again"
            )


class CloseViewStream:
    """Views one bar at a time; the same bars give the same views, whatever was killed in between."""

    def __init__(
        self,
        first_ns: int,
        pack: RulePack,
        entry: EntryHours,
        regimes: Frozen = UNFITTED,
        family: Family = "equity",
        yardstick: Yardstick = USUAL,
    ) -> None:
        """An empty past.

        Args:
            first_ns: start of the first bar that will be seen; it begins a session for hidden states.
            pack: gives the flat time.
            entry: hours in which entries are decided.
            regimes: as the checkpoint froze them.
            family: of the bars' contract; it says when sessions are.
            yardstick: how long the ATR and the window are.
        """
        self._family: Family = family
        self._calendar = Calendar.covering(first_ns, first_ns + _AHEAD_NS, family)
        self._covered_ns = first_ns + _AHEAD_NS
        self._pack, self._entry = pack, entry
        self._features = FeatureStream(yardstick)
        self._regimes = RegimeStream(regimes.thresholds, yardstick.atr_bars)
        self._states = None if regimes.model is None else StateStream(regimes.model)
        self._atr_bars = yardstick.atr_bars
        self._rows: deque[npt.NDArray[np.float32]] = deque(maxlen=yardstick.window)

    def take_history(self, bars: Bars) -> Self:
        """Take the bars before the first one that will be asked about; as `push` of each, and far quicker.

        Raises:
            DataError: a bar lies outside every exchange session.
        """
        located = self._calendar.locate(bars.ts_event_ns)
        if (outside := np.flatnonzero(located.session < 0)).size:
            raise DataError(f"bar {int(outside[0])} of the history: {_CLOSED_MARKET}")
        hours = hours_of(bars.ts_event_ns, located, self._pack, self._entry)
        names = ("high", "low", "close", "volume", "session", "minute_et", "decision_minute", "minutes_to_flat")
        columns = {**vars(bars), **located._asdict(), **hours._asdict()}
        rows = zip(*(columns[name].tolist() for name in (*names, "open", "contract")), strict=True)
        seen = max(0, len(bars) - (self._rows.maxlen or 0))  # rows before these are in no later window
        for number, row in enumerate(rows):
            streamed = StreamedBar(*row)
            true_range_sum = self._take(streamed)[0] if number >= seen else self._features.absorb(streamed)
            self._regimes.absorb(streamed, true_range_sum)
            if self._states is not None:
                self._states.push(streamed)
        return self

    def push(self, bar: Bar) -> CloseView:
        """Take one closed bar.

        Raises:
            DataError: the bar lies outside every exchange session.
        """
        if bar.ts_event_ns > self._covered_ns:
            self._calendar = Calendar.covering(bar.ts_event_ns, bar.ts_event_ns + _AHEAD_NS, self._family)
            self._covered_ns = bar.ts_event_ns + _AHEAD_NS
        ts = np.array([bar.ts_event_ns], np.int64)
        located = self._calendar.locate(ts)
        if located.session[0] < 0:
            raise DataError(f"bar {bar.seq}: {_CLOSED_MARKET}")
        hours = hours_of(ts, located, self._pack, self._entry)
        streamed = StreamedBar(
            high=bar.high,
            low=bar.low,
            close=bar.close,
            volume=bar.volume,
            session=int(located.session[0]),
            minute_et=int(located.minute_et[0]),
            decision_minute=int(hours.decision_minute[0]),
            minutes_to_flat=int(hours.minutes_to_flat[0]),
            open=bar.open,
            contract=bar.contract,
        )
        true_range_sum, warm = self._take(streamed)
        return CloseView(
            window=np.concatenate(self._rows),
            true_range_sum=true_range_sum,
            entry_open=bool(hours.entry_open[0]) and warm and len(self._rows) == self._rows.maxlen,
            flatten_due=bool(hours.flatten_due[0]),
            session=streamed.session,
            minutes_to_flat=streamed.minutes_to_flat,
            regime=self._regimes.push(streamed, true_range_sum),
            decision_minute=streamed.decision_minute,
            wild_percent=None if self._states is None else int(wild_percents(self._states.push(streamed))),
            atr_bars=self._atr_bars,
        )

    def _take(self, bar: StreamedBar) -> tuple[int, bool]:
        """Keep the feature row of one bar; its ATR's sum of true ranges, and whether the row is warm."""
        row, true_range_sum, warm = self._features.push(bar)
        self._rows.append(row)
        return true_range_sum, warm
