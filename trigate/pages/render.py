"""Fills a page's template: one HTML file that needs no network."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from plotly.offline import get_plotlyjs

Filters = Mapping[str, Callable[..., Any]]


def rendered(package: str, template: str, values: Mapping[str, Any], *, filters: Filters = MappingProxyType({})) -> str:
    """The whole page.

    Args:
        package: dotted name of the package whose folder ``templates`` holds the page's template, which extends
            ``base.html.j2``, or ``base_with_plots.html.j2`` if it shows plots.
        template: its file name.
        values: what it shows; a name that is missing is an error.
        filters: how it writes figures.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("trigate.pages")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(filters)
    # Megabytes: read only by a page that shows plots.
    environment.globals["plotly_js"] = get_plotlyjs
    return environment.get_template(template).render(values)
