"""What luck alone would have earned: random entries, the same entries on other days, and written rules."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rl_core.evaluation.entrants import KNOWN_RULES
from rl_core.evaluation.inputs import EvaluationInputs
from rl_core.evaluation.outcomes import Floats, Integers, Outcomes
from rl_core.evaluation.trades import Trades
from rl_core.market.types import Bracket
from rl_core.statistics.management_verdict import SAME_R
from trigate.intervals import LEAST_BLOCKS

DRAWS = 2_000
SHUFFLES = 1_000
POOL = 1_000  # ways in which each session's entries are moved, from which the draws choose
MOST_OWN = 300_000  # entries with brackets of their own that are played one by one
LEAST_POOL = 50
RETRIES = 8  # for entries that were moved into an open trade
HOURS, MINUTES = 24, 1440
EVENING = 18 * 60  # minute of the exchange's day with which the trading day of most products begins
FAR = 1 << 32  # more than any bar's number: keeps sessions apart where bars are compared


class AmongDraws(NamedTuple):
    """Where a mean R stands among those of random entries, or of the same entries on other days."""

    name: str  # "random" or "shuffled"
    draws: int
    mean_r: float  # of all draws
    low: float  # 95 % of the draws lie between low ...
    high: float  # ... and high
    percentile: float  # of 100, the share of draws below what is judged
    p_value: float  # that chance does as well: (1 + draws as good or better) / (1 + draws)

    def row(self) -> dict[str, float | int]:
        """Plain values by the names that a result has them under."""
        return {f"{self.name}_{key}": value for key, value in self._asdict().items() if key != "name"}


class WrittenRule(NamedTuple):
    """What a written rule earns on the same bars, with fresh accounts and brackets that are left alone."""

    name: str
    trades: int
    mean_r: float | None
    session_r: float

    def row(self) -> dict[str, Any]:
        """Plain values."""
        return self._asdict()


class _Places(NamedTuple):
    """Bars of the span at which an entry may be decided."""

    order: Integers  # [K] bars by session and hour
    edge: Integers  # [24 sessions + 1] where the bars of each session's hour begin in ``order``, and where the last end
    sessions: int


def random_entries(
    trades: Trades, inputs: EvaluationInputs, outcomes: Outcomes, *, draws: int = DRAWS, seed: int = 0
) -> AmongDraws | None:
    """Where the mean R of ``trades`` stands among random entries; None without a trade.

    In each draw, the entries of a session go together to a session drawn at random, and each of them to a random minute
    of its own hour there, with its side and bracket. So count, hours, sides, brackets and what clusters in a session
    are kept, and the choice of the moment alone is lost. Positions are left to their brackets, one at a time.

    Args:
        trades: what is judged.
        inputs: the bars and the account it was played with, and who entered.
        outcomes: of the same bars.
        draws: how many.
        seed: of the draws.
    """
    if not len(trades.decided):
        return None
    rng = np.random.default_rng(seed)
    session = inputs.view.located.session[trades.decided]
    order = np.argsort(session, kind="stable")
    moved = _Moved(trades.decided[order], trades.side[order], inputs, outcomes)
    pool = moved.pool(rng)
    edges = np.flatnonzero(np.append(True, np.diff(session[order]) != 0))
    totals = np.add.reduceat(pool, edges, axis=0)  # [sessions, P]
    chosen = rng.integers(0, pool.shape[1], (draws, len(edges)))
    means = totals[np.arange(len(edges)), chosen].sum(axis=1) / len(trades.decided)
    return _among("random", float(trades.r.mean()), means)


def shuffled_days(
    trades: Trades, inputs: EvaluationInputs, outcomes: Outcomes, *, draws: int = SHUFFLES, seed: int = 0
) -> AmongDraws | None:
    """Where the mean R of ``trades`` stands among those of the same entries on other days.

    None without a trade, and under ten days: so few have few orders, and often stay where they are.

    In each shuffle the days of the span change places, and the entries of a day go with it: to the same minutes of
    another day, with their sides and brackets. So the habit of the day is kept whole, and what was seen of the market
    is lost. A minute in which that day takes no entry is replaced by the next one that does, else the last; an entry
    that meets an open position is not made. Brackets of one's own are played one by one, so their shuffles are fewer.

    Args:
        trades: what is judged.
        inputs: the bars and the account it was played with, and who entered.
        outcomes: of the same bars.
        draws: how many shuffles, if all brackets are the usual ones.
        seed: of the shuffles.
    """
    span, session = inputs.span, inputs.view.located.session
    if not len(trades.decided) or len(np.unique(session[span.first : span.stop])) < LEAST_BLOCKS:
        return None
    order = np.argsort(trades.decided, kind="stable")
    moved = _Moved(trades.decided[order], trades.side[order], inputs, outcomes)
    r, made = moved.shuffled(np.random.default_rng(seed), trades.decided[order], draws)
    means = np.where(made, r, 0.0).sum(axis=0) / np.maximum(1, made.sum(axis=0))
    return _among("shuffled", float(trades.r.mean()), means)


def _among(name: str, own: float, means: Floats) -> AmongDraws:
    """Where ``own`` stands among the ``means`` [B] of the draws."""
    low, high = np.quantile(means, [0.025, 0.975])
    draws, as_good = len(means), int((means >= own - SAME_R).sum())
    percentile, p_value = 100 * (1 - as_good / draws), (1 + as_good) / (1 + draws)
    return AmongDraws(name, draws, float(means.mean()), float(low), float(high), percentile, p_value)


class _Moved:
    """Entries [N] by session, and the ways to move them."""

    def __init__(self, decided: Integers, side: Integers, inputs: EvaluationInputs, outcomes: Outcomes) -> None:
        view = inputs.view
        self._inputs, self._outcomes, self._side = inputs, outcomes, side
        self._places = _places(inputs, outcomes)
        self._hour = view.hours.decision_minute[decided].astype(np.int64) // 60
        self._group = np.unique(view.located.session[decided], return_inverse=True)[1]
        own = [inputs.who.bracket_at(int(bar)) for bar in decided]
        self._brings = np.array([bracket is not None for bracket in own])
        distances = [(0, 0) if bracket is None else tuple(bracket.distances) for bracket in own]
        self._distances = np.array(distances, np.int64).reshape(-1, 2)

    def pool(self, rng: np.random.Generator) -> Floats:
        """R [N, P] of each entry, in P ways to move the entries of its session."""
        own = int(self._brings.sum())
        ways = POOL if own == 0 else min(POOL, max(LEAST_POOL, MOST_OWN // own))
        to = rng.integers(0, self._places.sessions, (self._group.max() + 1, ways))[self._group]
        everywhere = np.ones(to.shape, bool)
        bar = self._drawn(rng, to, everywhere)
        r, held = self._played(bar, everywhere)
        for _ in range(RETRIES):
            again = self._while_open(bar, held)
            if not again.any():
                break
            bar[again] = self._drawn(rng, to, again)
            r[again], held[again] = self._played(bar[again], again)
        return r

    def shuffled(self, rng: np.random.Generator, decided: Integers, draws: int) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """R [N, B] of the entries, in order of ``decided``, under B shuffles of the days, and which were made."""
        own = int(self._brings.sum())
        draws = draws if own == 0 else min(draws, max(LEAST_POOL, MOST_OWN // own))
        view, bar_of = self._inputs.view, _bars_by_minute(self._inputs, self._outcomes)
        days = np.unique(view.located.session[self._inputs.span.first : self._inputs.span.stop])
        from_day = np.searchsorted(days, view.located.session[decided])
        to_day = np.stack([rng.permutation(len(days)) for _ in range(draws)], axis=1)[from_day]
        bar = bar_of[to_day, _since_evening(view.hours.decision_minute[decided])[:, None]]
        exists = bar >= 0
        r, held = self._played(np.maximum(bar, 0), np.ones(bar.shape, np.bool_))
        return r, exists & self._in_turn(bar, held, exists)

    def _in_turn(self, bar: Integers, held: Integers, exists: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """[N, B] whether each entry comes when no earlier one of its day is open; entries are in order of time."""
        first = np.searchsorted(self._group, self._group)
        rank = np.arange(len(self._group)) - first
        free, made = np.zeros((self._group.max() + 1, bar.shape[1]), np.int64), np.zeros(bar.shape, np.bool_)
        for number in range(int(rank.max()) + 1):
            at = np.flatnonzero(rank == number)
            day = self._group[at]
            made[at] = exists[at] & (bar[at] >= free[day])
            free[day] = np.where(made[at], bar[at] + held[at], free[day])
        return made

    def _drawn(self, rng: np.random.Generator, to: Integers, where: npt.NDArray[np.bool_]) -> Integers:
        """A random bar of the entry's hour (else of any) in session ``to`` [N, P], wherever ``where`` holds."""
        places, session = self._places, to[where]
        hour = np.broadcast_to(self._hour[:, None], to.shape)[where]
        key = session * HOURS + hour
        low, high = places.edge[key], places.edge[key + 1]
        none = low == high
        low[none], high[none] = places.edge[session[none] * HOURS], places.edge[(session[none] + 1) * HOURS]
        chosen: Integers = places.order[low + (rng.random(len(low)) * (high - low)).astype(np.int64)]
        return chosen.reshape(to.shape) if where.all() else chosen

    def _played(self, bar: Integers, where: npt.NDArray[np.bool_]) -> tuple[Floats, Integers]:
        """R and bars held of the entries in ``where`` [N, P] at ``bar``."""
        side = np.broadcast_to(self._side[:, None], where.shape)[where]
        brings = np.broadcast_to(self._brings[:, None], where.shape)[where]
        flat = bar.reshape(-1)
        r, held = self._outcomes.usual(flat, side)
        if brings.any():
            stop, target = (np.broadcast_to(column[:, None], where.shape)[where] for column in self._distances.T)
            bracket = Bracket(stop[brings], target[brings])
            r[brings], held[brings] = self._outcomes.own(flat[brings], side[brings], bracket)
        return r.reshape(bar.shape), held.reshape(bar.shape)

    def _while_open(self, bar: Integers, held: Integers) -> npt.NDArray[np.bool_]:
        """[N, P] whether an entry was moved to where another of its session is still open."""
        apart = self._group[:, None] * FAR
        order = np.argsort(apart + bar, axis=0, kind="stable")
        begins = np.take_along_axis(apart + bar, order, axis=0)
        ends = np.maximum.accumulate(begins + np.take_along_axis(held, order, axis=0), axis=0)
        inside = np.zeros(bar.shape, bool)
        inside[1:] = begins[1:] < ends[:-1]
        again = np.zeros(bar.shape, bool)
        np.put_along_axis(again, order, inside, axis=0)
        return again


