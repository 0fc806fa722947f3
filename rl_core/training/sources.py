"""Finds and reads what a training or an evaluation needs: bars, seconds, parent, policy, account and settings."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import tomli_w

from rl_core.bars.bars import Bars
from rl_core.bars.read import DEFAULT_MARKET, assumed_market, market_of, read_bars
from rl_core.bars.roll_signs import unnamed_rolls
from rl_core.bars.rungs import Ladder, ladder_of
from rl_core.bars.seconds import MinuteSeconds, read_seconds
from rl_core.checkpoints.manifest import find_checkpoint, read_manifest, unfinished_note
from rl_core.checkpoints.policy import load_trader, policy_digest
from rl_core.checkpoints.provenance import (
    WorldCard,
    check_unchanged,
    declared,
    first_held_out,
    foreign_market,
    touches_training,
    trading_of,
    training_worlds,
    world_traded,
)
from rl_core.evaluation.entrants import Enters, Trained
from rl_core.evaluation.inputs import EvaluationInputs
from rl_core.evaluation.span import Span, span_of
from rl_core.evaluation.tries import new_try, note_try, registry_beside
from rl_core.exchange.instruments import INSTRUMENTS, instrument
from rl_core.features.market_view import MarketView, view_of
from rl_core.regimes.fitted import Frozen, frozen_regimes
from rl_core.trading.setup import Trading, check_account, compile_trading, resolved
from rl_core.training.config import TrainConfig
from rl_core.training.folder import CHECKPOINTS, run_of
from rl_core.training.parents_settings import with_parents_settings
from rl_core.training.plan import check_parent, check_size
from rl_core.training.source_file import FILE_TIMES, SOURCE, FileTimes, Source, source_recorded_by
from rl_core.training.unlikely import unlikely_settings
from trigate.errors import ConfigError

CONFIG = "config.toml"
EVALUATION_PARTS = ("held_out", "all")


class BarsFile(NamedTuple):
    """A file that the user named, and its market if named as MARKET=FILE."""

    path: Path
    market: str | None = None


class TrainingJob(NamedTuple):
    """What was read for a training run."""

    config: TrainConfig
    bars: Bars
    ladder: Ladder | None
    source: Source
    notes: tuple[str, ...] = ()  # warnings about the parent, the bars and the settings
    others: tuple[Bars, ...] = ()  # of further markets


class EvaluationJob(NamedTuple):
    """Whoever enters, such as a checkpoint's policy, and the bars to evaluate it on."""

    who: Enters
    view: MarketView
    trading: Trading
    first: int
    stop: int
    world: WorldCard | None  # that the bars are
    trained_on_world: bool  # the policy, or its phase 1
    in_sample: bool  # bars are played that the policy, or its phase 1, was trained on
    ladder: Ladder | None
    regimes: Frozen
    notes: tuple[str, ...] = ()  # warnings about the checkpoint, or the entries, and the bars
    seconds: MinuteSeconds | None = None
    training_ended: bool = True
    doubts: tuple[str, ...] = ()  # that keep the verdict from being PASS or FAIL
    digest: str = ""  # of the policy, or of the entries and their account
    registry: Path | None = None  # where looks at unseen bars are counted; None: nothing to count, as of a written rule

    def inputs(self, sessions: int | None = None) -> EvaluationInputs:
        """What is played: from the first whole warm session on, ``sessions`` of them at most.

        Raises:
            DataError: no bar is left to play.
        """
        span = span_of(self.view.located.session, self.first, sessions)
        return EvaluationInputs(self.who, self.view, self.trading, span, self.ladder, self.seconds)

    def count_look(self, span: Span) -> int:
        """Count this look at ``span``; returns how many different ones have looked at its sessions, 1 if none counts.

        What is in sample proves nothing however often it is seen, and a written rule was chosen by nobody.

        Raises:
            ResourceError: it cannot be counted.
        """
        if self.registry is None or self.in_sample:
            return 1
        first, last = (int(self.view.located.session[bar]) for bar in (span.first, span.stop - 1))
        return note_try(self.registry, new_try(self.digest, self.view.bars.instrument.symbol, first, last))


def prepare_training(
    config: TrainConfig,
    *,
    bars: Path | Sequence[BarsFile] | None,
    parent: Path | None,
    market: str | None,
    times: FileTimes = FILE_TIMES,
    seconds: Path | None = None,
) -> TrainingJob:
    """Read the bars, and take from the parent what phase 2 must share with it.

    Args:
        config: as given; phase 2 gets the network, account and split of its parent.
        bars: a file, or one of each of several markets; None: those of the parent.
        parent: phase 1's run, for phase 2.
        market: of the only file.
        times: how the times of every file are to be read; what is not said is as in the parent.
        seconds: second bars of the only file.

    Raises:
        ConfigError, DataError: phase 2 without a parent, no bars were named, or they cannot be read.
    """
    check_parent(config, parent)
    notes: list[str] = []
    if parent is not None:
        checkpoint = find_checkpoint(parent, phase=1)
        identity = read_manifest(checkpoint).identity
        config, unfinished = with_parents_settings(config, identity.config), unfinished_note(checkpoint, identity)
        notes += [] if unfinished is None else [unfinished]
    files = [BarsFile(bars)] if isinstance(bars, Path) else list(bars or ())
    source = source_recorded_by(parent) if not files and parent is not None else None
    if source is not None:
        files = [BarsFile(each.bars, each.market) for each in (source, *source.more)]
        times, seconds = times.or_else(source.times), seconds or source.seconds
    _check_files(files, market, seconds)
    check_size(config, len(files))
    check_account(resolved(config.trading, seconds=seconds is not None))
    all_bars = [
        declared(
            file.path,
            read_bars(file.path, market=file.market if len(files) > 1 else market or file.market, **times._asdict()),
        )
        for file in files
    ]
    sources = [
        Source(bars=file.path.resolve(), market=bars_read.instrument.symbol, digest=bars_read.digest, **times._asdict())
        for file, bars_read in zip(files, all_bars, strict=True)
    ]
    within = {"seconds": None if seconds is None else seconds.resolve(), "more": tuple(sources[1:])}
    source, ladder = sources[0].model_copy(update=within), _ladder(seconds, all_bars[0], times)
    notes += [note for each in all_bars for note in (*assumed_market(each), *unnamed_rolls(each))]
    notes += unlikely_settings(config)
    return TrainingJob(config, all_bars[0], ladder, source, tuple(notes), tuple(all_bars[1:]))


