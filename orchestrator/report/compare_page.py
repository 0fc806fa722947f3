"""Two runs side by side as one HTML file that needs no network, in the look of a run's page."""

from collections.abc import Sequence
from itertools import accumulate
from math import ceil, floor
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator.report.charts import round_step
from orchestrator.report.compare import Comparison, comparison_row
from rl_core.statistics.bootstrap import Interval
from trigate.pages.render import rendered
from trigate.whole_files import write_whole

WIDTH, HEIGHT, LEFT, RIGHT, MARGIN = 1100, 300, 60, 16, 26
LEVELS = 5
DOLLARS = ("dollars_a_session", "max_drawdown_dollars")
SHARES = ("win_rate",)
COUNTS = ("sessions_played", "trades", "attempts_passed", "attempts_opened")


class Line(NamedTuple):
    """One curve of the drawing."""

    name: str
    points: str  # as SVG has them


class Level(NamedTuple):
    """One grid line."""

    y: float
    text: str


class Drawing(NamedTuple):
    """R added up over the sessions that both played."""

    lines: list[Line]
    levels: list[Level]
    dates: list[tuple[float, str]]


def write_compare_page(found: Comparison, path: Path) -> None:
    """Write the page to ``path``; ResourceError if the disk refuses."""
    write_whole(path, compare_page(found))


def compare_page(found: Comparison) -> str:
    """The whole file: the word, both paired intervals, the figures side by side, R session by session, what differs."""
    row = comparison_row(found)
    first, second = row["runs"]
    shown = {
        "word": found.word,
        "shared": found.shared,
        "names": [run.folder.name for run in found.runs],
        "verdict": {"the first": "first", "the second": "second"}.get(found.word, "open"),
        "intervals": [
            ("R a session", _interval(found.r, "R")),
            ("dollars a session", _interval(found.dollars, "$")),
        ],
        "figures": [(_title(name), _figure(name, first[name]), _figure(name, second[name])) for name in _names(first)],
        "drawing": _drawing(found) if len(found.shared) > 1 else None,
        "differs": [(name, _text(a), _text(b)) for name, (a, b) in found.differs.items()],
        "size": (WIDTH, HEIGHT, LEFT, WIDTH - RIGHT),
    }
    return rendered("orchestrator.report", "compare.html.j2", shown)


def _names(figures: dict[str, Any]) -> list[str]:
    return [name for name in figures if name != "run"]


def _title(name: str) -> str:
    return {"mean_r": "mean R a trade", "r_a_session": "R a session", "max_drawdown_dollars": "deepest drawdown"}.get(
        name, name.replace("_", " ")
    )


def _figure(name: str, value: Any) -> str:
    if value is None:
        return "–"
    if name in DOLLARS:
        return _dollars(value)
    if name in SHARES:
        return f"{100 * value:.1f} %"
    if name in COUNTS:
        return f"{value:,}"
    return f"{value:+.3f}" if isinstance(value, float) else str(value)


def _dollars(value: float) -> str:
    return f"{'-' if value < 0 else ''}${abs(value):,.2f}"


def _interval(interval: Interval | None, unit: str) -> dict[str, str]:
    """The mean difference and its bounds in words; where there are none, why."""
    if interval is None:
        return {"mean": "–", "bounds": "no session was played by both"}
    write = _dollars if unit == "$" else "{:+.3f} R".format
    if interval.bounds is None:
        return {"mean": write(interval.mean), "bounds": f"no interval: {interval.missing}"}
    low, high = (write(bound) for bound in interval.bounds)
    return {"mean": write(interval.mean), "bounds": f"95 %: {low} to {high}"}


def _drawing(found: Comparison) -> Drawing:
    """R of both, and of their difference, added up session by session."""
    first, second = ([run.days[day].r for day in found.shared] for run in found.runs)
    curves = [list(accumulate(each, initial=0.0)) for each in (first, second)]
    curves.append([b - a for a, b in zip(*curves, strict=True)])
    low, high = min(min(curve) for curve in curves), max(max(curve) for curve in curves)
    span = (high - low) or 1.0
    wide = (WIDTH - LEFT - RIGHT) / (len(curves[0]) - 1)

    def y(value: float) -> float:
        return MARGIN + (high - value) / span * (HEIGHT - 2 * MARGIN)

    def points(curve: Sequence[float]) -> str:
        return " ".join(f"{LEFT + n * wide:.1f},{y(value):.1f}" for n, value in enumerate(curve))

    step = round_step(span / LEVELS)
    every = max(1, len(found.shared) // 8)
    return Drawing(
        lines=[
            Line(name, points(curve)) for name, curve in zip(("first", "second", "difference"), curves, strict=True)
        ],
        levels=[Level(y(step * n), f"{step * n:+g}") for n in range(ceil(low / step), floor(high / step) + 1)],
        dates=[(LEFT + (n + 1) * wide, found.shared[n]) for n in range(0, len(found.shared) - 1, every)],
    )


def _text(value: Any) -> str:
    return "–" if value is None else str(value)
