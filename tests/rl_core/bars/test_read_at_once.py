"""A file is read at once: no line of Python runs for each of its rows."""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from rl_core.bars.read import read_bars
from rl_core.bars.write import write_bars
from tests.rl_core.bars.test_read import minutes


def lines_run(work: Callable[[], object]) -> int:
    """How many lines of Python ``work`` runs, a line once for each time that a loop or comprehension comes by."""
    count, before = [0], sys.gettrace()

    def trace(frame: FrameType, event: str, arg: object) -> Callable[..., Any]:
        count[0] += event == "line"
        return trace

    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count[0]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_no_line_of_python_is_run_for_each_row(suffix: str, tmp_path: Path) -> None:
    """What reads a million minutes in a second: every pass over the rows is one call into NumPy or Arrow."""
    few, many = tmp_path / f"NQ_few.{suffix}", tmp_path / f"NQ_many.{suffix}"
    write_bars(minutes(500), few)
    write_bars(minutes(5_000), many)
    read_bars(few)  # what is imported or made at the first reading is not counted

    counted = [lines_run(partial(read_bars, path)) for path in (few, many)]

    assert counted[0] > 300, "the reader is traced"
    assert counted[1] - counted[0] < 100
