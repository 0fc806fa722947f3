"""A run derived again from its journal's inputs: every record comes out a second time, and nobody is asked.

The inputs in the journal are the bars, what the policy chose and what the gate said. What the trader saw besides, the
history before the first bar and the account's rules, is read again from the files that the manifest names, and each
must have the digest that it had.
"""

import hashlib
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from llm_gate.contract import EntryProposal, Reviewed, first_fault
from orchestrator.journal.journal import JournalMismatch, examine_journal
from orchestrator.journal.recording import Recording
from orchestrator.run.config import RunConfig
from orchestrator.run.folder import REGIMES, RunFolder, RunInputs
from orchestrator.run.paper_plan import kept_history
from orchestrator.run.plan import (
    CODE_VERSION,
    checkpoint_digest,
    rule_pack_digest,
    setting_of,
    span_traded,
    views_after,
    views_of,
)
from orchestrator.run.runner import FeedBar, Finished, Runner, StopAskedError
from orchestrator.trader.seen_at_close import CloseViews
from orchestrator.trader.state import PolicyAnswered, Setting
from rl_core.bars.bars import Bars
from rl_core.bars.read import read_bars
from rl_core.checkpoints.manifest import Identity, find_checkpoint, read_manifest
from rl_core.checkpoints.provenance import check_unchanged
from rl_core.regimes.fitted import UNFITTED, Frozen, read_model
from rl_core.trading.setup import Trading, compile_trading
from trigate.errors import ConfigError, DataError


class Replayed(NamedTuple):
    """What came out again."""

    records: int
    """Of the journal that came out byte for byte, from the first on."""
    bars: int
    trades: int
    ended: bool
    """Whether they reach the end of the run."""
    head: str
    """Digest of the last of them."""
    difference: str
    """The first record that does not come out, or is damaged, in words; "" without one."""
    torn: int
    """Bytes behind the last whole record."""
    derived: bytes
    """The journal as it came out."""


class Sources(NamedTuple):
    """Where the files lie today that the run read; None: where they lay then."""

    bars: Path | None = None
    checkpoint: Path | None = None


def replay_run(folder: RunFolder, sources: Sources | None = None) -> Replayed:
    """Derive the journal of the run in ``folder`` again, up to the first record that differs.

    It works on a run that is alive, stopped, ended or damaged, and writes nothing.

    Raises:
        ConfigError: checkpoint, rule pack or code are not those of the run.
        DataError: the bars or the kept regimes are not.
        ResourceError: a file cannot be read.
    """
    manifest = folder.manifest()
    size = folder.journal.stat().st_size  # before it is read, as a living run writes on
    examined = examine_journal(folder.journal, manifest.known_head)
    setting, views = _ground(folder, manifest.inputs, sources or Sources())
    recording = Recording(folder.journal, examined.verified)
    difference, bars, trades, ended = "", 0, 0, False
    try:
        finished: Finished = Runner(recording, _Nobody(), views, setting).run()
        bars, trades, ended = finished.bars, finished.state.trades, finished.complete
    except JournalMismatch as error:
        difference = str(error)
    except (DataError, ValueError, KeyError, TypeError, AssertionError) as error:
        # A record that is whole and still not what a run can have written: its maker was not this code.
        difference = f"record {recording.length + 1} cannot be followed: {type(error).__name__}: {error}"
    return Replayed(
        records=recording.length,
        bars=bars,
        trades=trades,
        ended=ended,
        head=recording.head,
        difference=difference or examined.fault,
        torn=max(0, size - examined.verified.end),
        derived=bytes(recording.derived),
    )


class _Nobody:
    """Answers nothing: where the recording ends, so does the replay."""

    def next_bar(self, seq: int) -> FeedBar | None:
        self._end()

    def act(self, bar_seq: int, observation: npt.NDArray[np.float32], legal: tuple[bool, ...]) -> PolicyAnswered:
        self._end()

    def review(self, proposal: EntryProposal) -> Reviewed:
        self._end()

    def _end(self) -> NoReturn:
        raise StopAskedError


def _ground(folder: RunFolder, inputs: RunInputs, sources: Sources) -> tuple[Setting, CloseViews]:
    """What the trader of the run was told and saw, from the files of then."""
    if inputs.code_version != CODE_VERSION:
        raise ConfigError(
            f"{folder.path}: was made by code version {inputs.code_version}, and this is {CODE_VERSION}: the same "
            f"inputs come out otherwise; replay it with the commit in its manifest ({folder.manifest().commit})"
        )
    config = _config(folder, inputs)
    paper = config.mode == "paper"
    bars = kept_history(folder) if paper else _bars(config, inputs, sources)
    identity = _identity(config, inputs, sources)
    trading = _trading(config, inputs, bars)
    regimes = _regimes(folder.path / REGIMES, inputs.regimes_digest)
    views: CloseViews = (
        views_after(bars, trading, regimes)
        if paper
        else views_of(bars, span_traded(config, bars, identity), trading, regimes)
    )
    return setting_of(config, trading, inputs.run_id, phase=identity.phase), views


def _config(folder: RunFolder, inputs: RunInputs) -> RunConfig:
    try:
        return RunConfig.model_validate(inputs.config)
    except ValidationError as error:
        raise ConfigError(f"{folder.path}: its settings cannot be used: {first_fault(error, 'settings')}") from error


def _bars(config: RunConfig, inputs: RunInputs, sources: Sources) -> Bars:
    path = sources.bars or config.bars
    bars = read_bars(path, market=config.market, timezone=config.timezone, stamp=config.stamp)
    check_unchanged(path, bars.digest, inputs.bars_digest)
    return bars


def _identity(config: RunConfig, inputs: RunInputs, sources: Sources) -> Identity:
    checkpoint = find_checkpoint(sources.checkpoint or config.checkpoint)
    if checkpoint_digest(checkpoint) != inputs.checkpoint_digest:
        raise ConfigError(f"{checkpoint}: is not the checkpoint of the run; name that one with --checkpoint")
    return read_manifest(checkpoint).identity


def _trading(config: RunConfig, inputs: RunInputs, bars: Bars) -> Trading:
    assert config.trading is not None, "a run writes down the account that it resolved"
    trading = compile_trading(config.trading, bars.instrument)
    if rule_pack_digest(trading.pack) != inputs.rule_pack_digest:
        raise ConfigError(
            f"the rule pack {config.trading.rules} is no longer the one of the run; restore it as it was, say from git"
        )
    return trading


def _regimes(path: Path, digest: str) -> Frozen:
    if not digest:
        return UNFITTED
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}; restore it from the checkpoint") from error
    if hashlib.sha256(content).hexdigest() != digest:
        raise DataError(f"{path}: is not what the run was labelled by; restore it from the checkpoint")
    return Frozen(read_model(path), digest, content.decode())
