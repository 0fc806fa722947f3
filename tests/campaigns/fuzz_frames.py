"""Any frames through every decoder of a message: a message of ours comes out, or the one error that is documented.

    python -m tests.campaigns.fuzz_frames [--frames 100000] [--decoder NAME ...] [--out FILE]

Each message is a good one of any kind, changed one to three times in its fields, its text, its bytes, its frames or its
arrays. What decodes must encode again and come back equal. Nothing else may be raised, no frame may take more than
`LONGEST_S` of the processor, and memory may not grow. Frames are drawn in ranges of 10,000, each by its number: FILE
keeps what was done with the code as it is, and a larger count goes on from there. Prints one JSON object a decoder;
exit code 100 if there is a violation.
"""

import argparse
import gc
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import ValidationError

from orchestrator.messaging.broker import BROKER_CATALOGUE
from orchestrator.messaging.catalogue import CATALOGUE, BarBlock
from orchestrator.messaging.row_feed import FEED_CATALOGUE
from orchestrator.messaging.sockets import Credentials
from orchestrator.messaging.wire import Catalogue, Envelope, Received, WireError, decode, encode
from orchestrator.run.answers import unpacked
from orchestrator.workers.processes import Bootstrap
from tests.campaigns.frames import Example, Frames, blocks, broker_messages, changed, feed_messages, run_messages
from tests.campaigns.storm import resident_mib
from trigate.versions import code_digest

RANGE = 10_000
LONGEST_S = 0.25
MOST_GROWTH_MIB = 8.0
SEED = 1


class Decoder(NamedTuple):
    """Something that reads what came from another process."""

    good: list[Frames]
    error: type[Exception]
    """The only one that may come out."""
    read: Callable[[Frames], object]
    again: Callable[[object], object]
    """What came out, written and read once more."""


def decoders() -> dict[str, Decoder]:
    """Every one, by name."""
    return {
        "run": _of(CATALOGUE, run_messages()),
        "broker": _of(BROKER_CATALOGUE, broker_messages()),
        "feed": _of(FEED_CATALOGUE, feed_messages()),
        "block": Decoder(_encoded(CATALOGUE, blocks()), WireError, _bars, lambda bars: bars),
        "bootstrap": Decoder([[_bootstrap()]], ValidationError, _started, lambda told: told),
    }


def _of(catalogue: Catalogue, examples: list[Example]) -> Decoder:
    def read(frames: Frames) -> Envelope:
        return decode(frames, catalogue)

    def again(found: object) -> Envelope:
        assert isinstance(found, Envelope)
        return decode(encode(found, catalogue), catalogue)

    return Decoder(_encoded(catalogue, examples), WireError, read, again)


def _encoded(catalogue: Catalogue, examples: list[Example]) -> list[Frames]:
    return [encode(Envelope("run1", "a-1", "b-2", *example), catalogue) for example in examples]


def _bars(frames: Frames) -> object:
    """The bars of a block, as the runner takes them out."""
    _, message_id, _, message, arrays = decode(frames, CATALOGUE)
    return unpacked(Received("feed", message_id, message, arrays)) if isinstance(message, BarBlock) else None


def _bootstrap() -> bytes:
    credentials = Credentials(
        endpoint="ipc:///tmp/x",
        run="run1",
        runner_key="k" * 40,
        public_key="p" * 40,
        secret_key="s" * 40,
        heartbeat_s=1,
    )
    return Bootstrap(name="policy", credentials=credentials, config={"checkpoint": "x"}).model_dump_json().encode()


def _started(frames: Frames) -> object:
    """A worker's first line."""
    return Bootstrap.model_validate_json(frames[0] if frames else b"")


def fault_of(decoder: Decoder, frames: Frames) -> tuple[str, str]:
    """How the frames ended, and which promise that breaks; "" if none."""
    try:
        found = decoder.read(frames)
    except decoder.error:
        return "refused", ""
    except Exception as error:
        return "raised", f"{type(error).__name__}: {error}"
    try:
        same = _same(found, decoder.again(found))
    except Exception as error:
        return "read", f"what was read cannot be written and read again: {type(error).__name__}: {error}"
    return "read", "" if same else "what was read is another message once it was written and read again"


def _same(one: object, other: object) -> bool:
    if not isinstance(one, Envelope):
        return one == other
    assert isinstance(other, Envelope)
    arrays = zip(one.arrays, other.arrays, strict=True)
    return one[:4] == other[:4] and all(
        a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a.view(np.uint8), b.view(np.uint8))
        if a.size and a.ndim
        else a.tobytes() == b.tobytes()
        for a, b in arrays
    )


def range_of(name: str, decoder: Decoder, number: int, count: int = RANGE) -> dict[str, Any]:
    """The ``number``-th range of frames: how they ended, the slowest, and the first violation."""
    draw = random.Random(f"{SEED} {name} {number}")
    ended, slowest_s, violation = Counter[str](), 0.0, ""
    for index in range(count):
        frames = changed(draw.choice(decoder.good), draw)
        began_s = time.thread_time()
        how, fault = fault_of(decoder, frames)
        spent_s = time.thread_time() - began_s
        ended[how] += 1
        slowest_s = max(slowest_s, spent_s)
        if spent_s > LONGEST_S:
            fault = fault or f"it took {spent_s:.3f} s"
        if fault:
            violation = f"frame {index} of range {number}: {fault}: {[frame[:300] for frame in frames]!r}"
            break
    return {"ended": dict(ended), "slowest_s": round(slowest_s, 4), "violation": violation}


def main() -> None:
    """Do the ranges that are missing, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=100_000, help="for each decoder")
    parser.add_argument("--decoder", nargs="+", choices=list(decoders()), default=list(decoders()))
    parser.add_argument("--out", type=Path, default=Path(".cache/fuzz_frames.jsonl"))
    given = parser.parse_args()
    given.out.parent.mkdir(parents=True, exist_ok=True)
    broken = False
    gc.collect()
    gc.freeze()  # a full collection would count as the time of the frame that it meets
    for name in given.decoder:
        found = _fuzzed(name, given.frames, given.out)
        broken = broken or bool(found["violation"])
        print(json.dumps(found), flush=True)
    sys.exit(100 if broken else 0)


def _fuzzed(name: str, count: int, out: Path) -> Mapping[str, Any]:
    decoder, code = decoders()[name], code_digest()
    rows = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    done = {row["number"]: row for row in rows if (row["decoder"], row["code"]) == (name, code)}
    wanted = range(-(-count // RANGE))
    memory: list[float] = []
    began_s = time.process_time()
    todo = [number for number in wanted if number not in done]
    for number in todo:
        done[number] = {"decoder": name, "code": code, "number": number, **range_of(name, decoder, number)}
        with out.open("a") as file:
            file.write(json.dumps(done[number]) + "\n")
        memory.append(resident_mib())
    ended = sum((Counter(done[number]["ended"]) for number in wanted), Counter[str]())
    growth = memory[-1] - memory[len(memory) // 2] if memory else 0.0
    violation = next((done[number]["violation"] for number in wanted if done[number]["violation"]), "")
    if growth > MOST_GROWTH_MIB:
        violation = violation or f"memory grew by {growth:.1f} MiB over the second half"
    return {
        "campaign": "fuzz_frames",
        "decoder": name,
        "frames": sum(ended.values()),
        "ended": dict(ended),
        "slowest_s": max(done[number]["slowest_s"] for number in wanted),
        "growth_mib": round(growth, 1),
        "ranges_now": len(todo),
        "cpu_s_now": round(time.process_time() - began_s, 1),
        "violation": violation,
    }


if __name__ == "__main__":
    main()
