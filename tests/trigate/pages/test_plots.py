"""A plot is a figure with words for whoever does not see it."""

import plotly.graph_objects as go

from trigate.pages.plots import plot_html


def test_a_plot_says_what_it_shows() -> None:
    """A world or a seed may be named by its user, so the words are escaped; plotly's own HTML is not."""
    html = plot_html(go.Figure(), "curve", label='share of "planted" <1.5>', height=200)

    assert html.startswith('<div role="figure" aria-label="share of &#34;planted&#34; &lt;1.5&gt;"><div ')
    assert 'id="plot-curve"' in html
