"""The feed worker: hands out the bars of a run by number, many at once; a restart loses nothing."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from orchestrator.messaging.catalogue import CATALOGUE, BarBlock, EndOfBars, NextBars
from orchestrator.messaging.wire import Received, Reply
from orchestrator.messaging.worker_end import RunnerConnection
from orchestrator.workers.handed_bars import handed_over
from orchestrator.workers.processes import WorkerConfig, worker_main
from rl_core.bars.bars import Bars
from rl_core.trading.hours import MINUTE_NS
from trigate.versions import code_digest

WITH_SECONDS = 32
"""Bars of a block with seconds: their rows must fit into one frame."""


class Feed:
    """Bars by number."""

    def __init__(self, bars: Bars, seconds: Bars | None) -> None:
        """``bars`` are those that are traded, ``seconds`` of the same market."""
        self._bars, self._seconds = bars, seconds

    def next_bars(self, request: Received) -> Reply:
        """A block of bars, with their seconds if there are any, or the end."""
        assert isinstance(request.message, NextBars)
        first, bars = request.message.seq, self._bars
        most = request.message.most if self._seconds is None else min(request.message.most, WITH_SECONDS)
        stop = min(first + most, len(bars))
        if first >= stop:
            return Reply(EndOfBars(seq=first))
        part = np.s_[first:stop]
        long = np.stack([bars.ts_event_ns[part], bars.volume[part], bars.contract[part]]).astype("<i8")
        prices = np.stack([bars.open[part], bars.high[part], bars.low[part], bars.close[part]]).astype("<i4")
        block = BarBlock(seq=first, count=stop - first)
        if self._seconds is None:
            return Reply(block, (long, prices))
        return Reply(block, (long, prices, *self._seconds_of(bars.ts_event_ns[part], self._seconds)))

    @staticmethod
    def _seconds_of(minutes_ns: npt.NDArray[np.int64], seconds: Bars) -> tuple[npt.NDArray[np.int32], ...]:
        """The seconds of minutes [n]: how many of each [n], and their rows: second, open, high, low, close."""
        first = np.searchsorted(seconds.ts_event_ns, minutes_ns)
        stop = np.searchsorted(seconds.ts_event_ns, minutes_ns + MINUTE_NS)
        rows = np.concatenate([np.arange(a, b) for a, b in zip(first, stop, strict=True)])
        second = seconds.ts_event_ns[rows] % MINUTE_NS // 1_000_000_000
        columns = (second, *(getattr(seconds, name)[rows] for name in ("open", "high", "low", "close")))
        return (stop - first).astype("<i4"), np.stack(columns, axis=-1).astype("<i4")


def run(runner: RunnerConnection, config: WorkerConfig) -> None:
    """Serve bars until Shutdown."""
    minutes, seconds = handed_over(Path(config["bars"]), config["market"])
    runner.ready({"code": code_digest(), "bars": str(len(minutes))})
    runner.serve({NextBars: Feed(minutes, seconds).next_bars})


if __name__ == "__main__":
    worker_main(run, CATALOGUE)
