"""A run over a feed instead of a growing file: the same rules, and minutes that are made of ticks."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from orchestrator.run.folder import RunFolder
from tests.orchestrator.paper_market import (
    MORNING,
    FedMarket,
    Market,
    ReadyCrew,
    TickMarket,
    after,
    both_corrections,
    codes,
    corrected_again,
    morning,
    play_paper,
    records,
    replays,
    until_corrected,
)
from tests.orchestrator.played_files import FileWorld


def repeated(market: FedMarket) -> None:
    """Another feed at the same address, with the bars that have come."""
    market.begin_anew("second")
    for number in range(MORNING, market.next):
        market.say(market.row(number))


def test_a_feed_has_the_rules_of_a_file_and_loses_nothing_over_a_stop(file_world: FileWorld, tmp_path: Path) -> None:
    """What is recorded is that of the file's run, whose settings alone differ."""
    for name in ("file", "feed"):
        (tmp_path / name).mkdir()
    of_file, _ = play_paper(
        file_world, morning(file_world, tmp_path / "file"), tmp_path / "file" / "runs", both_corrections
    )
    with FedMarket(file_world, tmp_path / "feed", MORNING) as market:
        begun, _ = play_paper(file_world, market, tmp_path / "feed" / "runs", until_corrected)
        of_feed, _ = play_paper(file_world, market, tmp_path / "feed" / "runs", corrected_again)
        assert of_feed == begun and market.told == []

    told = [[{**note, "fault": "", "row": 0} for note in records(run, "feed")] for run in (of_file, of_feed)]
    assert codes(of_file) == ["corrected", "malformed", "doubled"] and told[0] == told[1]
    assert records(of_feed, "feed")[1]["fault"].startswith("feed:22: short_row")
    for kind in ("bar", "acted"):  # the others name orders, and an order is named after its run
        assert records(of_file, kind) == records(of_feed, kind), kind
    assert len(records(of_feed, "bar")) == 40 and replays(of_feed)


def test_a_feed_that_begins_anew_while_a_run_follows_it_is_read_again(file_world: FileWorld, tmp_path: Path) -> None:
    def happens(market: Market, crew: ReadyCrew, folder: RunFolder) -> Iterator[None]:
        assert isinstance(market, FedMarket)
        yield from market.trade(3)
        repeated(market)
        yield
        yield from market.trade(3)

    with FedMarket(file_world, tmp_path, MORNING) as market:
        folder, _ = play_paper(file_world, market, tmp_path / "runs", happens)

    assert codes(folder) == ["replaced"]
    played = [bar["ts_event_ns"] for bar in records(folder, "bar")]
    assert played == market.bars.ts_event_ns[MORNING : MORNING + 6].tolist()
    assert replays(folder)


def test_ticks_are_traded_as_the_minutes_that_they_make_also_over_a_stop_within_one(
    file_world: FileWorld, tmp_path: Path
) -> None:
    """A stop between two trades of a minute, after a late trade of an earlier one: corrected, and once."""

    def first(market: Market, crew: ReadyCrew, folder: RunFolder) -> Iterator[None]:
        yield from market.trade(10, late_s=1.5)
        *_, last = market.row(market.next - 2).splitlines(keepends=True)
        market.say(last)
        yield
        lines = market.row(market.next).splitlines(keepends=True)
        market.set_ns(int(market.bars.ts_event_ns[market.next]), 30.0)
        market.say(b"".join(lines[:2]))
        yield

    def then(market: Market, crew: ReadyCrew, folder: RunFolder) -> Iterator[None]:
        market.until(market.next, 1.5)
        market.say(b"".join(market.row(market.next).splitlines(keepends=True)[2:]))
        market.next += 1
        yield
        yield from market.trade(9, late_s=1.5)

    for name in ("minutes", "ticks"):
        (tmp_path / name).mkdir()
    of_file, _ = play_paper(
        file_world, morning(file_world, tmp_path / "minutes"), tmp_path / "minutes" / "runs", after(19, lambda _: None)
    )
    with TickMarket(file_world, tmp_path / "ticks", MORNING) as market:
        begun, _ = play_paper(file_world, market, tmp_path / "ticks" / "runs", first)
        again, _ = play_paper(file_world, market, tmp_path / "ticks" / "runs", then)

    assert again == begun and codes(again) == ["corrected"]
    assert records(of_file, "acted") == records(again, "acted")
    bars = records(again, "bar")
    assert records(of_file, "bar") == [{**_without(bar, "frame"), "seconds": ""} for bar in bars]
    assert len(bars) == 20 and replays(again)


def test_the_seconds_of_a_feed_decide_fills_and_stand_in_the_record(file_world: FileWorld, tmp_path: Path) -> None:
    """Its trades make seconds; their digest is that of the same seconds in a file."""
    with TickMarket(file_world, tmp_path, MORNING) as market:
        run, _ = play_paper(file_world, market, tmp_path / "runs", after(19, lambda _: None))

    for bar in records(run, "bar"):
        opened, *rest = (bar[name] - bar["open"] for name in ("open", "high", "low", "close"))
        assert bar["frame"] == [[at, *4 * (price,)] for at, price in zip((0, 21, 40, 59), (opened, *rest), strict=True)]
        frame = np.array([(at, *(bar["open"] + price for price in prices)) for at, *prices in bar["frame"]], "<i4")
        assert bar["seconds"] == hashlib.sha256(frame.tobytes()).hexdigest()
    account = run.manifest().inputs.config["trading"]
    assert account["resolution"] == "seconds"


def _without(payload: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in payload.items() if key != name}
