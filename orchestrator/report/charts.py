"""The two plots of the report: equity over the drawdown floor, and the ledger's results in R."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from orchestrator.report.account_book import BookedTrade, EquityPoint
from orchestrator.report.figures import GroupFigures
from orchestrator.report.formats import EXCHANGE, dollars
from trigate.pages.plots import BLUE, GREEN, GREY, RED, plot_html

GROUP_COLOURS = (BLUE, RED, "#b7791f", GREY)
BIN_R = 0.25


class TradeMark(NamedTuple):
    """Where a trade's end lies in the equity plot."""

    booked: BookedTrade
    balance: int  # cents, after it


def equity_chart(
    points: Sequence[EquityPoint], ts_ns: Sequence[int], marks: Sequence[TradeMark], target: int | None
) -> str:
    """HTML of every attempt's equity and floor; ``ts_ns`` [T] starts each bar, ``target`` in cents, if there is one."""
    figure = go.Figure()
    for attempt in sorted({point.attempt for point in points}):
        of_attempt = [point for point in points if point.attempt == attempt]
        times = _exchange_times([ts_ns[point.bar] + 60_000_000_000 for point in of_attempt])
        first = attempt == points[0].attempt
        for name, values, style in (
            ("equity", [point.equity for point in of_attempt], {"color": BLUE, "width": 1.6, "shape": "hv"}),
            (
                "drawdown floor",
                [point.floor for point in of_attempt],
                {"color": RED, "width": 1.2, "dash": "dot", "shape": "hv"},
            ),
        ):
            figure.add_scatter(
                x=times, y=_dollars(values), name=name, legendgroup=name, showlegend=first, mode="lines", line=style
            )
    if marks:
        figure.add_scatter(**_trade_markers(marks))
    if target is not None:
        figure.add_hline(y=target / 100, line={"color": GREEN, "width": 1, "dash": "dash"}, annotation_text="target")
    figure.update_yaxes(title="dollars", tickformat=",.0f")
    figure.update_xaxes(title="exchange time (ET)")
    return plot_html(figure, "equity", height=420)


def ledger_chart(groups: Sequence[GroupFigures]) -> str:
    """HTML of the share of each group's rows by result."""
    figure = go.Figure()
    shown = [group for group in groups if len(group.r)]
    top = max((float(group.r.max()) for group in shown), default=1.0)
    bottom = min((float(group.r.min()) for group in shown), default=-1.0)
    edges = np.arange(np.floor(bottom / BIN_R), np.ceil(top / BIN_R) + 1) * BIN_R
    for group, colour in zip(shown, GROUP_COLOURS, strict=False):
        counts, _ = np.histogram(group.r, edges)
        share = 100 * counts / len(group.r)
        figure.add_bar(x=edges[:-1] + BIN_R / 2, y=share, name=f"{group.name} ({len(group.r)})", marker_color=colour)
    figure.update_layout(barmode="group", bargap=0.1)
    figure.update_yaxes(title="% of the group's rows")
    figure.update_xaxes(title="result of the bracket alone, R after costs", dtick=0.5)
    return plot_html(figure, "ledger", height=300)


def _trade_markers(marks: Sequence[TradeMark]) -> dict[str, object]:
    return {
        "x": _exchange_times([mark.booked.trade.exit_ns for mark in marks]),
        "y": _dollars([mark.balance for mark in marks]),
        "mode": "markers",
        "name": "trade closed (up: long)",
        "marker": {
            "size": 7,
            "symbol": ["triangle-up" if mark.booked.trade.quantity > 0 else "triangle-down" for mark in marks],
            "color": [GREEN if mark.booked.trade.pnl > 0 else RED for mark in marks],
        },
        "text": [_hover(mark.booked) for mark in marks],
        "hovertemplate": "%{text}<extra></extra>",
    }


def _hover(booked: BookedTrade) -> str:
    trade = booked.trade
    return f"trade {booked.number}: {trade.quantity:+d}, {trade.reason}, {booked.r:+.2f} R, {dollars(trade.pnl)}"


def _dollars(cents: Sequence[int]) -> list[float]:
    return [value / 100 for value in cents]


def _exchange_times(ts_ns: Sequence[int]) -> pd.DatetimeIndex:
    # A plot has no zones: local times are handed over as if they had none.
    return pd.DatetimeIndex(np.array(ts_ns, "datetime64[ns]"), tz="UTC").tz_convert(EXCHANGE).tz_localize(None)
