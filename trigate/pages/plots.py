"""How plots look: colours, and a figure as a piece of HTML for a page that holds plotly.js."""

import plotly.graph_objects as go
from markupsafe import escape

INK, BLUE, GREEN, RED, GREY, AMBER = "#1f2933", "#2563a8", "#1a7f4b", "#b42318", "#9aa5b1", "#b7791f"
BAND = "rgba(37,99,168,0.18)"
_CONFIG = {"displaylogo": False, "responsive": True, "modeBarButtons": [["zoom2d", "pan2d", "resetScale2d", "toImage"]]}


def plot_html(figure: go.Figure, name: str, *, label: str, height: int, top: int = 10) -> str:
    """The figure as HTML; ``name`` is unique on its page, ``height`` and the margin at the ``top`` are pixels.

    ``label`` is what somebody hears who does not see it.
    """
    figure.update_layout(
        template="plotly_white",
        height=height,
        margin={"l": 70, "r": 20, "t": top, "b": 50},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        font={"family": "system-ui, sans-serif", "size": 12, "color": INK},
        hovermode="closest",
    )
    # The lowest label beside a plot and the first one under it do not meet.
    figure.update_xaxes(ticks="outside", ticklen=6, tickcolor="rgba(0,0,0,0)")
    html = figure.to_html(full_html=False, include_plotlyjs=False, div_id=f"plot-{name}", config=_CONFIG)
    return f'<div role="figure" aria-label="{escape(label)}">{html}</div>'
