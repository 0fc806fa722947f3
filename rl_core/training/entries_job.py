"""Finds and reads what a judgement of known entries needs: bars, account, entries, and what was seen of the bars."""

from datetime import date
from pathlib import Path
from typing import NamedTuple

from rl_core.bars.read import assumed_market, read_bars
from rl_core.bars.roll_signs import unnamed_rolls
from rl_core.bars.rungs import ladder_of
from rl_core.bars.seconds import MinuteSeconds, read_seconds
from rl_core.bars.times import Clock
from rl_core.checkpoints.provenance import world_traded
from rl_core.evaluation.entrants import KNOWN_RULES, known_rule
from rl_core.evaluation.entries_file import Entries, read_entries
from rl_core.evaluation.seen_until import NOBODY_SAID, first_to_judge, first_unseen
from rl_core.evaluation.span import span_of
from rl_core.evaluation.tries import content_digest, registry_beside
from rl_core.features.market_view import MarketView, view_of
from rl_core.regimes.fitted import UNFITTED
from rl_core.trading.setup import TradingConfig, check_account, compile_trading, resolved
from rl_core.training.source_file import FILE_TIMES, FileTimes
from rl_core.training.sources import EVALUATION_PARTS, EvaluationJob
from trigate.errors import ConfigError


class EntriesFiles(NamedTuple):
    """The files of a judgement of known entries."""

    entries: str
    """A file, or the name of a written rule."""
    bars: Path | None
    seconds: Path | None = None


def prepare_entries(
    files: EntriesFiles,
    trading: TradingConfig,
    *,
    part: str,
    market: str | None,
    times: FileTimes = FILE_TIMES,
    seen_until: date | None,
) -> EvaluationJob:
    """Read the bars, and the entries under the account of ``trading``.

    Args:
        files: entries and bars.
        trading: the account, as settings give it.
        part: held_out plays what lies after ``seen_until``, all plays everything.
        market: of the bars.
        times: how the times of all files are to be read.
        seen_until: the last day of bars that were looked at when the entries, or their rule, were made; None: not said.

    Raises:
        ConfigError: no bars or no such rule were named, or a setting cannot be used.
        DataError: bars or entries cannot be trusted, or every bar was seen before.
    """
    if part not in EVALUATION_PARTS:
        raise ConfigError(f"part {part!r}: there are {' and '.join(EVALUATION_PARTS)}")
    if files.bars is None:
        raise ConfigError("which bars? give --bars FILE: entries without a checkpoint bring none")
    account = resolved(trading, seconds=files.seconds is not None)
    check_account(account)
    bars = read_bars(files.bars, market=market, **times._asdict())
    second_bars = None if files.seconds is None else read_seconds(files.seconds, bars, **times._asdict())
    compiled = compile_trading(account, bars.instrument)
    view = view_of(bars, compiled.pack, compiled.hours, compiled.yardstick)
    entries = _entries(files.entries, view, times)
    is_rule = files.entries in KNOWN_RULES and not Path(files.entries).exists()
    session = view.located.session
    seen = first_unseen(seen_until, session)
    first = first_to_judge(seen_until, session) if part == "held_out" else 0
    return EvaluationJob(
        who=entries.signals,
        view=view,
        trading=compiled,
        first=first,
        stop=len(bars),
        world=world_traded(files.bars, bars, ()),
        trained_on_world=False,
        in_sample=span_of(session, first).first < seen,
        ladder=None if second_bars is None else ladder_of(bars, second_bars),
        regimes=UNFITTED,
        notes=(*entries.notes, *assumed_market(bars), *unnamed_rolls(bars)),
        seconds=None if second_bars is None else MinuteSeconds(bars, second_bars),
        doubts=() if is_rule or seen_until is not None else (NOBODY_SAID,),
        digest=content_digest(entries.signals.digest(bars.ts_event_ns), account.model_dump_json()),
        registry=None if is_rule else registry_beside(Path(files.entries)),
    )


def _entries(named: str, view: MarketView, times: FileTimes) -> Entries:
    """Those of a file, else of the written rule of that name."""
    if Path(named).exists() or Path(named).suffix:
        return read_entries(Path(named), view, Clock(times.timezone, times.stamp or "start"))
    return Entries(known_rule(named, view), ())
