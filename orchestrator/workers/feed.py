"""The feed worker: reads the bars once and hands them out by number; a restart loses nothing."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from orchestrator.messaging.catalogue import CATALOGUE, HISTORY_CHUNK, Bar, EndOfBars, History, NextBar, NextHistory
from orchestrator.messaging.wire import Received, Reply
from orchestrator.messaging.worker_end import RunnerConnection
from orchestrator.workers.processes import WorkerConfig, worker_main
from rl_core.bars.bars import Bars
from rl_core.bars.read import read_bars
from rl_core.checkpoints.provenance import check_unchanged
from rl_core.trading.hours import MINUTE_NS


class FeedSpan(NamedTuple):
    """Which bars of the file are traded, and which are shown before."""

    history: int  # index of the first bar shown
    first: int  # index of the first bar traded
    stop: int  # index after the last


class Feed:
    """Bars by number."""

    def __init__(self, bars: Bars, seconds: Bars | None, span: FeedSpan) -> None:
        """``seconds`` are of the same market, ``span`` indexes ``bars``."""
        self._bars, self._seconds, self._span = bars, seconds, span

    def history(self, request: Received) -> Reply:
        """A chunk of the bars before the first traded one."""
        assert isinstance(request.message, NextHistory)
        first = self._span.history + request.message.offset
        part = self._bars.slice(first, min(first + HISTORY_CHUNK, self._span.first))
        contract = self._bars.contract[first : first + len(part)]
        long = np.stack([part.ts_event_ns, part.volume, contract]).astype("<i8")
        prices = np.stack([part.open, part.high, part.low, part.close]).astype("<i4")
        return Reply(History(offset=request.message.offset), (long, prices))

    def next_bar(self, request: Received) -> Reply:
        """One bar, with its seconds if there are any, or the end."""
        assert isinstance(request.message, NextBar)
        seq = request.message.seq
        index = self._span.first + seq
        if index >= self._span.stop:
            return Reply(EndOfBars(seq=seq))
        bars = self._bars
        bar = Bar(
            seq=seq,
            ts_event_ns=int(bars.ts_event_ns[index]),
            open=int(bars.open[index]),
            high=int(bars.high[index]),
            low=int(bars.low[index]),
            close=int(bars.close[index]),
            volume=int(bars.volume[index]),
            contract=int(bars.contract[index]),
        )
        return Reply(bar, () if self._seconds is None else (self._seconds_of(bar.ts_event_ns, self._seconds),))

    @staticmethod
    def _seconds_of(ts_event_ns: int, seconds: Bars) -> npt.NDArray[np.int32]:
        """The seconds of a minute [n <= 60, 5]: second of the minute, open, high, low, close."""
        first, stop = np.searchsorted(seconds.ts_event_ns, [ts_event_ns, ts_event_ns + MINUTE_NS])
        part = seconds.slice(int(first), int(stop))
        second = (part.ts_event_ns - ts_event_ns) // 1_000_000_000
        return np.stack([second, part.open, part.high, part.low, part.close], axis=-1).astype("<i4")


def run(runner: RunnerConnection, config: WorkerConfig) -> None:
    """Serve bars until Shutdown."""
    times = {"timezone": config["timezone"], "stamp": config.get("stamp")}
    bars = read_bars(Path(config["bars"]), market=config["market"], **times)
    check_unchanged(Path(config["bars"]), bars.digest, config["digest"])
    seconds = None
    if config["seconds"]:
        seconds = read_bars(Path(config["seconds"]), market=config["market"], interval_s=1, **times)
    feed = Feed(bars, seconds, FeedSpan(config["history"], config["first"], config["stop"]))
    runner.ready({"bars": bars.digest})
    runner.serve({NextHistory: feed.history, NextBar: feed.next_bar})


if __name__ == "__main__":
    worker_main(run, CATALOGUE)
