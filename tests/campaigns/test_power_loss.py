"""A short run of the campaign, and writers with a defect that it must find."""

import random
import shutil
from pathlib import Path

import pytest

from tests.campaigns.power_loss import Moment, Written, campaign, flip_fault, image_fault, image_of, records_of, write

needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


@pytest.mark.process
@needs_strace
def test_no_loss_of_power_takes_what_was_confirmed_and_no_flipped_bit_passes(tmp_path: Path) -> None:
    found = campaign(300, 150, seed=1, folder=tmp_path)

    assert found.violation == ""
    assert min(found.outcomes[name] for name in ("whole", "cut", "flip refused", "flip cut")) > 0
    assert found.different > 100


@pytest.fixture
def whole(tmp_path: Path) -> Written:
    """A journal whose writer confirmed every record that asked for it, and made none of them durable."""
    path = tmp_path / "run" / "journal.jsonl"
    write(path, 3)
    content, records = path.read_bytes(), records_of(3)
    last = max(number for number, (_, _, sync) in enumerate(records, 1) if sync)
    return Written(content, records, [Moment(len(content), 0, last)])


def test_a_record_that_was_confirmed_before_it_was_durable_is_missed(whole: Written, tmp_path: Path) -> None:
    """Most images of such a writer lack one; a durable journal as long loses nothing."""
    rng, path, (unsafe,) = random.Random(1), tmp_path / "run" / "journal.jsonl", whole.moments
    safe = unsafe._replace(durable=unsafe.written)

    missed = [image_fault(whole, unsafe, image_of(whole, unsafe, rng), path, None) for _ in range(20)]
    kept = [image_fault(whole, safe, image_of(whole, safe, rng), path, None) for _ in range(20)]

    assert sum(bool(fault) for fault in missed) > 10
    assert kept == [""] * 20


def test_a_record_that_nobody_wrote_is_seen(whole: Written, tmp_path: Path) -> None:
    """Half of the journal, then a whole line that follows it but is another's."""
    path, other = tmp_path / "run" / "journal.jsonl", tmp_path / "other" / "journal.jsonl"
    write(other, 4)

    fault = image_fault(whole, Moment(len(whole.content), 0, 0), other.read_bytes(), path, None)

    assert "not as they were written" in fault


def test_damage_that_is_taken_for_a_torn_tail_is_seen(whole: Written, tmp_path: Path) -> None:
    """The reader is given a journal cut before its first record, and told that one bit of its second was flipped."""
    place = whole.ends[1] + 3

    fault = flip_fault(whole, b"", [place], tmp_path / "run" / "journal.jsonl", last_known=False)

    assert fault.startswith("record 2 is damaged")
