"""Damage a checkpoint in many ways: `python -m tests.campaigns.corrupt --times 1000`; every one must be refused.

Each damage is of one kind, drawn by its number: a flipped bit, bytes cut off, appended, zeroed or swapped, a file
removed, added, renamed or exchanged with another, a whole checkpoint's file in the place of ours.
"""

import argparse
import json
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

SEED = 6
PICKLE = b"\x80\x04\x8c\x05posix\x94\x8c\x06system\x94\x93\x94."


class Damage(NamedTuple):
    """What was done to a checkpoint, and what came of reading it; None: nobody noticed."""

    kind: str
    file: str
    refusal: str | None


def damaged(whole: Path, other: Path, times: int, read: Callable[[Path], object]) -> Iterator[Damage]:
    """``times`` damages to a copy of the checkpoint ``whole``, one at a time.

    Args:
        whole: stays as it is.
        other: another whole checkpoint, to take files from.
        times: how many.
        read: what must refuse by a TrigateError.
    """
    from trigate.errors import TrigateError

    with tempfile.TemporaryDirectory() as folder:
        for number in range(times):
            rng = random.Random(f"{SEED} {number}")
            copy = Path(shutil.copytree(whole, Path(folder) / whole.name, dirs_exist_ok=True))
            kind = list(KINDS)[number % len(KINDS)]
            file = KINDS[kind](copy, other, rng)
            try:
                read(copy)
                refusal = None
            except TrigateError as error:
                refusal = f"{error.exit_code}: {error}"
            yield Damage(kind, file, refusal)
            shutil.rmtree(copy)


def _some_file(folder: Path, rng: random.Random) -> Path:
    return rng.choice(sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size))


def _rewritten(change: Callable[[bytearray, random.Random], bytearray]) -> Callable[[Path, Path, random.Random], str]:
    def damage(folder: Path, other: Path, rng: random.Random) -> str:
        path = _some_file(folder, rng)
        before = path.read_bytes()
        after = change(bytearray(before), rng)
        if after == before:
            after += b"\0"
        path.write_bytes(after)
        return path.name

    return damage


def _flip(content: bytearray, rng: random.Random) -> bytearray:
    bit = rng.randrange(8 * len(content))
    content[bit // 8] ^= 1 << bit % 8
    return content


def _cut(content: bytearray, rng: random.Random) -> bytearray:
    return content[: rng.randrange(len(content))]


def _append(content: bytearray, rng: random.Random) -> bytearray:
    return content + rng.randbytes(rng.randrange(1, 64))


def _zero(content: bytearray, rng: random.Random) -> bytearray:
    first = rng.randrange(len(content))
    size = min(len(content) - first, rng.randrange(1, 512))
    content[first : first + size] = bytes(size)
    return content


def _swap_bytes(content: bytearray, rng: random.Random) -> bytearray:
    first, second = rng.randrange(len(content)), rng.randrange(len(content))
    content[first], content[second] = content[second], content[first]
    return content


def _remove(folder: Path, other: Path, rng: random.Random) -> str:
    path = _some_file(folder, rng)
    path.unlink()
    return path.name


def _add(folder: Path, other: Path, rng: random.Random) -> str:
    place = rng.choice([folder, folder / "state", folder / "state/d"])
    path = place / rng.choice(["normaliser.pkl", "normaliser.npy", ".hidden", "policy.npz.bak", "manifest.json~"])
    path.write_bytes(PICKLE)
    return path.name


def _add_link(folder: Path, other: Path, rng: random.Random) -> str:
    path = _some_file(folder, rng)
    path.unlink()
    path.symlink_to("/dev/null")
    return path.name


def _rename(folder: Path, other: Path, rng: random.Random) -> str:
    path = _some_file(folder, rng)
    path.rename(path.with_name(path.name + rng.choice([".old", "~", "2"])))
    return path.name


def _exchange(folder: Path, other: Path, rng: random.Random) -> str:
    first, second = _some_file(folder, rng), _some_file(folder, rng)
    while first.read_bytes() == second.read_bytes():
        second = _some_file(folder, rng)
    kept = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(kept)
    return first.name


def _foreign(folder: Path, other: Path, rng: random.Random) -> str:
    path = rng.choice([folder / "policy.npz", folder / "manifest.json"])
    path.write_bytes((other / path.name).read_bytes())
    return path.name


KINDS: dict[str, Callable[[Path, Path, random.Random], str]] = {
    "flip": _rewritten(_flip),
    "cut": _rewritten(_cut),
    "append": _rewritten(_append),
    "zero": _rewritten(_zero),
    "swap_bytes": _rewritten(_swap_bytes),
    "remove": _remove,
    "add": _add,
    "link": _add_link,
    "rename": _rename,
    "exchange": _exchange,
    "foreign": _foreign,
}


def main() -> int:
    """Damage a checkpoint of a toy run; 1 if a damage was not refused."""
    from rl_core.checkpoints.checkpoint import restore_state, save_checkpoint
    from rl_core.ppo.train import initial_state
    from tests.rl_core.checkpoints.test_checkpoint import CONFIG, ENV, EXPECTED, WORLD, half_trained, identity

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=1000)
    given = parser.parse_args()
    state, like = half_trained(), initial_state(CONFIG, ENV, WORLD)
    with tempfile.TemporaryDirectory() as folder:
        whole = save_checkpoint(Path(folder), state, identity(), final=False)
        other = save_checkpoint(Path(folder), like, identity(step=0), final=False)
        found = list(damaged(whole, other, given.times, lambda path: restore_state(path, like, expected=EXPECTED)))
        restore_state(whole, like, expected=EXPECTED)
    missed = [damage for damage in found if damage.refusal is None]
    refused = Counter(damage.kind for damage in found if damage.refusal is not None)
    print(json.dumps({"damages": len(found), "refused": len(found) - len(missed), "by_kind": refused}))
    for damage in missed:
        print(json.dumps(damage._asdict()))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
