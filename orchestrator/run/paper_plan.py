"""The plan of a run in paper mode: its history is what stands in its bars file at first, and is kept from then on."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from orchestrator.clock import wall_time_ns
from orchestrator.run.config import RunConfig
from orchestrator.run.fed_rows import FedRows, check_address
from orchestrator.run.folder import HISTORY, RunFolder, unfinished
from orchestrator.run.followed_bars import Source
from orchestrator.run.growing_file import GrowingFile, RowSource
from orchestrator.run.plan import RunPlan, Say, history_shown, plan_over
from orchestrator.run.rehearsal import read_rehearsal
from orchestrator.run.room import check_room
from orchestrator.run.settings import check_settings
from orchestrator.workers.handed_bars import handed_over
from rl_core.bars.bars import Bars
from rl_core.bars.read import read_bars
from rl_core.checkpoints.provenance import check_unchanged
from trigate.errors import ConfigError, DataError

DAY_NS = 86_400_000_000_000
LONGEST_CLOSURE_DAYS = 5
PAPER_DEADLINE_S = 2.0
"""Of a verdict, unless another was given: in sim more is waited for, as time stands still there."""
POLICY_SILENT = 3
"""Closes without an answer of the policy's own after which a run is flat, unless another number was given."""


def plan_paper(config: RunConfig, *, say: Say = lambda text: None) -> RunPlan:
    """The unfinished run of the same file and settings, with the history that it began with; else a new one.

    Raises:
        TrigateError, GateError: the first input that does not fit, with its exit code.
    """
    check_paper(config)
    check_room(config.runs, config.min_free_mb)
    config = _for_a_market_that_goes_on(config)
    world = "" if config.paper.clock is None else read_rehearsal(config.paper.clock).world
    for folder in _runs_of_the_file(config):
        begun = plan_over(config, replace(kept_history(folder), world=world), say=lambda text: None)
        if begun.inputs == folder.manifest().inputs:
            return begun
    history = history_shown(_bars_there(config))
    if config.paper.clock is None:
        warn_of_old_bars(config, history, say)
    return plan_over(config, replace(history, world=world), say=say)


def _for_a_market_that_goes_on(config: RunConfig) -> RunConfig:
    """The settings with what a simulation can do without, where nothing else was given."""
    guards, review = config.guards, config.gate.review
    if "deadline_s" not in review.model_fields_set:
        review = review.model_copy(update={"deadline_s": PAPER_DEADLINE_S})
    if guards.policy_silent is None:
        guards = guards.model_copy(update={"policy_silent": POLICY_SILENT})
    gate = config.gate.model_copy(update={"review": review})
    return config.model_copy(update={"gate": gate, "guards": guards})


def _runs_of_the_file(config: RunConfig) -> Iterator[RunFolder]:
    """The unfinished runs over the same growing file, the newest first."""
    for folder in unfinished(config.runs):
        made_of = folder.manifest().inputs.config
        if (made_of.get("mode"), made_of["bars"]) == (config.mode, str(config.bars)):
            yield folder


def bars_before(config: RunConfig) -> Bars:
    """The history that `plan_paper` looks at first: of the newest unfinished run of the file, else what stands there.

    Raises:
        DataError: it cannot be used.
    """
    begun = next(_runs_of_the_file(config), None)
    return history_shown(_bars_there(config)) if begun is None else kept_history(begun)


def warn_of_old_bars(config: RunConfig, history: Bars, say: Say) -> None:
    """Say that the bars are of another time than the clock, by which each of them would be late."""
    days = (wall_time_ns() - int(history.ts_event_ns[-1])) // DAY_NS
    if days > LONGEST_CLOSURE_DAYS:
        say(
            f"warning: the last bar of {config.bars} is {days} days old, and the market's time is UTC: older bars come "
            "late and are not decided on. A rehearsal needs --clock, as orchestrator feed prints it"
        )


