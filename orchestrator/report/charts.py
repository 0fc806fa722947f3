"""The two plots of the report, drawn into the page: equity over the drawdown floor, and the ledger's results in R."""

from collections.abc import Sequence
from html import escape
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from orchestrator.report.account_book import BookedTrade, EquityPoint
from orchestrator.report.figures import GroupFigures
from orchestrator.report.formats import dollars, exchange_time

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 1100, 86, 16, 14, 26
EQUITY_HEIGHT, LEDGER_HEIGHT = 400, 260
DATE_WIDTH = 90
MOST_LINES = 60  # of session edges
BIN_R = 0.25

Floats = npt.NDArray[np.float64]


class TradeMark(NamedTuple):
    """Where a trade's end lies in the equity plot."""

    booked: BookedTrade
    bar: int  # of the exit
    balance: int  # cents, after it


class _Scale(NamedTuple):
    """From values to pixels of a drawing."""

    low: float
    high: float
    height: int
    unit: float = 1.0  # of the labels

    def y(self, value: float) -> float:
        """The height of ``value``, from the top."""
        return TOP + (self.high - value) / (self.high - self.low) * (self.height - TOP - BOTTOM)

    def levels(self, step: float, text: str) -> list[str]:
        """Lines at round values, with their labels; ``text`` formats a value."""
        drawn = []
        for level in np.arange(np.ceil(self.low / step) * step, self.high, step):
            y = self.y(float(level))
            drawn.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
            shown = text.format(float(level) / self.unit)
            drawn.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{shown}</text>')
        return drawn


