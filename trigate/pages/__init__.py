"""One look for every page: the base template, the stylesheet, the Jinja environment and the settings of plots."""
