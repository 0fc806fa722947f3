"""Small random markets on real session times, and the account that trades them."""

from dataclasses import replace
from datetime import date
from functools import cache
from pathlib import Path

import numpy as np

from rl_core.bars.bars import Bars
from rl_core.exchange.calendar import NS_PER_MINUTE, Calendar
from rl_core.exchange.instruments import instrument
from rl_core.features.features import compute_features
from rl_core.features.market_view import MarketView, view_of
from rl_core.market.fills import Venue
from rl_core.market.types import PESSIMISTIC, Limits, Rules
from rl_core.rules.pack import RulePack, limits_of, read_rule_pack, terms_of
from rl_core.trading.hours import EntryHours

RULES_FOLDER = Path(__file__).parents[2] / "configs" / "rules"
NS_PER_DAY = 1440 * NS_PER_MINUTE
FIRST_DAY = date(2024, 11, 18)  # a Monday; Thanksgiving week follows
MNQ = instrument("MNQ")


@cache
def legacy_pack() -> RulePack:
    """The 50K legacy evaluation."""
    return read_rule_pack(RULES_FOLDER / "apex_legacy_50k_eval.toml")


def mnq_venue(resolution: int = PESSIMISTIC, rules: Rules | None = None) -> Venue:
    """MNQ contracts under ``rules``, the legacy pack if none."""
    return Venue(terms_of(MNQ), rules or legacy_pack().compiled(), resolution)


def mnq_limits(risk_budget: int = 50_000) -> Limits:
    """$500 a trade unless said otherwise."""
    return limits_of(legacy_pack(), MNQ, risk_budget)


def session_minutes(sessions: int, first: date = FIRST_DAY) -> np.ndarray:
    """Starts [T] of every minute of ``sessions`` exchange sessions from trade date ``first`` on, ns UTC."""
    day = first.toordinal() - date(1970, 1, 1).toordinal()
    calendar = Calendar.covering(day * NS_PER_DAY, (day + 2 * sessions + 7) * NS_PER_DAY)
    at = int(np.searchsorted(calendar.trade_date, day))
    spans = zip(calendar.open_ns[at : at + sessions], calendar.close_ns[at : at + sessions], strict=True)
    return np.concatenate([np.arange(start, stop, NS_PER_MINUTE) for start, stop in spans])


