"""The journal keeps what it confirmed, tells damage from a torn tail, and replays to the same bytes."""

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.journal.journal import (
    DamagedJournalError,
    Journal,
    JournalMismatch,
    read_journal,
    verify_journal,
)
from tests.orchestrator.journal.journal_files import EVENTS, replace, write
from trigate.errors import ResourceError

WRITER = Path(__file__).with_name("journal_writer.py")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "journal.jsonl"


def test_records_come_back_as_they_were_written(path: Path) -> None:
    write(path)

    with Journal.open(path) as journal:
        found = [(r.type, r.payload, r.synced) for r in journal.records]

    assert found == EVENTS
    assert [r.number for r in read_journal(path)] == [1, 2, 3, 4, 5, 6, 7]


def test_a_line_is_a_checksum_and_canonical_json_chained_to_the_line_before(path: Path) -> None:
    """Line 4 follows the durable record 3; its p is the digest of line 3's body; the last digest is the head."""
    lines = write(path).splitlines()
    body = json.loads(lines[3][9:])
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"))

    assert lines[3] == b"%08x %s" % (zlib.crc32(canonical.encode()), canonical.encode())
    assert (body["n"], body["t"], body["d"], body["s"]) == (4, "bar", 0, 3)
    assert body["p"] == hashlib.blake2b(lines[2][9:], digest_size=16).hexdigest()
    assert verify_journal(path).chain.head == hashlib.blake2b(lines[-1][9:], digest_size=16).hexdigest()


@pytest.mark.parametrize(
    "value", [0.5, float("nan"), 1 << 63, (1, 2), {1: 2}, b"x", {"deep": [{"er": 1.0}]}, Path("x")]
)
def test_only_what_repeats_exactly_is_journalled(path: Path, value: object) -> None:
    with Journal.open(path) as journal, pytest.raises(TypeError, match=r"record\.x"):
        journal.append("bar", {"x": value})

    assert path.read_bytes() == b""


@pytest.mark.parametrize("payload", [{"n": 1}, {"s": 0}, {"long": "x" * (1 << 20)}])
def test_the_journals_own_keys_and_endless_records_are_refused(path: Path, payload: dict[str, Any]) -> None:
    with Journal.open(path) as journal, pytest.raises(ValueError, match=r"own keys|over the limit"):
        journal.append("bar", payload)


def test_a_journal_cut_at_any_byte_opens_as_a_prefix_and_continues_to_the_same_bytes(path: Path) -> None:
    whole = write(path)
    lines = whole.splitlines(keepends=True)
    assert len(whole) > 600

    for cut in range(len(whole)):
        replace(path, whole[:cut])
        with Journal.open(path) as journal:
            kept = list(journal.records)
        prefix = b"".join(lines[: len(kept)])
        assert path.read_bytes() == prefix
        assert len(prefix) <= cut < len(prefix) + len(lines[len(kept)])
        if cut % 50 == 0:
            assert write(path) == whole


def test_no_changed_byte_passes_unseen(path: Path) -> None:
    """Records 1 to 5 are proven durable by the mark in record 6: damage there is refused, later damage is cut off."""
    whole = write(path)
    confirmed = len(b"".join(whole.splitlines(keepends=True)[:5]))
    outcomes = {"refused": 0, "cut": 0}

    for place in range(len(whole)):
        for flip in (0x01, 0x20, 0xFF):
            damaged = bytearray(whole)
            damaged[place] ^= flip
            replace(path, bytes(damaged))
            try:
                found = verify_journal(path)
            except DamagedJournalError:
                outcomes["refused"] += 1
                assert place < confirmed
            else:
                outcomes["cut"] += 1
                assert confirmed <= found.end <= place

    assert outcomes == {"refused": 3 * confirmed, "cut": 3 * (len(whole) - confirmed)}


def test_damage_to_confirmed_records_is_named_and_nothing_is_changed(path: Path) -> None:
    whole = write(path)
    second = whole.index(b"\n") + 1
    damaged = whole.replace(b"71234", b"71233")
    replace(path, damaged)

    with pytest.raises(DamagedJournalError, match=f"record 2 at byte {second} is damaged.* record 5 was") as refused:
        Journal.open(path)

    assert refused.value.exit_code == 3
    assert path.read_bytes() == damaged


def test_sync_makes_durable_what_was_written_and_tells_of_an_earlier_failure(path: Path) -> None:
    with Journal.open(path) as journal:
        journal.append("bar", {}, sync=False)
        journal.sync()
        journal.close()
        with pytest.raises(ResourceError, match="closed"):
            journal.sync()


