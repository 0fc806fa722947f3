"""The plots of the evaluation's report: accuracy, reliability, money and the promotion's interval over time."""

from collections.abc import Sequence

import plotly.graph_objects as go

from llm_gate.evals.report.findings import JudgementShown, PromotionStatus
from llm_gate.evals.scoring.intervals import Figure
from llm_gate.evals.scoring.scores import Score
from trigate.pages.plots import AMBER, BLUE, GREEN, GREY, INK, RED, plot_html

COLOURS = (BLUE, RED, GREEN, AMBER, "#6d28d9", "#0e7490", "#9d174d", GREY)
EARNED = {
    "r_approved": "approved",
    "r_shrunk": "shrunk, at full size",
    "r_vetoed": "vetoed, had they been taken",
    "r_gate": "with the gate",
    "r_always": "always approve",
    "r_random": "random vetoes, same rate",
    "r_rule": "three-line rule",
}


def accuracy_chart(shown: Sequence[JudgementShown]) -> str:
    """HTML of the accuracy of every answerer with its interval, against the commonest label alone."""
    figure = go.Figure()
    rows = list(reversed(shown))
    for word, colour in (("JUDGEMENT", GREEN), ("NO JUDGEMENT SHOWN", RED)):
        judgements = [one for one in rows if one.verdict.word == word]
        if judgements:
            accuracies = [one.verdict.accuracy for one in judgements]
            figure.add_scatter(
                x=[100 * (one.value or 0) for one in accuracies],
                y=[_name(one) for one in judgements],
                error_x=_bars(accuracies, 100),
                mode="markers",
                marker={"size": 9, "color": colour},
                name=word,
            )
    figure.add_scatter(
        x=[100 * one.verdict.majority for one in rows],
        y=[_name(one) for one in rows],
        mode="markers",
        marker={"symbol": "line-ns", "size": 16, "line": {"width": 2, "color": INK}},
        name="the commonest label alone",
    )
    figure.update_xaxes(title="right answers, %", range=[0, 102])
    figure.update_yaxes(categoryorder="array", categoryarray=[_name(one) for one in rows])
    return plot_html(
        figure, "accuracy", label="accuracy of every answerer, with its interval", height=120 + 26 * len(rows)
    )


def reliability_chart(scores: Sequence[Score]) -> str:
    """HTML of how often an approval was right, by the probability said; the area of a mark is its cases."""
    figure = go.Figure()
    line = {"color": GREY, "dash": "dot"}
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", line=line, name="perfectly calibrated", hoverinfo="skip")
    most = max((one.rows for score in scores for one in score.bins), default=1)
    for score, colour in zip(scores, COLOURS * 9, strict=False):
        figure.add_scatter(
            x=[one.confidence for one in score.bins],
            y=[one.observed for one in score.bins],
            mode="lines+markers",
            line={"color": colour, "width": 1},
            marker={"color": colour, "size": [6 + 16 * (one.rows / most) ** 0.5 for one in score.bins]},
            name=f"{score.answerer.name}, {score.group}",
            text=[f"{one.rows} cases" for one in score.bins],
        )
    figure.update_xaxes(title="P(approve), as the model said", range=[-0.03, 1.03])
    figure.update_yaxes(title="share where approve was right", range=[-0.05, 1.05])
    return plot_html(figure, "reliability", label="how often an approval was right, by its probability", height=430)


def money_chart(scores: Sequence[Score]) -> str:
    """HTML of what proposals earned, by what was said of them."""
    figure = go.Figure()
    for score, colour in zip(scores, COLOURS * 9, strict=False):
        names = [name for name in EARNED if score.figures[name].value is not None]
        figures = [score.figures[name] for name in names]
        figure.add_scatter(
            x=[EARNED[name] for name in names],
            y=[one.value for one in figures],
            error_y=_bars(figures, 1),
            mode="markers",
            marker={"size": 9, "color": colour},
            name=f"{score.answerer.name}, {score.split.replace('_', '-')}",
        )
    figure.add_hline(y=0, line={"color": GREY, "width": 1})
    figure.update_yaxes(title="R a proposal")
    figure.update_xaxes(categoryorder="array", categoryarray=list(EARNED.values()))
    figure.update_layout(scattermode="group", scattergap=0.6)
    return plot_html(figure, "money", label="R a proposal of every answerer, with intervals", height=430)


def promotion_chart(statuses: Sequence[PromotionStatus]) -> str:
    """HTML of each interval of the uplift, session by session."""
    figure = go.Figure()
    for status, colour in zip(statuses, COLOURS * 9, strict=False):
        history = status.promotion.history
        x = list(range(2, len(history) + 2))
        for side in (0, 1):
            figure.add_scatter(
                x=x,
                y=[ends[side] for ends in history],
                mode="lines",
                line={"color": colour, "width": 1.4},
                name=status.answerer.name,
                legendgroup=status.answerer.name,
                showlegend=side == 0,
            )
    figure.add_hline(y=0, line={"color": INK, "width": 1, "dash": "dash"})
    figure.update_yaxes(title="uplift over random vetoes, R a proposal")
    figure.update_xaxes(title="sessions seen")
    return plot_html(
        figure, "promotion", label="the interval of what the gate adds over chance, proposal by proposal", height=380
    )


def _name(one: JudgementShown) -> str:
    return f"{one.answerer.name}, {one.group}"


def _bars(figures: Sequence[Figure], scale: float) -> dict[str, object]:
    above = [scale * ((one.high if one.high is not None else one.value or 0) - (one.value or 0)) for one in figures]
    below = [scale * ((one.value or 0) - (one.low if one.low is not None else one.value or 0)) for one in figures]
    return {"type": "data", "symmetric": False, "array": above, "arrayminus": below, "thickness": 1.4}
