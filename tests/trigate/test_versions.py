"""The version at work, installed or not."""

import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from tests.import_graph import ROOT
from trigate import versions
from trigate.versions import UNKNOWN, code_digest, version_of

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_an_installed_package_has_its_own() -> None:
    assert version_of("numpy") == metadata.version("numpy")


def test_what_is_not_installed_is_unknown_and_no_error() -> None:
    assert version_of("no-such-distribution") == UNKNOWN


def test_a_source_tree_that_was_never_installed_knows_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)

    assert version_of.__wrapped__("trigate") == PROJECT["version"]
    assert version_of.__wrapped__("numpy") == UNKNOWN


def test_other_code_has_another_digest(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A module that changes, moves or is added; the same code has the same, wherever it lies."""
    monkeypatch.setattr(versions, "files", lambda package: tmp_path / package)
    made = tmp_path / "orchestrator" / "run.py"
    made.parent.mkdir()

    def digest(text: str) -> str:
        made.write_text(text)
        return code_digest.__wrapped__()

    assert digest("a = 1") == digest("a = 1") != digest("a = 2")
    before = digest("a = 1")
    made.rename(made.with_name("ran.py"))
    assert code_digest.__wrapped__() != before
