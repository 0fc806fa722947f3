"""The feed hands out the bars of one file, with their contracts, and none if the file has changed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from orchestrator.messaging.catalogue import Bar, NextBar, NextHistory
from orchestrator.messaging.wire import Received
from orchestrator.workers.feed import Feed, FeedSpan, run
from rl_core.bars.bars import Bars
from rl_core.bars.write import write_bars
from rl_core.exchange.instruments import instrument
from trigate.errors import DataError


def rolled(count: int = 20, roll: int = 12) -> Bars:
    times = 1_735_828_200_000_000_000 + np.arange(count) * 60_000_000_000
    price = (84_000 + np.arange(count)).astype(np.int32)
    bars = Bars(
        instrument=instrument("NQ"),
        interval_s=60,
        ts_event_ns=times,
        open=price,
        high=price + 1,
        low=price - 1,
        close=price,
        volume=np.ones(count, np.int64),
    )
    return replace(bars, contract=(np.arange(count) >= roll).astype(np.int32), digest="")


def asked(message: NextBar | NextHistory) -> Received:
    return Received("runner", "1", message)


def test_bars_and_history_carry_the_roll_wherever_the_chunk_begins() -> None:
    """History is bars 2 to 13, the last two of the new contract; bar 14 is the first traded one."""
    feed = Feed(rolled(), None, FeedSpan(history=2, first=14, stop=20))

    bar = feed.next_bar(asked(NextBar(seq=0))).message
    long, prices = feed.history(asked(NextHistory(offset=4))).arrays

    assert isinstance(bar, Bar) and (bar.contract, bar.open) == (1, 84_014)
    assert long[2].tolist() == [0] * 6 + [1] * 2 and prices[0].tolist() == list(range(84_006, 84_014))


class Link:
    """Stands where the runner is; nothing may be said to it."""

    def ready(self, loaded: dict[str, str]) -> None:
        """Fail."""
        raise AssertionError("a feed of other bars is not ready")


def test_a_file_that_was_replaced_since_the_plan_is_not_served(tmp_path: Path) -> None:
    write_bars(rolled(), tmp_path / "NQ_D1M.parquet")
    config = {
        "bars": str(tmp_path / "NQ_D1M.parquet"),
        "market": "NQ",
        "timezone": None,
        "stamp": None,
        "seconds": None,
    }

    with pytest.raises(DataError, match="file_changed"):
        run(Link(), {**config, "digest": "of the plan", "history": 0, "first": 0, "stop": 1})  # type: ignore[arg-type]


class ReadyLink:
    """Stands where the runner is and keeps what the feed says of its bars."""

    def __init__(self) -> None:
        """Nothing was said yet."""
        self.loaded: dict[str, str] = {}

    def ready(self, loaded: dict[str, str]) -> None:
        """Keep it."""
        self.loaded = loaded

    def serve(self, _answers: object) -> None:
        """Ask nothing."""


def test_bars_are_read_by_the_stamp_that_the_run_names(tmp_path: Path) -> None:
    """The file's times are the ends of its bars; an older runner's feed had no such key."""
    starts = rolled()
    write_bars(replace(starts, ts_event_ns=starts.ts_event_ns + 60 * 10**9, digest=""), tmp_path / "NQ_D1M.parquet")
    config = {"bars": str(tmp_path / "NQ_D1M.parquet"), "market": "NQ", "timezone": None, "seconds": None}
    config |= {"digest": starts.digest, "history": 2, "first": 14, "stop": 20}
    link = ReadyLink()

    run(link, {**config, "stamp": "end"})  # type: ignore[arg-type]

    assert link.loaded == {"bars": starts.digest}
    with pytest.raises(DataError, match="file_changed"):
        run(ReadyLink(), config)  # type: ignore[arg-type]
