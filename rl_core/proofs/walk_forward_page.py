"""Writes the page of a walk forward: one HTML file that needs no network."""

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from rl_core.proofs.folds import Fold
from rl_core.proofs.walk_forward import FoldResult, WalkResult
from trigate.pages.plots import BLUE, GREEN, GREY, INK, RED, plot_html
from trigate.pages.render import rendered

TICKS = 8  # dates on the axis


def walk_forward_page(name: str, result: WalkResult, rules: str, locked: Fold) -> str:
    """The verdict, R by session over all folds, and what each fold and seed earned; ``locked`` is the last fold."""
    rows = [(each, _fold_figures(each)) for each in result.folds]
    shown: dict[str, object] = {"name": name, "result": result, "rows": rows, "rules": rules, "locked": locked}
    shown |= {"gated": result.folds[0].fold.gate is not None, "plots": (_equity(result), _by_fold(result))}
    return rendered("rl_core.proofs", "walk_forward.html.j2", shown)


def _fold_figures(result: FoldResult) -> dict[str, str]:
    r = np.concatenate([played.trades.r for played in result.by_seed.values()])
    return {
        "trades": ", ".join(f"{len(played.trades.r)}" for played in result.by_seed.values()),
        "each": ", ".join(f"{r_of_seed:+.3f}" for r_of_seed in result.r_a_session.values()),
        "gate": f"{np.mean(list(each_on_gate.values())):+.3f}" if (each_on_gate := result.r_on_gate) else "-",
        "session": f"{np.mean(list(result.r_a_session.values())):+.3f}",
        "trade": f"{r.mean():+.3f}" if len(r) else "-",
        "taught": "-" if result.in_training is None else f"{result.in_training:+.3f}",
        "failed": ", ".join(f"{played.failed_sessions}" for played in result.by_seed.values()),
    }


def _equity(result: WalkResult) -> str:
    """Cumulated R by session: a thin line a seed, a thick one for their mean, a mark where a fold begins."""
    figure = go.Figure()
    every = [played.trades.session for each in result.folds for played in each.by_seed.values()]
    days = np.unique(np.concatenate(every))
    curves = np.array([_curve(result, seed, days) for seed in result.by_seed])
    for seed, total in zip(result.by_seed, curves, strict=True):
        figure.add_scatter(y=total, mode="lines", line={"color": GREY, "width": 1}, name=f"seed {seed}")
    if len(curves) > 1:
        figure.add_scatter(y=curves.mean(axis=0), mode="lines", line={"color": BLUE, "width": 3}, name="mean")
    for each in result.folds:
        begins = float(np.searchsorted(days, each.fold.test.first)) - 0.5
        figure.add_vline(x=begins, line={"color": INK, "dash": "dot", "width": 1})
        label = f"{each.fold.number}" + (" (locked)" if each.fold.locked else "")
        place = {"xanchor": "left", "yanchor": "bottom", "yref": "paper", "y": 1}
        figure.add_annotation(x=begins, text=label, showarrow=False, **place)
    shown = np.linspace(0, max(len(days) - 1, 0), min(len(days), TICKS)).astype(int)
    dates = days.astype("datetime64[D]").astype(str)
    # Sessions stand side by side: nights and weekends take no width.
    figure.update_xaxes(tickvals=shown, ticktext=dates[shown], title="session with a trade")
    figure.update_yaxes(title="R, cumulated")
    figure.update_layout(showlegend=False)
    return plot_html(
        figure,
        "equity",
        label="R of every closed trade, added up session by session, for each seed and their mean",
        height=340,
        top=34,
    )


def _curve(result: WalkResult, seed: int, days: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Cumulated R of ``seed`` after each of ``days`` [D]."""
    trades = [each.by_seed[seed].trades for each in result.folds]
    r, session = np.concatenate([t.r for t in trades]), np.concatenate([t.session for t in trades])
    return np.cumsum(np.bincount(np.searchsorted(days, session), weights=r, minlength=len(days)))


def _by_fold(result: WalkResult) -> str:
    figure = go.Figure()
    numbers = [f"fold {each.fold.number}" for each in result.folds]
    means = [float(np.mean(list(each.r_a_session.values()))) for each in result.folds]
    figure.add_bar(x=numbers, y=means, marker={"color": [GREEN if mean > 0 else RED for mean in means]}, opacity=0.35)
    for seed in result.by_seed:
        earned = [each.r_a_session[seed] for each in result.folds]
        figure.add_scatter(x=numbers, y=earned, mode="markers", marker={"color": INK, "size": 6}, name=f"seed {seed}")
    figure.update_yaxes(title="R a session", zeroline=True)
    figure.update_layout(showlegend=False)
    return plot_html(figure, "folds", label="R a session of every fold: each seed, and their mean", height=300, top=20)
