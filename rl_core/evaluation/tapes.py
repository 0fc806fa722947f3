"""The trades of each session as any account would meet them: how far each rose, fell and fell back before its exit."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rl_core.evaluation.inputs import EvaluationInputs
from rl_core.evaluation.trades import Trades
from rl_core.features.market_view import MarketView
from rl_core.market.costs import fillable, slippage_ticks, stop_distance, stop_loss, target_distance
from rl_core.market.types import (
    ANY_MINIS,
    FLATTEN,
    NEVER_LOCKS,
    SESSION_END,
    STATIC,
    STOP,
    TARGET,
    UNLIMITED,
    Bracket,
    PlainIntegers,
    Rules,
)
from rl_core.trading.setup import Trading

ANY_FILL = 1 << 30
UNSEEN = -(1 << 30)  # the best open profit of a trade before its first bar
XP = PlainIntegers()

Integers = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class Tape(NamedTuple):
    """Trades [M] by session [S], in ticks of one contract from the fill; what an account makes of them is its own.

    A point is a moment at which a floor may act: (best open profit before it, loss at it), the loss below 0 where the
    trade was still ahead. Of points that fell as far, the one with the larger loss is kept; they stand by falling drop,
    and what is left over is (0, 0), on which nothing acts.
    """

    session: Integers  # [S] trading days, all that were played
    first: Integers  # [S] where each session's trades begin
    trades: Integers  # [S] how many it has
    stop_cents: Integers  # [M] a contract, that the entry may lose at its stop, costs included, as known when decided
    stop_percent: Integers  # [M] stop distance in percent of the target's, rounded up
    fills: Integers  # [M] contracts of the entry that its bar fills
    halved: Bools  # [M] a gate lets half of the entry through, however the account stands
    gain: Integers  # [M] from fill to exit
    worst: Integers  # [M] the largest loss at any point
    best: Integers  # [M] the largest open profit up to the exit
    best_held: Integers  # [M] the same before the bar of the exit; UNSEEN where that was the bar of the entry
    drop: Integers  # [M, K] of each point: best before it plus loss at it
    loss: Integers  # [M, K] of each point


def unhindered(trading: Trading) -> Trading:
    """``trading`` under an account that stops nothing: no floor, target, daily loss or tier is ever in the way."""
    far = UNLIMITED // 4
    rules = Rules(start=2 * far, target=UNLIMITED, max_loss=far, ratchet=STATIC, floor_cap=NEVER_LOCKS, kills_open=0)
    limits = trading.limits._replace(max_quantity=ANY_MINIS, max_stop_percent=1_000_000)
    return trading._replace(venue=trading.venue._replace(rules=rules), limits=limits)


def tape_of(inputs: EvaluationInputs, trades: Trades) -> Tape:
    """The tape of ``trades``, which whoever enters made in the sessions of the span where no account stopped it.

    Args:
        inputs: who entered, on which bars, under which setting.
        trades: as played under `unhindered` of that setting, a fresh account each session.
    """
    free = unhindered(inputs.trading)
    order = np.argsort(trades.decided, kind="stable")
    trades = Trades(*(column[order] for column in trades))
    view, span = inputs.view, inputs.span
    session = np.unique(view.located.session[span.first : span.stop]).astype(np.int64)
    edges = np.searchsorted(trades.session, np.append(session, session[-1] + 1))
    brackets = [_bracket(inputs, int(bar)) for bar in trades.decided]
    paths = [_path(view, trades, k, bracket.target_ticks, free) for k, bracket in enumerate(brackets)]
    known = [_known(inputs, int(bar), bracket) for bar, bracket in zip(trades.decided, brackets, strict=True)]
    costs = np.array(known, np.int64).reshape(-1, 3)
    ends = np.array([(path.gain, path.worst, path.best, path.best_held) for path in paths], np.int64).reshape(-1, 4)
    drop, loss = _padded([path.points for path in paths])
    return Tape(
        session=session,
        first=edges[:-1],
        trades=np.diff(edges),
        stop_cents=costs[:, 0],
        stop_percent=costs[:, 1],
        fills=costs[:, 2],
        halved=np.zeros(len(costs), np.bool_),
        gain=ends[:, 0],
        worst=ends[:, 1],
        best=ends[:, 2],
        best_held=ends[:, 3],
        drop=drop,
        loss=loss,
    )


class _Path(NamedTuple):
    """One trade."""

    gain: int
    worst: int
    best: int
    best_held: int
    points: list[tuple[int, int]]  # (drop, loss)


def _bracket(inputs: EvaluationInputs, decided: int) -> Bracket:
    """Stop and target of the entry as known when it was decided."""
    own = inputs.who.bracket_at(decided)
    if own is not None:
        return own.distances
    yardstick = inputs.view.yardstick
    stop_ticks = stop_distance(XP, int(inputs.view.features.true_range_sum[decided]), yardstick)
    return Bracket(stop_ticks, target_distance(stop_ticks, yardstick))


def _known(inputs: EvaluationInputs, decided: int, bracket: Bracket) -> tuple[int, int, int]:
    """Cents at the stop, stop in percent of the target, and contracts that the next bar fills."""
    view, trading = inputs.view, inputs.trading
    terms, frictions, most = trading.venue.terms, trading.frictions, ANY_FILL
    if frictions is not None:
        minute, total = int(view.hours.decision_minute[decided]), int(view.features.true_range_sum[decided])
        terms = terms._replace(slippage_ticks=int(slippage_ticks(XP, frictions, minute, total)))
        if frictions.volume_milli:
            most = int(fillable(frictions, int(view.bars.volume[decided + 1])))
    return int(stop_loss(XP, bracket.stop_ticks, terms)), -(-100 * bracket.stop_ticks // bracket.target_ticks), most


def _path(view: MarketView, trades: Trades, k: int, target_ticks: int, trading: Trading) -> _Path:
    """The trade's best and worst, bar by bar as `docs/timing.md` reads a bar: its best first, then its worst."""
    bars, side, entry = view.bars, int(trades.side[k]), int(trades.entry[k])
    reason, last = int(trades.reason[k]), int(trades.exit_bar[k])
    span = slice(int(trades.decided[k]) + 1, last + 1)
    opened = side * (bars.open[span].astype(np.int64) - entry)
    high, low = (side * (column[span].astype(np.int64) - entry) for column in (bars.high, bars.low))
    best = np.minimum(np.maximum(high, low), target_ticks)
    loss = -np.minimum(high, low)
    before = np.append(UNSEEN, np.maximum.accumulate(best)[:-1])  # best of the bars before each
    gain = side * (int(trades.exit[k]) - entry)
    whole = np.maximum(before, best)
    points, peak = list(zip(whole[:-1], loss[:-1], strict=True)), int(whole[-1])
    if reason in (TARGET, SESSION_END):
        filled_at_open = reason == TARGET and opened[-1] > target_ticks
        points += [] if filled_at_open else [(whole[-1], loss[-1])]
    elif reason == STOP:
        level = gain + _slip(view, last, trading)
        gapped = opened[-1] <= level
        points.append((before[-1] if gapped else max(before[-1], opened[-1]), -level))
        peak = int(before[-1]) if gapped else peak
    else:
        assert reason == FLATTEN, "an account that stops nothing ends a trade by its bracket or the clock"
        peak = max(int(before[-1]), int(opened[-1]))
    worst = max([0, *(int(fallen) for _, fallen in points)])
    held = int(whole[-1] if reason == SESSION_END else before[-1])
    return _Path(gain, worst, peak, held, [(int(top) + int(fallen), int(fallen)) for top, fallen in points])


def _slip(view: MarketView, bar: int, trading: Trading) -> int:
    """Ticks that a stop in this bar lost."""
    slip = int(trading.venue.terms.slippage_ticks)
    if trading.frictions is not None:
        minute, total = int(view.hours.decision_minute[bar - 1]), int(view.features.true_range_sum[bar - 1])
        slip = int(slippage_ticks(XP, trading.frictions, minute, total))
    return max(1, slip)


def _padded(points: list[list[tuple[int, int]]]) -> tuple[Integers, Integers]:
    """Drop and loss [M, K] of the points that no other one has in both."""
    kept = []
    for each in points:
        frontier: list[tuple[int, int]] = []
        for drop, loss in sorted(each, reverse=True):
            if drop > 0 and (not frontier or loss > frontier[-1][1]):
                frontier.append((drop, loss))
        kept.append(frontier)
    width = max([1, *(len(frontier) for frontier in kept)])
    table = np.zeros((len(kept), width, 2), np.int64)
    for row, frontier in zip(table, kept, strict=True):
        row[: len(frontier)] = np.array(frontier, np.int64).reshape(-1, 2)
    return table[..., 0], table[..., 1]