def refuse_own_parent(parent: Path | None, out: Path) -> None:
    """Raise ConfigError where phase 2 would run in the folder of the run that it starts from."""
    if parent is None:
        return
    if find_checkpoint(parent, phase=1).resolve().is_relative_to((out / CHECKPOINTS).resolve()):
        raise ConfigError(f"{out} holds the phase 1 run that phase 2 starts from; give another --out")


def named_files(given: Sequence[str]) -> list[BarsFile]:
    """The files of ``--bars``, each PATH or MARKET=PATH."""
    files = []
    for word in given:
        symbol, equals, path = word.partition("=")
        named = equals and (symbol in INSTRUMENTS or not Path(word).exists())
        files.append(BarsFile(Path(path), instrument(symbol).symbol) if named else BarsFile(Path(word)))
    return files


def _check_files(files: Sequence[BarsFile], market: str | None, seconds: Path | None) -> None:
    """Raise ConfigError unless there is at least one file, and at most one of each market."""
    if not files:
        raise ConfigError("which bars? give --bars FILE")
    if len(files) == 1:
        return
    symbols = [file.market or market_of(file.path) or DEFAULT_MARKET for file in files]
    if len(set(symbols)) < len(symbols):
        raise ConfigError(f"two files of one market: {', '.join(symbols)}; say --bars MARKET=FILE for each")
    if market is not None or seconds is not None:
        raise ConfigError("--market and --seconds belong to one file of bars; say --bars MARKET=FILE for several")


def run_records(job: TrainingJob) -> dict[str, str]:
    """The resolved settings and the source of the bars, as files of the run's folder."""
    config = tomli_w.dumps(job.config.model_dump(mode="json", exclude_none=True))
    return {CONFIG: config, SOURCE: job.source.model_dump_json(indent=1) + "\n"}


def prepare_evaluation(
    run: Path,
    *,
    bars: Path | None,
    part: str,
    market: str | None,
    times: FileTimes = FILE_TIMES,
    seconds: Path | None = None,
) -> EvaluationJob:
    """Load the policy and see the bars under the account that it was trained with.

    Raises:
        ConfigError, FitError, DataError: as `load_trader` and `read_bars`; nothing is held out.
    """
    if part not in EVALUATION_PARTS:
        raise ConfigError(f"part {part!r}: there are {' and '.join(EVALUATION_PARTS)}")
    folder = find_checkpoint(run)
    policy = load_trader(folder)
    assert policy.identity is not None
    source = source_recorded_by(run) if bars is None else None
    if source is not None:
        source = source.of(market)
        bars, market, times = source.bars, market or source.market, times.or_else(source.times)
        seconds = seconds or source.seconds
    if bars is None:
        raise ConfigError("which bars? give --bars FILE")
    account = resolved(trading_of(policy.identity), seconds=seconds is not None)
    check_account(account)
    read = read_bars(bars, market=market, **times._asdict())
    if source is not None:
        check_unchanged(bars, read.digest, source.digest)
    second_bars = None if seconds is None else read_seconds(seconds, read, **times._asdict())
    trading = compile_trading(account, read.instrument)
    view = view_of(read, trading.pack, trading.hours, trading.yardstick)
    first = first_held_out(policy.identity, read) if part == "held_out" else 0
    trained_on, unfinished = training_worlds(folder), unfinished_note(folder, policy.identity)
    return EvaluationJob(
        who=Trained(policy),
        view=view,
        trading=trading,
        first=first,
        stop=len(read),
        world=world_traded(bars, read, trained_on),
        trained_on_world=bool(trained_on),
        in_sample=touches_training(policy.identity, read, span_of(view.located.session, first).first),
        ladder=None if second_bars is None else ladder_of(read, second_bars),
        regimes=frozen_regimes(folder, read.instrument.symbol),
        notes=tuple(
            filter(
                None, (unfinished, *assumed_market(read), foreign_market(policy.identity, read), *unnamed_rolls(read))
            )
        ),
        training_ended=unfinished is None,
        seconds=None if second_bars is None else MinuteSeconds(read, second_bars),
        digest=policy_digest(folder),
        registry=registry_beside(run_of(folder)),
    )


def _ladder(seconds: Path | None, bars: Bars, times: FileTimes) -> Ladder | None:
    """The second bars reduced to the rungs of each minute; None without second bars."""
    return None if seconds is None else ladder_of(bars, read_seconds(seconds, bars, **times._asdict()))