def _places(inputs: EvaluationInputs, outcomes: Outcomes) -> _Places:
    """The bars of the span at which entries of the usual bracket may be decided."""
    span, view = inputs.span, inputs.view
    bars = span.first + np.flatnonzero(outcomes.bars[span.first : span.stop, 0] > 0)
    session = np.unique(view.located.session[bars], return_inverse=True)[1]
    key = session * HOURS + view.hours.decision_minute[bars].astype(np.int64) // 60
    order, sessions = np.argsort(key, kind="stable"), int(session.max()) + 1
    return _Places(bars[order], np.searchsorted(key[order], np.arange(sessions * HOURS + 1)), sessions)


def _bars_by_minute(inputs: EvaluationInputs, outcomes: Outcomes) -> Integers:
    """[S, 1440] the bar that decides an entry, by day of the span and minute since evening; -1 where a day takes none.

    A minute without one has that of the next minute with one, else of the last.
    """
    span, view = inputs.span, inputs.view
    days = np.unique(view.located.session[span.first : span.stop])
    bars = span.first + np.flatnonzero(outcomes.bars[span.first : span.stop, 0] > 0)
    table = np.full((len(days), MINUTES), -1, np.int64)
    table[np.searchsorted(days, view.located.session[bars]), _since_evening(view.hours.decision_minute[bars])] = bars
    for minute in range(MINUTES - 2, -1, -1):
        table[:, minute] = np.where(table[:, minute] < 0, table[:, minute + 1], table[:, minute])
    for minute in range(1, MINUTES):
        table[:, minute] = np.where(table[:, minute] < 0, table[:, minute - 1], table[:, minute])
    return table


