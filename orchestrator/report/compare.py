"""Two runs side by side, and what the sessions that both played say of their difference."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from orchestrator.report.account_book import equity_points, read_account_book, trades_of
from orchestrator.report.by_day import DayResult, day_results
from orchestrator.report.figures import AttemptFigures, attempt_figures
from orchestrator.run.folder import RunManifest, run_at
from rl_core.exchange.calendar import locate
from rl_core.exchange.instruments import instrument
from rl_core.statistics.bootstrap import Interval, session_block_bootstrap
from trigate.errors import ConfigError

IGNORED = ("name", "bars", "runs", "on_shutdown")  # of the settings: where things lie, which the digests know better


class RunDays(NamedTuple):
    """What one run came to, day by day."""

    folder: Path
    manifest: RunManifest
    ended: bool
    days: dict[str, DayResult]  # by date
    attempts: AttemptFigures


class Comparison(NamedTuple):
    """Two runs over the sessions that both played."""

    runs: tuple[RunDays, RunDays]
    shared: list[str]  # dates
    differs: dict[str, tuple[Any, Any]]  # of what the runs were made of
    r: Interval | None  # second minus first, R a session
    dollars: Interval | None  # the same, dollars a session

    @property
    def word(self) -> str:
        """Which is better by R a session, if that is shown."""
        bounds = None if self.r is None else self.r.bounds
        if bounds is None:
            return "not known: " + ("no session was played by both" if self.r is None else self.r.missing)
        if bounds[0] > 0:
            return "the second"
        return "the first" if bounds[1] < 0 else "neither is shown to be"


def compare_runs(first: Path, second: Path) -> Comparison:
    """The two runs, and their difference paired by session: the same market days, so that its luck cancels.

    Raises:
        ConfigError: a folder is no run's, or the runs are of different markets.
        DamagedJournalError, ForeignJournalError, ResourceError: a journal cannot be trusted, or the disk failed.
    """
    runs = (_days_of(first), _days_of(second))
    markets = [run.manifest.market for run in runs]
    if markets[0] != markets[1]:
        raise ConfigError(f"{first} traded {markets[0]} bars and {second} {markets[1]}; compare runs of one market")
    shared = sorted(runs[0].days.keys() & runs[1].days.keys())
    return Comparison(
        runs=runs,
        shared=shared,
        differs=_differences(*(run.manifest for run in runs)),
        r=_paired(runs, shared, lambda day: day.r),
        dollars=_paired(runs, shared, lambda day: day.net / 100),
    )


def comparison_row(found: Comparison) -> dict[str, Any]:
    """Plain values."""
    return {
        "better": found.word,
        "shared_sessions": len(found.shared),
        "r_a_session_difference": None if found.r is None else found.r._asdict(),
        "dollars_a_session_difference": None if found.dollars is None else found.dollars._asdict(),
        "runs": [{"run": str(run.folder), **_figures(run, found.shared)} for run in found.runs],
        "differs": {name: list(values) for name, values in found.differs.items()},
    }


def comparison_lines(found: Comparison) -> list[str]:
    """A table for the terminal."""
    figures = [_figures(run, found.shared) for run in found.runs]
    wide = max(24, *(len(run.folder.name) for run in found.runs))
    lines = [f"{'':<22}{found.runs[0].folder.name:>{wide + 2}}{found.runs[1].folder.name:>{wide + 2}}"]
    for name in figures[0]:
        shown = "".join(f"{_shown(row[name]):>{wide + 2}}" for row in figures)
        lines.append(f"{name.replace('_', ' '):<22}{shown}")
    lines += ["", f"second minus first, on {len(found.shared)} sessions that both played"]
    for name, interval in (("R a session", found.r), ("dollars a session", found.dollars)):
        lines.append(f"{name:<22}{_interval(interval)}")
    lines.append(f"{'better':<22}{found.word}")
    lines += ["", "what differs"] if found.differs else ["", "nothing differs of what they were made of"]
    lines += [f"{name:<22}{_short(a)} | {_short(b)}" for name, (a, b) in found.differs.items()]
    return lines


def _days_of(path: Path) -> RunDays:
    folder = run_at(path)
    manifest, book = folder.manifest(), read_account_book(folder)
    session = _sessions(book.bars.ts_event_ns, manifest.market)
    points = equity_points(book, session)
    days = day_results(book, trades_of(book), session)
    return RunDays(
        folder=path,
        manifest=manifest,
        ended=book.ended,
        days={result.day.isoformat(): result for result in days},
        attempts=attempt_figures(book, points, session),
    )


def _sessions(ts_ns: npt.NDArray[np.int64], market: str) -> npt.NDArray[np.int32]:
    return locate(ts_ns, instrument(market).calendar).session if len(ts_ns) else np.zeros(0, np.int32)


def _paired(runs: tuple[RunDays, RunDays], shared: list[str], figure: Any) -> Interval | None:
    """The mean difference of ``figure`` a session, with its interval over the sessions."""
    first, second = (np.array([figure(run.days[day]) for day in shared], np.float64) for run in runs)
    return session_block_bootstrap(second - first, np.arange(len(shared)))


def _figures(run: RunDays, shared: list[str]) -> dict[str, Any]:
    """Of one run, on the shared sessions where nothing else is said."""
    days = [run.days[day] for day in shared]
    trades, count = sum(day.trades for day in days), max(1, len(days))
    return {
        "status": "ended" if run.ended else "not finished",
        "sessions_played": len(run.days),
        "trades": trades,
        "win_rate": sum(day.won for day in days) / trades if trades else None,
        "mean_r": sum(day.r for day in days) / trades if trades else None,
        "r_a_session": sum(day.r for day in days) / count,
        "dollars_a_session": sum(day.net for day in days) / 100 / count,
        "attempts_passed": run.attempts.passed,
        "attempts_opened": run.attempts.opened,
        "max_drawdown_dollars": run.attempts.max_drawdown / 100,
    }


def _differences(a: RunManifest, b: RunManifest) -> dict[str, tuple[Any, Any]]:
    """Every setting and input in which two runs differ."""
    left, right = (_flat({**run.inputs.model_dump(mode="json"), "rule_pack": run.rule_pack}) for run in (a, b))
    names = [name for name in dict.fromkeys([*left, *right]) if name.split(".")[-1] not in IGNORED]
    return {name: (left.get(name), right.get(name)) for name in names if left.get(name) != right.get(name)}


def _flat(content: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Tables within tables as names with dots; the settings' own table needs no name."""
    flat: dict[str, Any] = {}
    for name, value in content.items():
        full = "" if (name, before) == ("config", "") else f"{before}{name}"
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{full}." if full else "")
        else:
            flat[full] = value
    return flat


def _interval(interval: Interval | None) -> str:
    if interval is None:
        return "-"
    if interval.bounds is None:
        return f"{interval.mean:+.3f} (no interval: {interval.missing})"
    return f"{interval.mean:+.3f} ({interval.bounds[0]:+.3f} to {interval.bounds[1]:+.3f})"


def _shown(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:,.3f}" if isinstance(value, float) else str(value)


def _short(value: object) -> str:
    text = "-" if value is None else str(value)
    return text if len(text) <= 28 else f"{text[:27]}…"