@pytest.mark.parametrize("tail", [b"\0" * 5000, b"00000000 {}\n", b'12345678 {"n":8', b"\n\n"])
def test_a_torn_tail_is_cut(path: Path, tail: bytes) -> None:
    whole = write(path)
    replace(path, whole + tail)

    Journal.open(path).close()

    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    "edit",
    [
        lambda lines: [*lines[:2], *lines[3:]],
        lambda lines: [*lines[:2], lines[3], lines[2], *lines[4:]],
        lambda lines: [*lines[:2], lines[1], *lines[2:]],
    ],
    ids=["removed", "swapped", "repeated"],
)
def test_the_chain_shows_whole_lines_that_are_out_of_place(
    path: Path, edit: Callable[[list[bytes]], list[bytes]]
) -> None:
    lines = write(path).splitlines(keepends=True)
    replace(path, b"".join(edit(lines)))

    with pytest.raises(DamagedJournalError, match="record 3 at byte"):
        verify_journal(path)


def test_records_from_a_wrong_synced_mark_on_do_not_count_though_every_checksum_is_right(path: Path) -> None:
    """Record 6 follows the durable record 5; here it says 3, and the record after it is chained to it anew."""
    lines = write(path).splitlines()
    for number in (6, 7):
        body = json.loads(lines[number - 1][9:]) | {
            "p": hashlib.blake2b(lines[number - 2][9:], digest_size=16).hexdigest()
        }
        content = json.dumps(body | ({"s": 3} if number == 6 else {}), sort_keys=True, separators=(",", ":")).encode()
        lines[number - 1] = b"%08x %s" % (zlib.crc32(content), content)
    replace(path, b"".join(line + b"\n" for line in lines))

    assert verify_journal(path).chain.length == 5


@pytest.mark.parametrize(
    ("canonical", "other"),
    [
        (b'"close":71234', b'"close":71234.0'),
        (b'"close":71234', b'"close": 71234'),
        (b'"close":71234', b'"close":1,"close":71234'),
        (b'"d":0', b'"d":false'),
    ],
)
def test_only_canonical_json_counts_even_with_the_right_checksum(path: Path, canonical: bytes, other: bytes) -> None:
    lines = write(path).splitlines()
    body = lines[1][9:].replace(canonical, other, 1)
    lines[1] = b"%08x %s" % (zlib.crc32(body), body)
    replace(path, b"\n".join(lines) + b"\n")

    assert body not in write(path.with_name("whole.jsonl"))
    with pytest.raises(DamagedJournalError, match="record 2 at byte"):
        verify_journal(path)


def test_folder_and_files_are_for_their_owner_alone(path: Path) -> None:
    write(path)

    modes = [entry.stat().st_mode & 0o777 for entry in (path.parent, *sorted(path.parent.iterdir()))]

    assert modes == [0o700, 0o600, 0o600]


def test_a_folder_that_others_can_enter_is_refused(path: Path) -> None:
    path.parent.mkdir(mode=0o755)

    with pytest.raises(ResourceError, match="0700"):
        Journal.open(path)


def test_a_file_that_others_can_read_is_refused(path: Path) -> None:
    write(path)
    path.chmod(0o644)

    with pytest.raises(ResourceError, match="chmod 600"):
        Journal.open(path)


@pytest.mark.parametrize("make", ["symlink", "fifo", "folder"])
def test_only_a_plain_file_is_a_journal(path: Path, make: str) -> None:
    path.parent.mkdir(mode=0o700)
    if make == "symlink":
        path.symlink_to("/etc/passwd")
    elif make == "fifo":
        os.mkfifo(path, 0o600)
    else:
        path.mkdir()

    with pytest.raises(ResourceError, match=r"journal\.jsonl"):
        Journal.open(path)


def test_a_second_opener_is_told_who_holds_it(path: Path) -> None:
    with Journal.open(path), pytest.raises(ResourceError, match=f"locked by pid {os.getpid()}$") as refused:
        Journal.open(path)

    assert refused.value.exit_code == 7
    Journal.open(path).close()


def test_replay_compares_and_writes_nothing_until_the_record_ends(path: Path) -> None:
    whole = write(path)

    with Journal.open(path) as journal:
        seen = []
        while recorded := journal.next_recorded():
            seen.append(journal.append(recorded.type, recorded.payload, sync=recorded.synced))
        replayed_head = journal.head
        during = path.read_bytes()
        journal.append("bar", {"close": 1})

    assert [record.type for record in seen] == [type_ for type_, _, _ in EVENTS]
    assert replayed_head == seen[-1].digest
    assert during == whole
    assert path.read_bytes().startswith(whole)
    assert len(list(read_journal(path))) == 8


def test_the_next_recorded_record_waits_until_it_is_appended(path: Path) -> None:
    write(path)

    with Journal.open(path) as journal:
        first, again = journal.next_recorded(), journal.next_recorded()

        assert first is not None
        assert first == again
        assert (first.number, first.type, journal.replaying, journal.length) == (1, "run_started", True, 0)


