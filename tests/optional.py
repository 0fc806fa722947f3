"""Packages that not every installation has, asked for without importing them."""

from importlib.util import find_spec

import pytest


def skip_module_without(package: str, reason: str | None = None) -> None:
    """Skip the test file that calls this unless ``package`` is installed.

    `pytest.importorskip` imports it: every worker, which collects all files, would load torch for the one that runs it.
    """
    if find_spec(package) is None:
        pytest.skip(reason or f"{package} is not installed", allow_module_level=True)
