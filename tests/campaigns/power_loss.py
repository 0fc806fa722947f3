"""Journals after a loss of power and after bit rot: what was confirmed is there, or the journal is refused by name.

    python -m tests.campaigns.power_loss [--images 100000] [--flips 20000] [--seed 1]

A writer under strace says which system calls it made before it confirmed a record. An image is what a disk may hold
after a loss of power at one of these moments: what fdatasync had reached; of the rest any blocks, the others zeros or
old bytes; the file as long as it was, or shorter. Every image is opened by the real reader: it must keep all that was
confirmed and nothing but whole records as they were written, and go on to the same bytes. A journal with damaged bits
must be refused, with record and byte, where a later line proves that it was on disk, and else be cut there. Prints one
JSON object; exit code 100 at the first violation.
"""

import argparse
import json
import random
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator.journal.journal import DamagedJournalError, Journal, KnownHead
from orchestrator.journal.lines import record_of

ROOT = Path(__file__).parents[2]
RECORDS = 40
SYNCED = 0.2  # share of the records that are confirmed; between them several blocks wait
BLOCKS = (64, 512, 4096)  # bytes that reach a disk together; the smallest tears lines in many places
JOURNALS = 8  # different ones
CONTINUED_EVERY = 50
_CALL = re.compile(r"^(\w+)\((\d+)<([^>]*)>.* = (\d+)$")
Opened = Callable[..., Any]


class Moment(NamedTuple):
    """After a system call."""

    written: int
    """Bytes handed to the system."""
    durable: int
    """Of them those that fdatasync has reached."""
    confirmed: int
    """Records that `append` has said to be on disk."""


class Written(NamedTuple):
    """A whole journal, and how it came to be."""

    content: bytes
    records: list[tuple[str, dict[str, Any], bool]]
    moments: list[Moment]

    @property
    def ends(self) -> list[int]:
        """Where each record ends, 0 before the first."""
        ends = [0]
        for line in self.content.splitlines(keepends=True):
            ends.append(ends[-1] + len(line))
        return ends


def records_of(seed: int) -> list[tuple[str, dict[str, Any], bool]]:
    """Records of very different lengths, few of them confirmed."""
    rng = random.Random(f"records {seed}")
    return [
        (
            rng.choice(("bar", "acted", "fill")),
            {"seq": number, "note": "é" * int(rng.expovariate(1 / 20)), "legs": [rng.randrange(9)] * rng.randrange(9)},
            rng.random() < SYNCED,
        )
        for number in range(RECORDS)
    ]


