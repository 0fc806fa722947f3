"""What `rl-core data check` and `data ingest` do: read, examine, and leave bars, schedule and card in a folder."""

from pathlib import Path
from typing import Any, NamedTuple

import tomli_w

from rl_core.bars.bars import Bars
from rl_core.bars.card import DataCard, examine
from rl_core.bars.card_page import page
from rl_core.bars.choices import Choices, RollSchedule, read_roll_schedule
from rl_core.bars.ingest import ingest
from rl_core.bars.layouts import Stamp
from rl_core.bars.read import read_bars
from rl_core.bars.write import write_bars
from rl_core.checkpoints.provenance import carry_world
from trigate.errors import ConfigError
from trigate.whole_files import disk_faults, write_whole

ROLLS_FILE = "rolls.toml"
CARD_FILE, PAGE_FILE = "data.json", "data.html"
LETTERS = {60: "M", 1: "S"}


class FileOptions(NamedTuple):
    """How a file is to be read."""

    market: str | None
    interval_s: int
    timezone: str | None
    stamp: Stamp | None = None
    layout: str | None = None


class FileChoices(NamedTuple):
    """What a person adds to it."""

    rolls: Path | None = None
    exclude: Path | None = None
    seconds: Path | None = None


def check_file(path: Path, reading: FileOptions, choices: FileChoices, out: Path | None) -> dict[str, Any]:
    """Read a file strictly and say what is in it; with ``out``, leave the accepted bars and their card there.

    Raises:
        DataError, ConfigError: the file, or a list, cannot be trusted.
        ResourceError: ``out`` cannot be written.
    """
    bars = read_bars(
        path,
        market=reading.market,
        interval_s=reading.interval_s,
        timezone=reading.timezone,
        stamp=reading.stamp,
        choices=Choices(choices.rolls, choices.exclude, reading.layout),
    )
    schedule = None if choices.rolls is None else read_roll_schedule(choices.rolls)
    card = examine(bars, path, schedule=schedule, seconds=_seconds(choices.seconds, bars, reading))
    summary = _summary(card)
    if out is not None:
        summary |= _write(out, bars, card, schedule, source=path)
    return summary


def ingest_file(path: Path, reading: FileOptions, seconds: Path | None, out: Path) -> dict[str, Any]:
    """One series out of a vendor's file of many contracts, with its schedule and card in ``out``.

    Raises:
        DataError, ConfigError: the file cannot be trusted.
        ResourceError: ``out`` cannot be written.
    """
    done = ingest(path, **reading._asdict())
    card = examine(done.bars, path, schedule=done.schedule, seconds=_seconds(seconds, done.bars, reading))
    written = _write(out, done.bars, card, done.schedule, source=path)
    facts = {"rows": done.rows, "contracts": " ".join(done.contracts), "spread_rows": done.spread_rows}
    return {**_summary(card), **facts, **written}


def _seconds(path: Path | None, bars: Bars, reading: FileOptions) -> Bars | None:
    if path is None:
        return None
    symbol = bars.instrument.symbol
    return read_bars(path, market=symbol, interval_s=1, timezone=reading.timezone, stamp=reading.stamp)


def _summary(card: DataCard) -> dict[str, Any]:
    longest = card.gaps[0].silent if card.gaps else 0
    summary = {
        "file": card.file,
        "market": card.market,
        "bars": card.bars,
        "first": card.first,
        "last": card.last,
        "digest": card.digest,
        "sessions": len(card.sessions),
        "missing_sessions": len(card.missing_sessions),
        "silent_intervals": card.silent,
        "longest_gap": longest,
        "rolls": len(card.rolls),
        "lasting_jumps": len(card.jumps),
        "bars_without_volume": card.bars_without_volume,
        "notes": list(card.notes),
        "warnings": list(card.warnings),
    }
    if card.seconds is not None:
        summary["seconds_agree"] = " ".join(f"{name} {share:.2%}" for name, share in card.seconds.equal.items())
    return summary


def _write(out: Path, bars: Bars, card: DataCard, schedule: RollSchedule | None, *, source: Path) -> dict[str, str]:
    name = f"{bars.instrument.symbol}_D1{LETTERS.get(bars.interval_s, f'_{bars.interval_s}s')}.parquet"
    if (out / name).resolve() == source.resolve():
        raise ConfigError(f"{out / name} is the file that was read; give another --out")
    replaced = _replaced(out, card)
    with disk_faults(out):
        out.mkdir(parents=True, exist_ok=True)
        write_bars(bars, out / name)
        carry_world(source, bars, out / name)
        if schedule is not None:
            write_whole(out / ROLLS_FILE, tomli_w.dumps(schedule.model_dump(mode="python")))
        write_whole(out / CARD_FILE, card.model_dump_json(indent=1) + "\n")
        write_whole(out / PAGE_FILE, page(card))
    return {"written": str(out / name), "page": str(out / PAGE_FILE), **replaced}


def _replaced(out: Path, card: DataCard) -> dict[str, str]:
    """Which other file's results are replaced in the folder, if any: it holds one card, and one file a market."""
    try:
        before = DataCard.model_validate_json((out / CARD_FILE).read_bytes())
    except (OSError, ValueError):
        return {}
    if before.file == card.file:
        return {}
    bars = (
        "the bars and the card" if (before.market, before.interval_s) == (card.market, card.interval_s) else "the card"
    )
    return {"replaced": f"{bars} of {before.file}; give each file an --out of its own to keep both"}
