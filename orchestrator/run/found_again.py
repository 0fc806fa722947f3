"""The files that a run read, found again: each must have the digest that it had."""

import hashlib
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from llm_gate.contract import first_fault
from orchestrator.run.config import RunConfig
from orchestrator.run.folder import ENTRIES, REGIMES, RunFolder, RunInputs
from orchestrator.run.paper_plan import kept_history
from orchestrator.run.plan import (
    CODE_VERSION,
    Span,
    rule_pack_digest,
    setting_of,
    span_traded,
    views_after,
    views_of,
)
from orchestrator.trader.seen_at_close import CloseViews, CloseViewTable
from orchestrator.trader.state import Setting
from orchestrator.workers.kept_entries import KeptEntries, read_kept_entries
from rl_core.bars.bars import Bars
from rl_core.bars.read import read_bars
from rl_core.checkpoints.manifest import Identity, checkpoint_digest, find_checkpoint, read_manifest
from rl_core.checkpoints.provenance import check_unchanged
from rl_core.regimes.fitted import UNFITTED, Frozen, read_model
from rl_core.trading.setup import Trading, compile_trading
from trigate.errors import ConfigError, DataError


class Sources(NamedTuple):
    """Where the files lie today that the run read; None: where they lay then."""

    bars: Path | None = None
    checkpoint: Path | None = None


class FoundAgain(NamedTuple):
    """What a run was made of besides its journal."""

    config: RunConfig
    bars: Bars
    """Of the file; of a run on paper the history before its first bar, as the journal holds the others."""
    checkpoint: Path | None
    identity: Identity | None
    trading: Trading
    regimes: Frozen
    span: Span
    run_id: str
    entries: KeptEntries | None = None
    """A trader's own, in the place of checkpoint and identity."""

    @property
    def setting(self) -> Setting:
        """What the trader of the run was told."""
        return setting_of(self.config, self.trading, self.run_id, self.identity, self.entries)

    @property
    def views(self) -> CloseViews:
        """What it saw at each close."""
        if self.config.follows:
            return views_after(self.bars, self.trading, self.regimes)
        return self.table

    @property
    def table(self) -> CloseViewTable:
        """What the trader of a simulation saw, at any close of it."""
        return views_of(self.bars, self.span, self.trading, self.regimes)


def found_again(folder: RunFolder, sources: Sources) -> FoundAgain:
    """The files of the run in ``folder``, as they were.

    Raises:
        ConfigError: checkpoint, rule pack or code are not those of the run.
        DataError: the bars, the kept regimes or the kept entries are not.
        ResourceError: a file cannot be read.
    """
    inputs = folder.manifest().inputs
    if inputs.code_version != CODE_VERSION:
        raise ConfigError(
            f"{folder.path}: was made by code version {inputs.code_version}, and this is {CODE_VERSION}: the same "
            f"inputs come out otherwise; replay it with the commit in its manifest ({folder.manifest().commit})"
        )
    config = _config(folder, inputs)
    paper = config.follows
    bars = kept_history(folder) if paper else _bars(config, inputs, sources)
    checkpoint, identity = (None, None) if inputs.entries_digest else _identity(config, inputs, sources)
    entries = read_kept_entries(folder.path / ENTRIES, inputs.entries_digest) if inputs.entries_digest else None
    trading = _trading(config, inputs, bars)
    regimes = _regimes(folder.path / REGIMES, inputs.regimes_digest)
    span = Span(0, len(bars), len(bars)) if paper else span_traded(config, bars, identity)
    return FoundAgain(config, bars, checkpoint, identity, trading, regimes, span, inputs.run_id, entries)


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


def _identity(config: RunConfig, inputs: RunInputs, sources: Sources) -> tuple[Path, Identity]:
    checkpoint = find_checkpoint(sources.checkpoint or config.checkpoint)
    if checkpoint_digest(checkpoint) != inputs.checkpoint_digest:
        raise ConfigError(f"{checkpoint}: is not the checkpoint of the run; name that one with --checkpoint")
    return checkpoint, read_manifest(checkpoint).identity


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
