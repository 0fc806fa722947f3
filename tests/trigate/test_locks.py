"""One holder at a time, whose pid the others are told."""

import os
from pathlib import Path

import pytest

from trigate.errors import ResourceError
from trigate.locks import lock_in_our_name, locked_at_once, waiting_lock


def opened(path: Path) -> int:
    """A descriptor of its own, as another process has."""
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


def test_the_second_is_told_who_holds_it_and_what_to_do(tmp_path: Path) -> None:
    first, second = opened(tmp_path / ".lock"), opened(tmp_path / ".lock")
    lock_in_our_name(first, tmp_path)

    with pytest.raises(ResourceError, match=rf"locked by pid {os.getpid()}; wait for it$"):
        lock_in_our_name(second, tmp_path, remedy="wait for it")

    os.close(first)
    lock_in_our_name(second, tmp_path)
    os.close(second)


def test_without_a_remedy_the_message_ends_with_the_pid(tmp_path: Path) -> None:
    first, second = opened(tmp_path / ".lock"), opened(tmp_path / ".lock")
    lock_in_our_name(first, tmp_path)

    with pytest.raises(ResourceError, match=rf"locked by pid {os.getpid()}$"):
        lock_in_our_name(second, tmp_path)

    os.close(first)
    os.close(second)


def test_an_older_and_longer_pid_is_written_over_whole(tmp_path: Path) -> None:
    (tmp_path / ".lock").write_text("99999999999\n")
    handle = opened(tmp_path / ".lock")

    lock_in_our_name(handle, tmp_path)

    assert (tmp_path / ".lock").read_text() == f"{os.getpid()}\n"
    os.close(handle)


def test_a_lock_that_is_held_is_not_waited_for(tmp_path: Path) -> None:
    other = opened(tmp_path / ".lock")

    with waiting_lock(tmp_path / ".lock"):
        assert not locked_at_once(other)

    assert locked_at_once(other)
    os.close(other)
