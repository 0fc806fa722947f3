"""A file that somebody else writes: only whole lines, and a file that was cut or replaced is found out."""

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.run import growing_file
from orchestrator.run.growing_file import GrowingFile, Grown


def lines_of(grown: Grown) -> tuple[list[bytes], int, str]:
    return grown.lines, grown.first, grown.again


def test_a_line_counts_once_its_end_is_there(tmp_path: Path) -> None:
    path = tmp_path / "grows.csv"
    grows = GrowingFile(path)
    assert grows.read().lines == [], "it need not exist yet"

    path.write_bytes(b"head\none\r\ntw")
    assert lines_of(grows.read()) == ([b"head", b"one"], 1, "")
    assert grows.read().lines == []
    with path.open("ab") as file:
        file.write(b"o\nthree\n")
    assert lines_of(grows.read()) == ([b"two", b"three"], 3, "")


def test_what_stood_there_at_the_start_may_be_known_already(tmp_path: Path) -> None:
    path = tmp_path / "grows.csv"
    path.write_bytes(b"head\none\n")
    grows = GrowingFile(path)

    assert grows.read().known
    path.write_bytes(b"head\none\ntwo\n")
    assert not grows.read().known


@pytest.mark.parametrize(
    ("content", "again"),
    [(b"head\none\n", "truncated"), (b"", "truncated"), (b"head\nONE\ntwo\nthree\n", "replaced")],
)
def test_another_content_is_read_from_its_start(tmp_path: Path, content: bytes, again: str) -> None:
    path = tmp_path / "grows.csv"
    path.write_bytes(b"head\none\ntwo\n")
    grows = GrowingFile(path)
    grows.read()

    path.write_bytes(content)
    found = grows.read()

    assert (found.again, found.first, found.known) == (again, 1, True)
    assert found.lines == content.splitlines()


def test_another_file_in_its_place_is_read_from_its_start(tmp_path: Path) -> None:
    """Also where it holds the same lines: whoever writes now may write on otherwise."""
    path, other = tmp_path / "grows.csv", tmp_path / "other.csv"
    for one in (path, other):
        one.write_bytes(b"head\none\n")
    grows = GrowingFile(path)
    grows.read()

    other.replace(path)

    assert lines_of(grows.read()) == ([b"head", b"one"], 1, "replaced")


def test_a_large_file_comes_in_pieces_and_an_endless_line_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growing_file, "_AT_ONCE", 8)
    path = tmp_path / "grows.csv"
    path.write_bytes(b"one\ntwo\nthree\n" + b"x" * 12 + b"\n")
    grows, found = GrowingFile(path), list[bytes]()

    while (grown := grows.read()).lines:
        assert grown.first == len(found) + 1
        found += grown.lines

    assert found == [b"one", b"two", b"three", b"xxxxxxxx", b"xxxx"]


@pytest.mark.parametrize(
    ("away", "cause"),
    [
        (lambda path: path.unlink(), "No such file or directory"),
        (lambda path: (path.unlink(), path.mkdir()), "Is a dir"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_of_once_and_when_it_can_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, away: Callable[[Path], object], cause: str
) -> None:
    path, told = tmp_path / "grows.csv", list[str]()
    path.write_bytes(b"head\n")
    grows = GrowingFile(path, told.append)
    grows.read()
    away(path)
    assert grows.read().lines == [] and told == [], "one that is replaced is away for a moment"

    monkeypatch.setattr(growing_file, "GONE_S", 0.0)
    again = GrowingFile(path, told.append)
    for _ in range(3):
        assert again.read().lines == []
    assert len(told) == 1 and told[0].startswith(f"feed {path}: cannot be read: {cause}")
    if path.is_dir():
        path.rmdir()
    path.write_bytes(b"head\n")

    assert again.read().lines == [b"head"] and told[1:] == [f"feed {path}: is read again"]