def random_bars(seed: int, ts_event_ns: np.ndarray, *, spread: float = 8.0, missing: float = 0.0) -> Bars:
    """A random walk in ticks over the minutes [T], of which a share ``missing`` has no bar.

    One bar in 200 opens far away, and from 20:40 UTC on (15:40 in winter) little moves, so that entries of the
    last minutes live to the flat time.
    """
    generator = np.random.default_rng(seed)
    ts_event_ns = ts_event_ns[generator.uniform(size=len(ts_event_ns)) >= missing]
    count = len(ts_event_ns)
    pace = np.where(ts_event_ns // NS_PER_MINUTE % 1440 >= 20 * 60 + 40, 0.1, 1.0)
    body = np.rint(generator.standard_t(4, count) * spread * pace).astype(np.int64)
    far = np.where(generator.uniform(size=count) < 0.005, 40.0 * pace, 1.0)
    jump = np.rint(generator.standard_t(3, count) * far).astype(np.int64)
    close = 80_000 + np.cumsum(body + jump)
    opened = close - body
    wicks = np.rint(generator.exponential(spread / 2, (2, count)) * pace).astype(np.int64)
    high, low = np.maximum(opened, close) + wicks[0], np.minimum(opened, close) - wicks[1]
    volume = generator.integers(0, 900, count)
    return _bars(60, ts_event_ns, (opened, high, low, close), volume)


def with_noise_after(bars: Bars, last: int, seed: int = 99) -> Bars:
    """The same minutes, but every price and volume after index ``last`` is another random walk."""
    noise = random_bars(seed, bars.ts_event_ns, spread=30.0)
    columns = {
        name: np.concatenate([getattr(bars, name)[: last + 1], getattr(noise, name)[last + 1 :]])
        for name in ("open", "high", "low", "close", "volume")
    }
    return replace(bars, **columns, digest="")


def seen(bars: Bars) -> MarketView:
    """The bars under the legacy pack's flat time and the usual entry hours."""
    return view_of(bars, legacy_pack(), EntryHours())


@cache
def small_view(seed: int = 0, sessions: int = 3, missing: float = 0.0) -> MarketView:
    """A few full sessions from Monday 18 November 2024 on."""
    return seen(random_bars(seed, session_minutes(sessions), missing=missing))


def quiet_bars(sessions: int = 3, first: date = FIRST_DAY) -> Bars:
    """Every bar opens and closes at 80,000 with a range of 20 ticks: S = 280, ATR 20, stop 30, target 90."""
    ts_event_ns = session_minutes(sessions, first)
    level = np.full(len(ts_event_ns), 80_000, np.int32)
    volume = np.full(len(ts_event_ns), 100, np.int64)
    return Bars(instrument("NQ"), 60, ts_event_ns, level, level + 10, level - 10, level, volume)


def with_bar(bars: Bars, t: int, prices: tuple[int, int, int, int]) -> Bars:
    """The same bars, with open, high, low and close of bar ``t`` given as ticks from 80,000."""
    columns = {name: getattr(bars, name).copy() for name in ("open", "high", "low", "close")}
    for name, price in zip(columns, prices, strict=True):
        columns[name][t] = 80_000 + price
    return replace(bars, **columns, digest="")


def seen_again(view: MarketView, bars: Bars) -> MarketView:
    """Other prices in the minutes of ``view``; quicker than asking the calendar again."""
    assert np.array_equal(bars.ts_event_ns, view.bars.ts_event_ns)
    features = compute_features(bars, view.located.session, view.located.minute_et, view.hours)
    return view._replace(bars=bars, features=features)


def closing_at(view: MarketView, clock: str) -> int:
    """Index of the bar of the last session that closes at ``clock`` (HH:MM, exchange time)."""
    minute = int(clock[:2]) * 60 + int(clock[3:])
    return int(np.flatnonzero(view.hours.decision_minute == minute)[-1])


def random_seconds(seed: int, ts_event_ns: np.ndarray, *, spread: float = 2.0) -> tuple[Bars, Bars]:
    """Minutes [T] of a random walk and the one-second bars they add up from; half of the seconds did not trade."""
    generator = np.random.default_rng(seed)
    count = len(ts_event_ns)
    traded = generator.uniform(size=(count, 60)) < 0.5
    traded[np.arange(count), generator.integers(0, 60, count)] = True
    at = (ts_event_ns[:, None] + np.arange(60) * 10**9)[traded]
    body = np.rint(generator.standard_t(3, len(at)) * spread).astype(np.int64)
    close = 80_000 + np.cumsum(body + np.rint(generator.standard_t(2, len(at)) * spread / 2).astype(np.int64))
    wicks = np.rint(generator.exponential(spread / 2, (2, len(at)))).astype(np.int64)
    opened = close - body
    high, low = np.maximum(opened, close) + wicks[0], np.minimum(opened, close) - wicks[1]
    ends = np.cumsum(traded.sum(axis=1))
    starts = np.concatenate([[0], ends[:-1]])
    minute = (opened[starts], np.maximum.reduceat(high, starts), np.minimum.reduceat(low, starts), close[ends - 1])
    volume = generator.integers(1, 900, count)
    seconds = _bars(1, at, (opened, high, low, close), np.ones(len(at), np.int64))
    return _bars(60, ts_event_ns, minute, volume), seconds


def _bars(interval_s: int, ts_event_ns: np.ndarray, prices: tuple[np.ndarray, ...], volume: np.ndarray) -> Bars:
    """NQ from open, high, low and close [T] in ticks of any integer type."""
    opened, high, low, close = (column.astype(np.int32) for column in prices)
    return Bars(instrument("NQ"), interval_s, ts_event_ns.astype(np.int64), opened, high, low, close, volume)
