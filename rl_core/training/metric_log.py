"""The file `metrics.jsonl`: one row of metrics a line, synced at once; a resumed run truncates it."""

import json
import os
from pathlib import Path

from rl_core.errors import DamagedCheckpointError
from rl_core.ppo.metrics import MetricRow
from trigate.whole_files import disk_faults, sync

METRICS = "metrics.jsonl"


def append_row(folder: Path, row: MetricRow) -> None:
    """Add ``row`` to the metrics in ``folder``.

    Raises:
        ResourceError: the disk failed. A half-written last line stays, and `rows_until` cuts it off.
    """
    path = folder / METRICS
    with disk_faults(path), path.open("ab") as file:
        file.write(json.dumps(row, allow_nan=False).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def rows_until(folder: Path, step: int) -> list[MetricRow]:
    """Read the rows up to ``step``, and truncate the file behind them.

    A run may have trained beyond its last checkpoint before it was killed; going on from there repeats those rows.


    Args:
        folder: of the run.
        step: of the checkpoint that training goes on from, or 0 without one.

    Raises:
        DamagedCheckpointError: the row of ``step`` is missing, or a line before it cannot be read.
        ResourceError: the disk failed.
    """
    path = folder / METRICS
    content = path.read_bytes() if path.exists() else b""
    rows, length = _read(path, content, step)
    if (rows[-1]["step"] if rows else 0) != step:
        raise DamagedCheckpointError(f"{path}: has no row of step {step}; restore the file, or give another --out")
    if length < len(content):
        with disk_faults(path):
            os.truncate(path, length)
            sync(path)
    return rows


def _read(path: Path, content: bytes, step: int) -> tuple[list[MetricRow], int]:
    """The rows up to ``step``, and how many bytes they are."""
    rows: list[MetricRow] = []
    length = 0
    # A last line without its newline was half written when the process was killed.
    for line in content.splitlines(keepends=True):
        if (rows[-1]["step"] if rows else 0) == step or not line.endswith(b"\n"):
            break
        try:
            rows.append(json.loads(line))
            rows[-1]["step"]
        except (ValueError, KeyError, TypeError) as error:
            raise DamagedCheckpointError(f"{path}:{len(rows) + 1}: is no row of metrics; restore the file") from error
        length += len(line)
    return rows, length
