"""Whole records that are gone: what later lines, and a manifest that knows the last one, still prove."""

import resource
from pathlib import Path

import pytest

from orchestrator.journal.journal import DamagedJournalError, Journal, KnownHead, verify_journal
from tests.orchestrator.journal.journal_files import EVENTS, replace, write
from trigate.errors import ResourceError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of a journal in a run's folder."""
    return tmp_path / "run" / "journal.jsonl"


def test_an_old_line_behind_the_damage_does_not_take_back_what_a_later_one_proved(path: Path) -> None:
    """Record 7 proves 5 records; a copy of record 2, whose mark is 1, comes after it, as from a stale sector."""
    lines = write(path).splitlines(keepends=True)
    replace(path, b"".join([*lines[:3], lines[3].replace(b"71235", b"71234"), *lines[4:], lines[1]]))

    with pytest.raises(DamagedJournalError, match=r"record 4 at byte .* record 5 was confirmed"):
        verify_journal(path)


@pytest.mark.parametrize("left", range(len(EVENTS)))
def test_whole_records_that_are_gone_from_the_end_are_missed_by_who_knows_the_last(path: Path, left: int) -> None:
    """The chain of what is left is whole: only the digest that a manifest kept can tell."""
    lines = write(path).splitlines(keepends=True)
    known = KnownHead(verify_journal(path).chain.head, last=False)
    verify_journal(path, known)
    verify_journal(path, known._replace(last=True))
    shorter = b"".join(lines[:left])
    replace(path, shorter)
    verify_journal(path)

    for last in (False, True):
        with pytest.raises(DamagedJournalError, match=f"its {left} whole records do not .* {known.digest}"):
            Journal.open(path, known._replace(last=last))

    assert path.read_bytes() == shorter


def test_records_after_a_known_one_are_right_only_where_it_is_not_the_last(path: Path) -> None:
    write(path, EVENTS[:3])
    known = KnownHead(verify_journal(path).chain.head, last=False)
    path.unlink()
    write(path)

    verify_journal(path, known)
    with pytest.raises(DamagedJournalError, match="do not end with"):
        verify_journal(path, known._replace(last=True))


def test_a_record_that_the_disk_takes_in_part_is_the_last(path: Path) -> None:
    """The file may grow by five bytes: what was torn is cut by the next start, and nothing was lost."""
    write(path)
    with Journal.open(path) as journal:
        for event in EVENTS:
            journal.append(event[0], event[1], sync=event[2])
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 5, hard))
        try:
            with pytest.raises(ResourceError, match=r"only 5 of \d+ bytes were taken"):
                journal.append("bar", {"close": 1, "volume": 1})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        with pytest.raises(ResourceError, match="nothing is written after it"):
            journal.append("bar", {"close": 1, "volume": 1})

    with Journal.open(path) as journal:
        assert [(r.type, r.payload, r.synced) for r in journal.records] == EVENTS
