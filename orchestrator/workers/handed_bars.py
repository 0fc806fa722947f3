"""The bars of a run as its feed gets them: arrays in one private file, so that a vendor's file is parsed once."""

import io
from pathlib import Path
from typing import IO

import numpy as np

from rl_core.bars.bars import Bars
from rl_core.exchange.instruments import instrument
from trigate.whole_files import whole_file

HANDED = "feed.npz"
"""In a run's folder while the run plays."""
_COLUMNS = ("ts_event_ns", "open", "high", "low", "close", "volume", "contract")


def hand_over(path: Path, minutes: Bars, seconds: Bars | None) -> None:
    """Write the traded ``minutes``, and the ``seconds`` of the same market if there are any, for the feed alone.

    Raises:
        ResourceError: the disk failed.
    """
    with whole_file(path, mode=0o600) as scratch, scratch.open("wb") as stream:
        _write(stream, minutes, seconds)


def packed(minutes: Bars) -> bytes:
    """What `hand_over` writes of ``minutes`` alone."""
    stream = io.BytesIO()
    _write(stream, minutes, None)
    return stream.getvalue()


def _write(stream: IO[bytes], minutes: Bars, seconds: Bars | None) -> None:
    bars = {"minutes": minutes, **({} if seconds is None else {"seconds": seconds})}
    arrays = {f"{kind}_{column}": getattr(bars[kind], column) for kind in bars for column in _COLUMNS}
    np.savez(stream, allow_pickle=False, **arrays)


def handed_over(path: Path, market: str) -> tuple[Bars, Bars | None]:
    """The minutes and seconds of `hand_over`; ``market`` is their contract.

    Raises:
        OSError, ValueError: the file is gone or broken.
    """
    with np.load(path, allow_pickle=False) as arrays:
        found = {
            kind: Bars(
                instrument=instrument(market),
                interval_s=interval_s,
                **{column: arrays[f"{kind}_{column}"] for column in _COLUMNS},
            )
            for kind, interval_s in (("minutes", 60), ("seconds", 1))
            if f"{kind}_open" in arrays
        }
    return found["minutes"], found.get("seconds")