def kept_history(folder: RunFolder) -> Bars:
    """The bars before the first that the run in ``folder`` traded, as it kept them.

    Raises:
        DataError: they are gone or not what they were.
    """
    path, manifest = folder.path / HISTORY, folder.manifest()
    try:
        bars, _ = handed_over(path, manifest.market)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path}: cannot be read: {error}; restore it from a copy") from error
    check_unchanged(path, bars.digest, manifest.inputs.bars_digest)
    return bars


def check_paper(config: RunConfig) -> None:
    """Refuse what does not go with bars that are still to come.

    Raises:
        ConfigError: a setting is of recorded bars, or the file is none that grows row by row.
    """
    check_settings(config)
    if config.entries is not None:
        raise ConfigError(
            f"--mode {config.mode}: entries of bars that are still to come are not known yet; leave --entries out, or "
            "play the bars in --mode sim once they are in a file"
        )
    if config.seconds is not None:
        raise ConfigError(
            f"--mode {config.mode}: a file of seconds is of recorded bars; leave --seconds out, and name a feed of "
            f"seconds with --feed and --set feed.rows=seconds"
        )
    _check_feed(config)
    if config.feed.source is None and config.bars.suffix not in (".csv", ".txt"):
        raise ConfigError(
            f"--mode {config.mode}: {config.bars} is no csv file; its bars are the rows that somebody appends to one: "
            f"name it with --bars, or play recorded bars into one with orchestrator feed, or name a feed with --feed"
        )


def _check_feed(config: RunConfig) -> None:
    source, rows = config.feed.source, config.feed.rows
    if source is None and rows != "minutes":
        raise ConfigError(
            f"feed.rows = {rows!r}: the history in {config.bars} is minutes; name the {rows} apart, with --feed"
        )
    if rows != "minutes" and config.paper.settle_s >= config.paper.late_after_s:
        raise ConfigError(
            f"paper.settle_s = {config.paper.settle_s:g}: less than paper.late_after_s = {config.paper.late_after_s:g} "
            f"was expected, as every bar would be late"
        )
    if source is not None and not _grows(source):
        check_address(source)


def _grows(source: str) -> bool:
    """Whether a feed is a file, not an address."""
    return "://" not in source and Path(source).suffix in (".csv", ".txt")


def rows_of(config: RunConfig, told: Callable[[str], None]) -> Source:
    """Where the bars of the run come from; ``told`` hears of trouble with a feed.

    Raises:
        ConfigError: the feed is on another machine: nobody there is asked anything.
    """
    source = str(config.bars) if config.feed.source is None else config.feed.source
    file = config.feed.source is None or _grows(source)
    if not file:
        check_address(source)
    rows: RowSource = GrowingFile(Path(source), told) if file else FedRows(source, told)
    name = Path(source).name if file else "feed"
    return Source(rows, name, config.timezone, config.stamp, config.feed.rows, config.paper.settle_s)


def _bars_there(config: RunConfig) -> Bars:
    """What is known before the first bar that comes.

    Raises:
        DataError: the file is not there, or a row of it is none.
    """
    if config.feed.source is None:
        return bars_standing(config)
    return read_bars(config.bars, market=config.market, timezone=config.timezone, stamp=config.stamp)


def bars_standing(config: RunConfig) -> Bars:
    """What stands in the growing file now: its complete lines, read as strictly as any bars file.

    Raises:
        DataError: it is not there, or a row of it is none.
    """
    grown, lines = GrowingFile(config.bars), list[bytes]()
    while (read := grown.read()).lines:
        lines += read.lines
    if not lines:
        # Missing, empty or without a whole line: the usual reader names the fault.
        return read_bars(config.bars, market=config.market, timezone=config.timezone, stamp=config.stamp)
    with tempfile.TemporaryDirectory() as scratch:
        # A copy: the file itself may grow, or end in half a row, while it is read.
        copy = Path(scratch, config.bars.name)
        copy.write_bytes(b"\n".join(lines) + b"\n")
        try:
            return read_bars(copy, market=config.market, timezone=config.timezone, stamp=config.stamp)
        except DataError as error:
            raise DataError(str(error).replace(str(copy), str(config.bars))) from error
