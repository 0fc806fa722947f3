"""Writes the page of a combinatorial cross-validation: one HTML file that needs no network."""

from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go

from rl_core.bars.card import DataCard
from rl_core.proofs.combinatorial import CombinatorialRules, paths_over
from rl_core.proofs.combinatorial_walk import PathsResult, SplitResult
from trigate.pages.plots import BLUE, GREEN, GREY, INK, RED, plot_html
from trigate.pages.render import rendered

TICKS = 8  # dates on the axis
STRONGEST = 60  # percent of colour in the cell that earned or lost most


class Cell(NamedTuple):
    """One group in one split."""

    r_a_session: float  # mean over seeds
    by_seed: str
    trades: int
    path: int  # from 1, that this judgement lies on
    tint: int  # percent of colour


class MatrixRow(NamedTuple):
    """One split, over all groups; None where its policies were trained."""

    split: int
    cells: list[Cell | None]


def combinatorial_page(card: DataCard, result: PathsResult, rules: CombinatorialRules, how: str) -> str:
    """The verdict, the distribution of the paths, every judgement by split and group, and what the bars are.

    Args:
        card: of the bars.
        result: all paths.
        rules: how sessions were cut.
        how: the same as a sentence.
    """
    shown = {
        "card": card,
        "result": result,
        "how": how,
        "groups": _groups(result),
        "matrix": _matrix(result, rules),
        "paths": list(zip(result.paths.mean(axis=1), result.paths, result.sharpe, strict=True)),
        "plots": (_paths(result), _curves(result)),
    }
    filters = {"count": lambda value: f"{value:,}", "r": lambda value: f"{value:+.3f}"}
    return rendered("rl_core.proofs", "combinatorial.html.j2", shown, filters=filters)


def _groups(result: PathsResult) -> list[str]:
    """The sessions of each group."""
    labels = {group.number: group.sessions.label for each in result.done for group in each.split.test}
    return [labels[number] for number in sorted(labels)]


def _matrix(result: PathsResult, rules: CombinatorialRules) -> list[MatrixRow]:
    path_of = {
        (place, group): path
        for path, chosen in enumerate(paths_over([each.split for each in result.done], rules), 1)
        for group, place in enumerate(chosen)
    }
    judged = [_judged(each) for each in result.done]
    most = max(abs(np.mean(r)) for row in judged for r, _ in row.values()) or 1.0
    rows = []
    for place, (each, by_group) in enumerate(zip(result.done, judged, strict=True)):
        cells: list[Cell | None] = [None] * rules.groups
        for group, (r, trades) in by_group.items():
            mean = float(np.mean(r))
            said, tint = ", ".join(f"{of_seed:+.2f}" for of_seed in r), round(STRONGEST * abs(mean) / most)
            cells[group] = Cell(mean, said, trades, path_of[place, group], tint)
        rows.append(MatrixRow(each.split.number, cells))
    return rows


def _judged(each: SplitResult) -> dict[int, tuple[list[float], int]]:
    """By group, R a session of every seed, and the trades of all."""
    found = {}
    for at, group in enumerate(each.split.test):
        played = [of_seed[at] for of_seed in each.by_seed.values()]
        r = [float(one.trades.r.sum()) / one.sessions for one in played]
        found[group.number] = (r, sum(len(one.trades.r) for one in played))
    return found


def _paths(result: PathsResult) -> str:
    """R a session of each path, from the worst to the best: a bar for the mean of its seeds, a dot for each."""
    means = result.paths.mean(axis=1)
    order = np.argsort(means, kind="stable")
    names = [f"path {path + 1}" for path in order]
    figure = go.Figure()
    colours = [GREEN if means[path] > 0 else RED for path in order]
    figure.add_bar(x=names, y=means[order], marker={"color": colours}, opacity=0.35)
    for column in range(result.paths.shape[1]):
        dots = {"color": INK, "size": 6}
        figure.add_scatter(x=names, y=result.paths[order, column], mode="markers", marker=dots, name=f"seed {column}")
    median = float(np.median(means))
    figure.add_hline(y=median, line={"color": BLUE, "dash": "dash", "width": 1}, annotation_text="median")
    figure.update_yaxes(title="R a session", zeroline=True)
    figure.update_layout(showlegend=False)
    return plot_html(figure, "paths", label="R a session of every path", height=300, top=24)


def _curves(result: PathsResult) -> str:
    """Cumulated R over the sessions: a thin line a path, a thick one for the mean of all."""
    totals = np.cumsum(result.by_session.mean(axis=2), axis=1)  # [P, T]
    figure = go.Figure()
    for number, total in enumerate(totals, 1):
        figure.add_scatter(y=total, mode="lines", line={"color": GREY, "width": 1}, name=f"path {number}")
    if len(totals) > 1:
        figure.add_scatter(y=totals.mean(axis=0), mode="lines", line={"color": BLUE, "width": 3}, name="mean")
    days = result.days
    first = {group.number: group.sessions.first for each in result.done for group in each.split.test}
    for number, begins in sorted(first.items()):
        at = float(np.searchsorted(days, begins)) - 0.5
        figure.add_vline(x=at, line={"color": INK, "dash": "dot", "width": 1})
        place = {"xanchor": "left", "yanchor": "bottom", "yref": "paper", "y": 1}
        figure.add_annotation(x=at, text=f"{number + 1}", showarrow=False, **place)
    shown = np.linspace(0, max(len(days) - 1, 0), min(len(days), TICKS)).astype(int)
    figure.update_xaxes(tickvals=shown, ticktext=days.astype("datetime64[D]").astype(str)[shown], title="session")
    figure.update_yaxes(title="R, cumulated")
    figure.update_layout(showlegend=False)
    return plot_html(figure, "curves", label="R added up session by session, for every path", height=340, top=34)
