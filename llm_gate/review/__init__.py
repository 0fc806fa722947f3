"""One proposal becomes one verdict."""
