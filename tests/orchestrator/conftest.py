"""Lets these tests, and the processes that they start, import the workers beside them."""

import sys
from pathlib import Path

import pytest

HERE = str(Path(__file__).parent)
if HERE not in sys.path:
    sys.path.insert(0, HERE)


@pytest.fixture
def importable_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put this folder on the module path of child processes."""
    monkeypatch.setenv("PYTHONPATH", HERE)