def written(seed: int, folder: Path) -> Written:
    """Write a journal in a process under strace."""
    journal, trace = folder / f"whole{seed}" / "journal.jsonl", folder / "trace"
    line = [sys.executable, "-m", "tests.campaigns.power_loss", "--write", str(journal), "--seed", str(seed)]
    strace = ["strace", "-y", "-qq", "-s", "0", "-o", str(trace), "-e", "trace=write,fdatasync"]
    subprocess.run([*strace, *line], check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
    records = records_of(seed)
    return Written(journal.read_bytes(), records, _moments(trace.read_text(), journal, records))


def _moments(trace: str, journal: Path, records: list[tuple[str, dict[str, Any], bool]]) -> list[Moment]:
    """What was where after each call; the writer tells on standard output of each record that was appended."""
    moments, appended = [Moment(0, 0, 0)], 0
    for line in trace.splitlines():
        match = _CALL.match(line)
        if match is None:
            continue
        call, handle, path, returned = match.groups()
        now = moments[-1]
        if path == str(journal) and call == "write":
            moments.append(now._replace(written=now.written + int(returned)))
        elif path == str(journal):
            moments.append(now._replace(durable=now.written))
        elif handle == "1":
            appended += 1
            if records[appended - 1][2]:
                moments.append(now._replace(confirmed=appended))
    assert appended == len(records), "the writer did not tell of every record"
    return moments


def image_of(whole: Written, moment: Moment, rng: random.Random) -> bytes:
    """One of the states that a disk may be in when power is lost at ``moment``."""
    size = moment.written if rng.random() < 0.6 else rng.randint(moment.durable, moment.written)
    image, block = bytearray(whole.content[:size]), rng.choice(BLOCKS)
    lost = rng.random()
    for begin in range(moment.durable // block * block, size, block):
        start, stop = max(begin, moment.durable), min(begin + block, size)
        if rng.random() < lost:
            image[start:stop] = _instead(whole.content[: moment.written], stop - start, rng)
    return bytes(image)


def _instead(content: bytes, length: int, rng: random.Random) -> bytes:
    """What a block holds that was not written: zeros, or bytes of an earlier place of the same file."""
    if rng.random() < 0.7:
        return bytes(length)
    place = rng.randrange(max(1, len(content) - length))
    return content[place : place + length].ljust(length, b"\0")


def image_fault(whole: Written, moment: Moment, image: bytes, path: Path, known: KnownHead | None) -> str:
    """Which promise the reader breaks for an image; "" if none."""
    path.write_bytes(image)
    try:
        with Journal.open(path, known):
            pass
    except DamagedJournalError as error:
        return f"refused after an honest loss of power: {error}"
    left = path.read_bytes()
    if left not in [whole.content[:end] for end in whole.ends[moment.confirmed :]]:
        return f"{left.count(10)} records are left of {moment.confirmed} confirmed ones, or not as they were written"
    return ""


def continued(whole: Written, path: Path) -> bytes:
    """The journal after its writer came back and wrote the rest."""
    with Journal.open(path) as journal:
        for type_, payload, sync in whole.records:
            journal.append(type_, payload, sync=sync)
    return path.read_bytes()


def damaged(content: bytes, rng: random.Random) -> tuple[bytes, list[int]]:
    """The content with one bit flipped, or a few, or a block lost; and the places that differ."""
    image = bytearray(content)
    kind = rng.random()
    if kind < 0.9:
        for _ in range(1 if kind < 0.7 else rng.randint(2, 5)):
            image[rng.randrange(len(image))] ^= 1 << rng.randrange(8)
    else:
        begin = rng.randrange(len(image) // 64) * 64
        image[begin : begin + 64] = _instead(content, len(image[begin : begin + 64]), rng)
    return bytes(image), [place for place in range(len(image)) if image[place] != content[place]]


def flip_fault(whole: Written, image: bytes, places: list[int], path: Path, *, last_known: bool) -> str:
    """Which promise the reader breaks for damaged bits; "" if none.

    ``last_known``: whoever opens it knows the digest of its last record, as a manifest of an ended run does.
    """
    if not places:
        return ""
    lines, ends = whole.content.splitlines(keepends=True), whole.ends
    hit = {next(n for n, end in enumerate(ends[1:], 1) if place < end) for place in places}
    # A newline that is gone joins its line with the next, and takes both.
    hit |= {n + 1 for n in hit if ends[n] - 1 in places and n < len(lines)}
    first = min(hit)
    proven = max((json.loads(line[9:])["s"] for n, line in enumerate(lines, 1) if n not in hit), default=0)
    known = KnownHead(record_of(lines[-1]).digest, last=True) if last_known else None
    path.write_bytes(image)
    try:
        with Journal.open(path, known):
            pass
    except DamagedJournalError as error:
        return _refusal_fault(str(error), image, path, (first, ends[first - 1], proven, last_known))
    if proven >= first or last_known:
        return f"record {first} is damaged, {proven} are proven, and it was opened"
    return "" if path.read_bytes() == whole.content[: ends[first - 1]] else "it was not cut at its first damage"


def _refusal_fault(said: str, image: bytes, path: Path, expected: tuple[int, int, int, bool]) -> str:
    first, byte, proven, last_known = expected
    if path.read_bytes() != image:
        return "a refused journal was changed"
    if proven >= first:
        named = f"record {first} at byte {byte} is damaged, though record {proven} was confirmed on disk"
        return "" if named in said else f"expected {named!r}, it said {said!r}"
    return "" if last_known and f"its {first - 1} whole records" in said else f"refused without a proof: {said}"


class Campaign(NamedTuple):
    """What was seen."""

    images: int
    different: int
    flips: int
    outcomes: dict[str, int]
    violation: str


def campaign(images: int, flips: int, seed: int, folder: Path) -> Campaign:
    """Draw and open them until one violates a promise."""
    wholes = [written(seed * 1000 + n, folder) for n in range(min(JOURNALS, 1 + images // 500))]
    path = folder / "image" / "journal.jsonl"
    path.parent.mkdir(mode=0o700)
    path.touch(0o600)
    outcomes, seen = Counter[str](), set[int]()
    for number in range(images + flips):
        rng = random.Random(f"{seed} {number}")
        whole = wholes[number % len(wholes)]
        fault = (
            _one_image(whole, rng, path, seen, outcomes) if number < images else _one_flip(whole, rng, path, outcomes)
        )
        if not fault and number < images and number % CONTINUED_EVERY == 0 and continued(whole, path) != whole.content:
            fault = "it went on to other bytes"
        if fault:
            return Campaign(images, len(seen), flips, dict(outcomes), f"number {number}: {fault}")
    return Campaign(images, len(seen), flips, dict(outcomes), "")


def _one_image(whole: Written, rng: random.Random, path: Path, seen: set[int], outcomes: Counter[str]) -> str:
    moment = rng.choice(whole.moments)
    image = image_of(whole, moment, rng)
    known = None
    if moment.confirmed and rng.random() < 0.5:
        lines = whole.content.splitlines(keepends=True)
        known = KnownHead(record_of(lines[rng.randrange(moment.confirmed)]).digest, last=False)
    fault = image_fault(whole, moment, image, path, known)
    seen.add(hash(image))
    outcomes["cut" if path.stat().st_size < len(image) else "whole"] += 1
    return fault


def _one_flip(whole: Written, rng: random.Random, path: Path, outcomes: Counter[str]) -> str:
    image, places = damaged(whole.content, rng)
    fault = flip_fault(whole, image, places, path, last_known=rng.random() < 0.3)
    if places:
        outcomes["flip refused" if path.read_bytes() == image else "flip cut"] += 1
    return fault


def write(path: Path, seed: int) -> None:
    """Write the records of ``seed``, and tell of each on standard output once it was appended."""
    with Journal.open(path) as journal:
        for type_, payload, sync in records_of(seed):
            journal.append(type_, payload, sync=sync)
            sys.stdout.write(".")
            sys.stdout.flush()


def main() -> None:
    """Play the campaign, or be its writer."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--flips", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", type=Path, help="only write the journal of the seed, and tell of each record")
    given = parser.parse_args()
    if given.write is not None:
        write(given.write, given.seed)
        return
    memory = Path("/dev/shm")  # a file system in memory, where a sync costs nothing
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        found = campaign(given.images, given.flips, given.seed, Path(folder))
    print(json.dumps({"campaign": "power_loss", "seed": given.seed, **found._asdict()}))
    sys.exit(100 if found.violation else 0)


if __name__ == "__main__":
    main()
