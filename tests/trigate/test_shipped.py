"""A person's own files come first, then those that ship."""

from pathlib import Path

import pytest

from trigate.shipped import found_file, found_files, shipped_root
from trigate.toml_config import read_toml

PACK = Path("configs/rules/plain_static.toml")


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_ships_is_found_from_any_folder(elsewhere: Path) -> None:
    assert found_file(PACK) == shipped_root() / PACK
    assert "name" in read_toml(PACK)


def test_an_own_file_comes_first(elsewhere: Path) -> None:
    (elsewhere / PACK).parent.mkdir(parents=True)
    (elsewhere / PACK).write_text("name = 'mine'\n")

    assert found_file(PACK) == PACK
    assert read_toml(PACK) == {"name": "mine"}


def test_own_and_shipped_files_are_listed_together_one_of_each_name(elsewhere: Path) -> None:
    folder = elsewhere / "configs/rules"
    folder.mkdir(parents=True)
    for name in ("plain_static.toml", "mine.toml"):
        (folder / name).write_text("name = 'mine'\n")

    paths = {path.name: path for path in found_files(Path("configs/rules"), "*.toml")}

    assert paths["plain_static.toml"] == Path("configs/rules/plain_static.toml")
    assert paths["mine.toml"] == Path("configs/rules/mine.toml")
    assert paths["apex_legacy.toml"] == shipped_root() / "configs/rules/apex_legacy.toml"


@pytest.mark.parametrize("path", ["runs/x.toml", "/configs/rules/plain_static.toml", "configs/none.toml"])
def test_nothing_else_is_looked_for_there(elsewhere: Path, path: str) -> None:
    assert found_file(Path(path)) == Path(path)


def test_another_folder_is_listed_alone(elsewhere: Path) -> None:
    (elsewhere / "own").mkdir()

    assert found_files(Path("own"), "*.toml") == []
