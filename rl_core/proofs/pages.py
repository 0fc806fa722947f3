"""Writes the pages of selftest and diagnose, each one HTML file that needs no network: plotly.js is inside."""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from rl_core.proofs.ailment import Ailment
from rl_core.proofs.diagnose import Diagnosis
from rl_core.proofs.selftest import SelftestResult, WorldResult, first_reaching
from trigate.pages.plots import BAND, BLUE, GREEN, INK, RED, plot_html
from trigate.pages.render import rendered

PLOTS = {
    "p_entry_flat": "P(entry | flat): chance to enter where an entry is legal",
    "long_share": "long share of the entries taken",
    "entropy_choice": "entropy where there is a choice, nats",
    "explained_variance": "explained variance of the critic's targets",
    "learning_rate": "learning rate",
    "kl": "KL of an update, nats",
    "clip_fraction": "share of ratios clipped",
    "mean_r": "mean R of closed trades",
    "episode_return": "return of an episode, R",
    "known_entry_r": "R of the entries that the policy prefers, over all closes",
    "known_served_entries": "share of closes at which it would be served an entry",
    "known_served_longs": "long share of the entries that would be served",
    "choices": "states with a choice",
    "drawdown_r": "drawdown, R",
    "skipped_steps": "optimiser steps skipped",
    "steps_per_s": "steps per second",
}


def selftest_page(result: SelftestResult, least_share: float, seconds: float) -> str:
    """The report of a selftest."""
    rows = [(world, first_reaching(world.curve, least_share), _curve(world, least_share)) for world in result.worlds]
    return rendered(
        "rl_core.proofs",
        "selftest.html.j2",
        {"result": result, "rows": rows, "least_share": least_share, "seconds": seconds},
    )


def diagnosis_page(name: str, diagnosis: Diagnosis) -> str:
    """The report on a run: its findings first, each with the plot that shows it, then all plots."""
    blamed = {ailment.plot: ailment for ailment in diagnosis.ailments if ailment.plot is not None}
    known = [column for column in PLOTS if any(row.get(column) is not None for row in diagnosis.rows)]
    plots = {column: _column(diagnosis, column, blamed.get(column)) for column in known}
    return rendered(
        "rl_core.proofs", "diagnosis.html.j2", {"name": name, "diagnosis": diagnosis, "plots": plots, "titles": PLOTS}
    )


def _curve(world: WorldResult, least_share: float) -> str:
    steps = [look.step for look in world.curve]
    shares = [look.share for look in world.curve]
    figure = go.Figure()
    if all(share.low is not None for share in shares):
        edge = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False}
        figure.add_scatter(x=steps, y=[share.high for share in shares], **edge)
        figure.add_scatter(x=steps, y=[share.low for share in shares], fill="tonexty", fillcolor=BAND, **edge)
    figure.add_scatter(
        x=steps, y=[share.iqm for share in shares], mode="lines+markers", line={"color": BLUE}, showlegend=False
    )
    figure.add_hline(y=least_share, line={"color": RED, "dash": "dash", "width": 1}, annotation_text="limit")
    figure.add_hline(y=1, line={"color": GREEN, "dash": "dash", "width": 1}, annotation_text="optimum")
    figure.update_yaxes(rangemode="tozero")
    figure.update_yaxes(title="share of the optimum")
    figure.update_xaxes(title="steps of each seed", rangemode="tozero")
    figure.update_layout(showlegend=False)
    label = f"share of the optimum of {world.name} that each seed earned, by steps"
    name = "curve-" + "".join(c if c.isalnum() else "-" for c in world.name)
    return plot_html(figure, name, label=label, height=260, top=34)


def _column(diagnosis: Diagnosis, column: str, ailment: Ailment | None) -> str:
    figure = go.Figure()
    steps: Sequence[Any] = [row["step"] for row in diagnosis.rows]
    values = [row.get(column) for row in diagnosis.rows]
    colour = BLUE if ailment is None else RED
    figure.add_scatter(x=steps, y=values, mode="lines+markers", line={"color": colour}, marker={"size": 4})
    if ailment is not None and ailment.name not in ("frozen_schedule", "one_sided"):
        figure.add_hline(
            y=ailment.threshold,
            line={"color": INK, "dash": "dash", "width": 1},
            annotation_text="threshold",
            annotation_position="top left",
        )
    if column == "long_share":
        figure.update_yaxes(range=[-0.03, 1.03])
    figure.update_yaxes(exponentformat="power")
    figure.update_xaxes(title="steps")
    figure.update_layout(showlegend=False)
    return plot_html(figure, column, label=f"{PLOTS[column]}, by steps of the training", height=260, top=34)
