"""The comparison with other backtesters: what is filled alike, and a peer that is absent is a row that says so."""

import sys
from pathlib import Path

import numpy as np

from bench.evaluate import Given, brackets, compared
from rl_core.evaluation.trades import trades_from
from rl_core.market.types import STOP, TARGET


def test_a_stop_gives_its_tick_back_and_a_touched_target_is_counted_apart() -> None:
    """A long of 400 ticks out at 379 lost one tick to its stop of 380; the peer's short left a bar before ours."""
    stopped, targeted = (0, 1, 1, 9, 400, 12, 379, STOP, 0, 1), (0, 1, -1, 20, 400, 25, 340, TARGET, 0, 1)
    theirs = np.array([[10, 100.0, 12, 95.0], [21, 100.0, 24, 85.0]])

    found = compared(theirs, trades_from([stopped, targeted]), 0.25)

    assert found == {"trades": 2, "of": 2, "filled_alike": 1, "left_earlier": 1, "left_later": 0}


def test_a_peer_that_is_absent_is_a_row_that_says_so(tmp_path: Path) -> None:
    """This environment has no nautilus_trader; the entries that a peer would get are written all the same."""
    given = Given([], None, sys.executable, sessions=2, bracket_sessions=2, folder=tmp_path)

    rows = {row.name: row for row in brackets(given)}

    assert rows["brackets.nautilus_trader"].unit.startswith("nautilus_trader is not installed")
    with np.load(tmp_path / "entries.npz") as entries:
        assert (entries["side"] != 0).sum() == rows["brackets.trigate"].settings["trades"] > 0
