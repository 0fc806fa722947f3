"""A trader's own entries in the place of a checkpoint: read against the bars of a run, kept, and found again."""

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from orchestrator.run.config import RunConfig
from orchestrator.workers.kept_entries import KeptEntries, KeptEntry
from rl_core.bars.bars import Bars
from rl_core.bars.times import Clock
from rl_core.evaluation.entrants import Signals
from rl_core.evaluation.entries_file import read_entries
from rl_core.evaluation.seen_until import first_unseen
from rl_core.evaluation.span import Span
from rl_core.evaluation.tries import content_digest
from rl_core.exchange.calendar import locate
from rl_core.features.market_view import view_of
from rl_core.trading.hours import MINUTE_NS
from rl_core.trading.setup import Trading
from trigate.errors import DataError


class OwnEntries(NamedTuple):
    """What a run is told of a trader's entries."""

    kept: KeptEntries
    tried: str
    """Digest of the entries and their account, as `rl-core evaluate --entries` counts them."""
    notes: tuple[str, ...]


def own_entries(config: RunConfig, bars: Bars, trading: Trading, played: Span) -> OwnEntries:
    """Read the entries of ``config`` on ``bars``, and number those that are ``played``.

    Raises:
        DataError: a row cannot be an entry; names file, row, column, fault and remedy, and counts the others.
        ConfigError: there is no such time zone.
    """
    path = config.entries
    assert path is not None and config.trading is not None, "the caller knows that there are entries and an account"
    view = view_of(bars, trading.pack, trading.hours, trading.yardstick, blind=True)
    read = read_entries(path, view, Clock(config.timezone, config.stamp or "start"))
    signals = read.signals
    inside = [int(bar) for bar in signals.bars if played.first <= bar < played.stop]
    kept = KeptEntries(
        file=path.name,
        file_digest=_file_digest(path),
        given=len(signals.bars),
        entries=tuple(_kept(signals, bar, played.first) for bar in inside),
    )
    notes = read.notes
    if not inside:
        notes += (f"none of its {len(signals.bars)} entries lies on a bar that is played",)
    tried = content_digest(signals.digest(bars.ts_event_ns), config.trading.model_dump_json())
    return OwnEntries(kept, tried, notes)


def seen_until_ns(config: RunConfig, bars: Bars) -> int | None:
    """Start of the first bar that whoever made the entries had not seen; None where nobody said."""
    if config.seen_until is None:
        return None
    first = first_unseen(config.seen_until, locate(bars.ts_event_ns, bars.instrument.calendar).session)
    return int(bars.ts_event_ns[first]) if first < len(bars) else int(bars.ts_event_ns[-1]) + MINUTE_NS


def signals_of(kept: KeptEntries, first: int, total: int) -> Signals:
    """The entries on ``total`` bars, of which ``first`` is the run's own first."""
    side = np.zeros(total, np.int8)
    side[[first + entry.bar for entry in kept.entries]] = [entry.side for entry in kept.entries]
    return Signals(kept.file, side, {first + bar: own for bar, own in kept.by_bar.items() if own is not None})


def _kept(signals: Signals, bar: int, first: int) -> KeptEntry:
    own, side = signals.brackets.get(bar), int(signals.side[bar])
    if own is None:
        return KeptEntry(bar - first, side)
    return KeptEntry(bar - first, side, *own.distances, own.stop, own.target)


def _file_digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}; check the path") from error
