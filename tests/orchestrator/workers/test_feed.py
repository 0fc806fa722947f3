"""The feed hands out the bars that the run read, with their contracts and seconds, in blocks of any length."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from orchestrator.messaging.catalogue import BARS_AHEAD, CATALOGUE, BarBlock, EndOfBars, NextBars
from orchestrator.messaging.wire import Envelope, Received, Reply, decode, encode
from orchestrator.run.answers import unpacked
from orchestrator.run.runner import FeedBar
from orchestrator.workers.feed import WITH_SECONDS, Feed, run
from orchestrator.workers.handed_bars import hand_over, handed_over
from rl_core.bars.bars import Bars
from rl_core.exchange.instruments import instrument
from trigate.versions import code_digest

START_NS = 1_735_828_200_000_000_000
NS = 10**9


def rolled(count: int = 20, roll: int = 12, *, interval_s: int = 60) -> Bars:
    times = START_NS + np.arange(count) * interval_s * NS
    price = (84_000 + np.arange(count)).astype(np.int32)
    bars = Bars(
        instrument=instrument("NQ"),
        interval_s=interval_s,
        ts_event_ns=times,
        open=price,
        high=price + 1,
        low=price - 1,
        close=price,
        volume=np.ones(count, np.int64),
    )
    return replace(bars, contract=(np.arange(count) >= roll).astype(np.int32), digest="")


def asked(feed: Feed, seq: int, most: int = BARS_AHEAD) -> Reply:
    """What the feed answers."""
    return feed.next_bars(Received("runner", "1", NextBars(seq=seq, most=most)))


def travelled(reply: Reply) -> Received:
    """A reply as it comes over the wire."""
    frames = encode(Envelope("r", "1", None, reply.message, reply.arrays), CATALOGUE)
    return Received("feed", "1", *decode(frames, CATALOGUE)[3:])


def bars_of(feed: Feed, most: int) -> list[FeedBar]:
    """Every bar, asked for in blocks of ``most``."""
    found: list[FeedBar] = []
    while isinstance((reply := asked(feed, len(found), most)).message, BarBlock):
        found += unpacked(travelled(reply))
    assert reply.message == EndOfBars(seq=len(found))
    return found


@pytest.mark.parametrize("most", [1, 7, BARS_AHEAD])
def test_blocks_of_any_length_hold_the_same_bars_with_the_roll(most: int) -> None:
    bars = rolled(100, 40)

    found = [fed.bar for fed in bars_of(Feed(bars, None), most)]

    assert [bar.seq for bar in found] == list(range(100))
    assert [bar.contract for bar in found] == [0] * 40 + [1] * 60
    assert [bar.ts_event_ns for bar in found] == bars.ts_event_ns.tolist()
    assert [(b.open, b.high, b.low, b.close) for b in found] == [(p, p + 1, p - 1, p) for p in range(84_000, 84_100)]


@pytest.mark.parametrize("most", [1, BARS_AHEAD])
def test_seconds_travel_with_their_minute_in_blocks_that_fit_a_frame(most: int) -> None:
    """Every other second of the first 40 minutes; the minutes after them have none, and a digest all the same."""
    seconds = rolled(40 * 60, interval_s=1)
    seconds = replace(
        seconds.slice(0, 40 * 60),
        **{
            name: getattr(seconds, name)[::2]
            for name in ("ts_event_ns", "open", "high", "low", "close", "volume", "contract")
        },
        lines=seconds.lines,
        digest="",
    )

    found = bars_of(Feed(rolled(50), seconds), most)

    assert asked(Feed(rolled(50), seconds), 0).message == BarBlock(seq=0, count=WITH_SECONDS)
    assert [len(fed.seconds) for fed in found] == [30] * 40 + [0] * 10
    assert [row.second for row in found[3].seconds] == list(range(0, 60, 2))
    assert [row.open for row in found[3].seconds] == list(range(84_180, 84_240, 2))
    assert len({fed.seconds_digest for fed in found}) == 41


class ReadyLink:
    """Stands where the runner is and keeps what the feed says and serves."""

    def __init__(self) -> None:
        """Nothing was said yet."""
        self.loaded: dict[str, str] = {}

    def ready(self, loaded: dict[str, str]) -> None:
        """Keep it."""
        self.loaded = loaded

    def serve(self, _answers: object) -> None:
        """Ask nothing."""


def test_what_is_handed_over_is_private_and_comes_back_as_it_was(tmp_path: Path) -> None:
    path, link = tmp_path / "feed.npz", ReadyLink()
    minutes, seconds = rolled(), rolled(120, interval_s=1)

    hand_over(path, minutes, seconds)
    back = handed_over(path, "NQ")
    run(link, {"bars": str(path), "market": "NQ"})  # type: ignore[arg-type]

    assert path.stat().st_mode & 0o777 == 0o600
    assert back[1] is not None
    assert [bars.digest for bars in back if bars] == [minutes.digest, seconds.digest]
    assert [(bars.contract.tolist(), bars.interval_s) for bars in back if bars] == [
        (minutes.contract.tolist(), 60),
        (seconds.contract.tolist(), 1),
    ]
    assert link.loaded == {"bars": "20", "code": code_digest()}
    hand_over(path, minutes, None)
    assert handed_over(path, "NQ")[1] is None