def _since_evening(minute: npt.NDArray[np.int32]) -> Integers:
    """[N] minutes since 18:00, so that those of one trading day are in order."""
    return (minute.astype(np.int64) - EVENING) % MINUTES


def written_rules(inputs: EvaluationInputs, outcomes: Outcomes) -> list[WrittenRule]:
    """What each written rule earns on the bars of ``outcomes``."""
    span, view = inputs.span, inputs.view
    sessions = len(np.unique(view.located.session[span.first : span.stop]))
    rules = []
    for name, rule in KNOWN_RULES.items():
        side = rule(view).side[span.first : span.stop]
        earned = _one_at_a_time(side, outcomes, span.first)
        mean = float(np.mean(earned)) if earned else None
        rules.append(WrittenRule(name, len(earned), mean, float(np.sum(earned)) / sessions))
    return rules


def _one_at_a_time(side: npt.NDArray[np.int8], outcomes: Outcomes, first: int) -> list[float]:
    """R of each entry that is made while no other is open."""
    earned, free = [], 0
    bars = np.flatnonzero((side != 0) & (outcomes.bars[first : first + len(side), 0] > 0))
    for at in bars.tolist():
        if at < free:
            continue
        r, held = outcomes.usual(np.array(first + at), np.array(side[at]))
        earned.append(float(r))
        free = at + int(held)
    return earned


