"""The version at work, installed or not."""

import tomllib
from importlib import metadata

import pytest

from tests.import_graph import ROOT
from trigate.versions import UNKNOWN, version_of

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_an_installed_package_has_its_own() -> None:
    assert version_of("numpy") == metadata.version("numpy")


def test_what_is_not_installed_is_unknown_and_no_error() -> None:
    assert version_of("no-such-distribution") == UNKNOWN


def test_a_source_tree_that_was_never_installed_knows_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)

    assert version_of("trigate") == PROJECT["version"]
    assert version_of("numpy") == UNKNOWN