@pytest.mark.parametrize(
    ("type_", "payload", "sync", "said"),
    [
        ("bar", {"close": 71235}, False, "record 2 was recorded as 'bar' with 'close' = 71234, now it is 71235"),
        ("filled", {"close": 71234}, False, "record 2 was recorded as 'bar', now it comes out as 'filled'"),
        ("bar", {"close": 71234, "more": None}, False, "'more' = absent, now it is null"),
        ("bar", {"close": True}, False, "'close' = 71234, now it is true"),
        ("bar", {"close": 71234}, True, "'d' = 0, now it is 1"),
    ],
)
def test_a_record_that_comes_out_differently_stops_the_replay(
    path: Path, type_: str, payload: dict[str, Any], sync: bool, said: str
) -> None:
    whole = write(path, [("run_started", {}, True), ("bar", {"close": 71234}, False)])

    with Journal.open(path) as journal:
        journal.append("run_started", {}, sync=True)
        with pytest.raises(JournalMismatch, match=said) as mismatch:
            journal.append(type_, payload, sync=sync)

    assert mismatch.value.exit_code == 1
    assert path.read_bytes() == whole


def test_true_is_not_one_in_a_replay(path: Path) -> None:
    write(path, [("bar", {"close": 1}, False)])

    with Journal.open(path) as journal, pytest.raises(JournalMismatch):
        journal.append("bar", {"close": True})


def test_a_closed_journal_takes_nothing(path: Path) -> None:
    journal = Journal.open(path)
    journal.close()
    journal.close()

    with pytest.raises(ResourceError, match="closed"):
        journal.append("bar", {})


def run_writer(path: Path, count: int, pause_s: float = 0.0) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, str(WRITER), str(path), str(count), str(pause_s)])


@pytest.mark.process
def test_killing_the_writer_again_and_again_leaves_the_bytes_of_one_that_was_not(tmp_path: Path) -> None:
    """Ten kills after 0 to 60 ms of writing; the eleventh process finishes."""
    alone, killed = tmp_path / "alone" / "journal.jsonl", tmp_path / "killed" / "journal.jsonl"
    assert run_writer(alone, 300).wait(60) == 0
    wait = random.Random(7)
    sizes = []

    for _ in range(10):
        before = killed.stat().st_size if killed.exists() else 0
        writer = run_writer(killed, 300, 0.002)
        until = time.monotonic() + 20
        while not (killed.exists() and killed.stat().st_size > before) and time.monotonic() < until:
            time.sleep(0.002)
        time.sleep(wait.uniform(0, 0.06))
        writer.kill()
        writer.wait()
        sizes.append(killed.stat().st_size)
        assert verify_journal(killed).chain.length > 0
    finished = run_writer(killed, 300).wait(60)

    assert finished == 0
    assert sizes == sorted(sizes)
    assert killed.read_bytes() == alone.read_bytes()


def strace(path: Path, fault: str) -> "subprocess.CompletedProcess[bytes]":
    """Run the writer of 12 records under strace with a fault injected into its journal's system calls."""
    command = ["strace", "-f", "-qq", "-o", str(path.parent.parent / "trace"), "-P", str(path), "-e", f"inject={fault}"]
    return subprocess.run([*command, sys.executable, str(WRITER), str(path), "12"], capture_output=True, timeout=60)


needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


@pytest.mark.process
@needs_strace
@pytest.mark.parametrize(
    ("fault", "survives"),
    [
        ("write:error=ENOSPC:when=3", 2),
        ("write:error=EIO:when=1", 0),
        ("write:retval=5:when=4", 3),
        ("fdatasync:error=EIO:when=2", 5),
        ("fdatasync:error=EIO:when=3", 10),
    ],
)
def test_the_first_disk_failure_ends_the_writer_with_7(tmp_path: Path, fault: str, survives: int) -> None:
    """The records before it stay (fdatasync 1 is that of open, 2 of record 5, 3 of record 10); a rerun finishes."""
    path, alone = tmp_path / "run" / "journal.jsonl", tmp_path / "alone" / "journal.jsonl"
    path.parent.mkdir(mode=0o700)

    failed = strace(path, fault)
    left = verify_journal(path).chain.length
    rerun = [run_writer(p, 12).wait(60) for p in (path, alone)]

    assert failed.returncode == 7, failed.stderr
    assert b"journal.jsonl: record" in failed.stderr
    assert left == survives
    assert rerun == [0, 0]
    assert path.read_bytes() == alone.read_bytes()


@pytest.mark.process
@needs_strace
@pytest.mark.parametrize("call", ["write:signal=KILL:when=6", "fdatasync:signal=KILL:when=2"])
def test_death_inside_a_system_call_changes_no_byte(tmp_path: Path, call: str) -> None:
    path, alone = tmp_path / "run" / "journal.jsonl", tmp_path / "alone" / "journal.jsonl"
    path.parent.mkdir(mode=0o700)

    died = strace(path, call)
    rerun = [run_writer(p, 12).wait(60) for p in (path, alone)]

    assert died.returncode != 0
    assert rerun == [0, 0]
    assert path.read_bytes() == alone.read_bytes()