def null_lines(
    judged: Trades,
    random: AmongDraws | None,
    shuffled: AmongDraws | None,
    rules: list[WrittenRule],
    sessions: int,
) -> list[str]:
    """The comparison as lines of a table for the terminal."""
    lines = ["beside what needs no training (fresh accounts, brackets left alone)"]
    lines.append(f"{'':<21}{'trades':>8}{'mean R':>10}{'R a session':>14}")
    mean = float(judged.r.mean()) if len(judged.r) else None
    this = WrittenRule("this", len(judged.r), mean, float(judged.r.sum()) / sessions)
    for rule in (this, *rules):
        shown = "-" if rule.mean_r is None else f"{rule.mean_r:+.3f}"
        lines.append(f"{rule.name:<21}{rule.trades:>8}{shown:>10}{rule.session_r:>+14.3f}")
    if random is not None:
        lines.append(f"{'random, by chance':<21}{len(judged.r):>8}{random.mean_r:>+10.3f}")
        lines.append(
            f"of {random.draws:,} draws of random entries (same count, hours, sides, brackets) 95 % lie between "
            f"{random.low:+.3f} and {random.high:+.3f} R;"
        )
        lines.append(f"this beats {random.percentile:.1f} % of them (p = {random.p_value:.4f})")
    if shuffled is not None:
        lines.append(
            f"of {shuffled.draws:,} shuffles of its days (same minutes, sides, brackets) 95 % lie between "
            f"{shuffled.low:+.3f} and {shuffled.high:+.3f} R;"
        )
        lines.append(f"this beats {shuffled.percentile:.1f} % of them (p = {shuffled.p_value:.4f})")
    return lines
