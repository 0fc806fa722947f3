"""A file is the old one or the new one, and a failing disk is one clear error."""

import errno
import os
from pathlib import Path

import pytest

from trigate.errors import ResourceError
from trigate.whole_files import disk_faults, read_faults, whole_file, write_whole


def test_text_and_bytes_replace_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"

    write_whole(path, "före\n")
    write_whole(path, b"after\n")

    assert path.read_bytes() == b"after\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_can_be_its_owners_alone_also_where_an_open_one_was(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    path.chmod(0o644)

    write_whole(path, "new", mode=0o600)

    assert path.stat().st_mode & 0o777 == 0o600


def test_text_is_utf8(tmp_path: Path) -> None:
    write_whole(tmp_path / "a.txt", "é")

    assert (tmp_path / "a.txt").read_bytes() == b"\xc3\xa9"


def test_what_fails_half_way_leaves_the_old_file_and_no_scratch(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_whole(path, "old")

    with pytest.raises(ValueError, match="half way"), whole_file(path) as scratch:
        scratch.write_text("ne")
        raise ValueError("half way")

    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_disk_that_fails_is_named_with_its_reason(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match=r"cannot write .*a\.txt: .*No such file or directory.*; make room"):
        write_whole(tmp_path / "none" / "a.txt", "text")


@pytest.mark.parametrize(
    ("number", "name", "said"),
    [
        (errno.EROFS, "runs", "Read-only file system; allow to write there, or choose another folder"),
        (errno.EACCES, "runs/x/.a.txt.7.tmp", "Permission denied; allow to write there, or choose another folder"),
        (errno.ENOSPC, None, "No space left on device; make room or choose another folder"),
        (errno.ENOENT, "world/b.csv", "No such file or directory: world/b.csv; make room or choose another folder"),
    ],
)
def test_a_reason_is_told_in_words_and_names_each_file_once(number: int, name: str | None, said: str) -> None:
    """The system adds its number and the name, which may be that of a folder above or of a scratch file."""
    with pytest.raises(ResourceError, match=f"^cannot write runs/x/a.txt: {said}$"), disk_faults(Path("runs/x/a.txt")):
        raise OSError(number, os.strerror(number), name)


def test_a_folder_in_the_files_place_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a.txt").mkdir()

    with pytest.raises(ResourceError, match=r"cannot write .*a\.txt"):
        write_whole(tmp_path / "a.txt", "text")

    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_two_writers_do_not_share_a_scratch_file(tmp_path: Path) -> None:
    with whole_file(tmp_path / "a.txt") as scratch:
        assert str(os.getpid()) in scratch.name
        scratch.write_text("x")


def test_what_a_killed_writer_left_is_swept_and_a_living_ones_is_not(tmp_path: Path) -> None:
    """A pid beyond the largest that Linux gives belongs to nobody."""
    dead, alive, other = (tmp_path / name for name in (".a.txt.4194305.tmp", f".a.txt.{os.getppid()}.tmp", ".b.1.tmp"))
    for path in (dead, alive, other):
        path.write_text("half")

    write_whole(tmp_path / "a.txt", "whole")

    assert not dead.exists() and alive.exists() and other.exists()


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    said = r"cannot read .*inner\.txt: No such file or directory"

    with pytest.raises(ResourceError, match=said), read_faults(tmp_path):
        (tmp_path / "inner.txt").read_bytes()