def equity_chart(
    points: Sequence[EquityPoint], session: npt.NDArray[np.int32], marks: Sequence[TradeMark], target: int | None
) -> str:
    """SVG of every attempt's equity and floor; what is between two records, such as a night, takes no width.

    Args:
        points: the account wherever it was recorded.
        session: [T] trading day of each bar.
        marks: the trades.
        target: in cents, if there is one.
    """
    equity, floor = (np.array([getattr(point, name) for point in points], float) for name in ("equity", "floor"))
    seen = [equity.min(), equity.max(), floor.min(), floor.max(), *([] if target is None else [target])]
    margin = 0.04 * max(1.0, max(seen) - min(seen))
    scale = _Scale(min(seen) - margin, max(seen) + margin, EQUITY_HEIGHT, unit=100.0)
    at = LEFT + (np.arange(len(points)) + 0.5) / len(points) * (WIDTH - LEFT - RIGHT)
    drawn = scale.levels(100 * round_step((scale.high - scale.low) / 600), "${:,.0f}")
    drawn += _sessions(points, session, at)
    if target is not None:
        y = scale.y(target)
        drawn.append(f'<line class="goal" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        drawn.append(f'<text class="goal-name" x="{WIDTH - RIGHT}" y="{y - 5:.1f}" text-anchor="end">target</text>')
    attempt = np.array([point.attempt for point in points])
    for number in np.unique(attempt):
        part = attempt == number
        drawn.append(f'<path class="floor" d="{_steps(at[part], floor[part], scale)}"/>')
        drawn.append(f'<path class="equity" d="{_steps(at[part], equity[part], scale)}"/>')
    drawn += [_trade_mark(mark, points, at, scale) for mark in marks]
    drawn += _ends(points, at, scale)
    return _svg("equity", EQUITY_HEIGHT, drawn, "equity, floor and target of every attempt")


def ledger_chart(groups: Sequence[GroupFigures]) -> str:
    """SVG of the share of each group's rows by result."""
    shown = [group for group in groups if len(group.r)]
    if not shown:
        return ""
    top, bottom = max(float(group.r.max()) for group in shown), min(float(group.r.min()) for group in shown)
    edges = np.arange(np.floor(bottom / BIN_R), np.floor(top / BIN_R) + 2) * BIN_R
    shares = [100 * np.histogram(group.r, edges)[0] / len(group.r) for group in shown]
    scale = _Scale(0.0, 1.08 * max(float(share.max()) for share in shares), LEDGER_HEIGHT)
    drawn = scale.levels(round_step(scale.high / 4), "{:g} %")
    wide = (WIDTH - LEFT - RIGHT) / (len(edges) - 1)
    for number, (group, share) in enumerate(zip(shown, shares, strict=True)):
        each = 0.86 * wide / len(shown)
        for n in np.flatnonzero(share):
            x, y = LEFT + n * wide + 0.07 * wide + number * each, scale.y(float(share[n]))
            title = (
                f"<title>{escape(group.name)}: {share[n]:.1f} % from {edges[n]:+.2f} to {edges[n + 1]:+.2f} R</title>"
            )
            height = LEDGER_HEIGHT - BOTTOM - y
            drawn.append(
                f'<rect class="bin {_of_group(group.name)}" x="{x:.1f}" y="{y:.1f}" width="{each:.1f}" '
                f'height="{height:.1f}">{title}</rect>'
            )
    every = max(1, round(len(edges) / 14))
    drawn += [
        f'<text x="{LEFT + n * wide:.1f}" y="{LEDGER_HEIGHT - 8}" text-anchor="middle">{edges[n]:+g}</text>'
        for n in range(0, len(edges), every)
    ]
    names = [f'<span class="key {_of_group(g.name)}"></span>{escape(g.name)} ({len(g.r)})' for g in shown]
    legend = f'<p class="soft small keys">{" ".join(names)}: % of the group\'s rows by R after costs</p>'
    return legend + _svg("ledger", LEDGER_HEIGHT, drawn, "results of each group's brackets alone, in R")


def _svg(name: str, height: int, drawn: Sequence[str], label: str) -> str:
    inside = "".join(drawn)
    return (
        f'<div class="scroll short"><svg id="plot-{name}" class="chart" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{label}">{inside}</svg></div>'
    )


def round_step(rough: float) -> float:
    """The next 1, 2 or 5 times a power of ten."""
    power = 10.0 ** np.floor(np.log10(max(rough, 1e-9)))
    return float(next(lead * power for lead in (1, 2, 5, 10) if lead * power >= rough * 0.999))


def _steps(at: Floats, values: Floats, scale: _Scale) -> str:
    """A line in steps; of the points in one pixel the first, the extremes and the last are drawn."""
    pixel = at.astype(int)
    edges = np.append(np.flatnonzero(np.append(True, pixel[1:] != pixel[:-1])), len(at))
    kept: list[int] = []
    for first, stop in pairwise(edges.tolist()):
        part = values[first:stop]
        kept += sorted({first, first + int(part.argmin()), first + int(part.argmax()), stop - 1})
    xs, ys = at[kept], [scale.y(value) for value in values[kept]]
    return f"M{xs[0]:.1f} {ys[0]:.1f}" + "".join(f"H{x:.1f}V{y:.1f}" for x, y in zip(xs[1:], ys[1:], strict=True))


def _sessions(points: Sequence[EquityPoint], session: npt.NDArray[np.int32], at: Floats) -> list[str]:
    """A faint line where a session begins, and the dates of some."""
    days = session[np.array([point.bar for point in points])]
    begins = np.flatnonzero(np.append(True, days[1:] != days[:-1]))
    drawn, free_from = list[str](), 0.0
    for n in begins:
        x = float(at[n])
        if len(begins) <= MOST_LINES:
            drawn.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{EQUITY_HEIGHT - BOTTOM}"/>')
        if free_from <= x < WIDTH - DATE_WIDTH:
            day, free_from = np.datetime64(int(days[n]), "D"), x + 1.5 * DATE_WIDTH
            drawn.append(f'<text x="{x:.1f}" y="{EQUITY_HEIGHT - 8}">{day}</text>')
    return drawn


def _trade_mark(mark: TradeMark, points: Sequence[EquityPoint], at: Floats, scale: _Scale) -> str:
    """A triangle where a trade closed, up for a long, which says what it was."""
    trade = mark.booked.trade
    bars = [point.bar for point in points]
    x = float(at[min(int(np.searchsorted(bars, mark.bar)), len(points) - 1)])
    y, up = scale.y(mark.balance), 1 if trade.quantity > 0 else -1
    kind = "won" if trade.pnl > 0 else "lost"
    told = (
        f"trade {mark.booked.number}: {trade.quantity:+d}, {trade.reason}, {mark.booked.r:+.2f} R, {dollars(trade.pnl)}"
    )
    return (
        f'<path class="{kind}" d="M{x:.1f} {y - 4.5 * up:.1f}l4.5 {8 * up}h-9Z"><title>'
        f"{escape(told)}, {exchange_time(trade.exit_ns)} ET</title></path>"
    )


def _ends(points: Sequence[EquityPoint], at: Floats, scale: _Scale) -> list[str]:
    """Where an attempt ended."""
    drawn = []
    for n, point in enumerate(points):
        if point.kind == "ended":
            x, y = float(at[n]), scale.y(point.equity)
            drawn.append(
                f'<path class="end" d="M{x:.1f} {y - 7:.1f}v14"><title>attempt {point.attempt} ended at '
                f"{dollars(point.equity)}</title></path>"
            )
    return drawn


def _of_group(name: str) -> str:
    """The class of a group's colour."""
    return "group-" + name.replace(" ", "-")
