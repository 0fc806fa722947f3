"""A run before it starts: every input read and checked, and what the trader is told of them."""

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from orchestrator.clock import today, wall_time_ns
from orchestrator.run.config import GuardsSection, RunConfig
from orchestrator.run.folder import CALIBRATION, ENTRIES, HISTORY, REGIMES, SIZE, RunInputs, RunManifest, new_manifest
from orchestrator.run.gate_setup import GateInputs, gate_inputs
from orchestrator.run.modes import LIVE, check_pack
from orchestrator.run.own_entries import OwnEntries, own_entries, seen_until_ns
from orchestrator.run.room import check_room
from orchestrator.run.settings import account_of, check_settings
from orchestrator.trader.seen_at_close import CloseViews, CloseViewStream, CloseViewTable
from orchestrator.trader.state import Setting
from orchestrator.workers.handed_bars import packed
from orchestrator.workers.kept_entries import KeptEntries
from rl_core.bars.bars import Bars
from rl_core.bars.read import assumed_market, read_bars
from rl_core.bars.seconds import read_seconds
from rl_core.checkpoints.manifest import Identity, checkpoint_digest, find_checkpoint, is_final
from rl_core.checkpoints.policy import check_yardstick, load_trader, policy_digest
from rl_core.checkpoints.provenance import (
    WorldCard,
    first_held_out,
    foreign_market,
    lies_in_training,
    trading_of,
    trained_until_ns,
    training_worlds,
    world_traded,
)
from rl_core.evaluation.seen_until import first_to_judge
from rl_core.evaluation.span import Span as JudgedSpan
from rl_core.evaluation.span import span_of
from rl_core.evaluation.tries import content_digest
from rl_core.exchange.calendar import locate
from rl_core.features.features import VOLUME_SESSIONS
from rl_core.regimes.fitted import UNFITTED, Frozen, frozen_regimes
from rl_core.rules.pack import RulePack
from rl_core.trading.hours import MINUTE_NS
from rl_core.trading.setup import MAX_ENTRIES_PER_SESSION, Trading, TradingConfig, compile_trading, resolved
from rl_core.training.folder import run_of
from trigate.errors import DataError

CODE_VERSION = "4"  # of what follows from the same inputs: another one is another run

Say = Callable[[str], None]


class Span(NamedTuple):
    """Which bars of a file are traded, and which are shown before."""

    history: int  # index of the first bar shown
    first: int  # index of the first bar traded
    stop: int  # index after the last


class RunPlan(NamedTuple):
    """A run with every input read and checked; nothing is started yet."""

    config: RunConfig
    bars: Bars
    seconds: Bars | None
    span: Span
    trading: Trading
    identity: Identity | None
    checkpoint: Path | None
    gate: GateInputs
    inputs: RunInputs
    world: WorldCard | None
    regimes: Frozen
    entries: OwnEntries | None = None
    """A trader's own; they take the place of identity and checkpoint."""

    @property
    def setting(self) -> Setting:
        """What the trader is told."""
        kept = None if self.entries is None else self.entries.kept
        return setting_of(self.config, self.trading, self.inputs.run_id, self.identity, kept)

    @property
    def paper(self) -> bool:
        """Whether the bars to be traded are still to come."""
        return self.config.follows

    @property
    def advises(self) -> bool:
        """Whether a person is told each order as a plan."""
        return self.config.mode == "advisory"

    @property
    def kept(self) -> dict[str, str | bytes]:
        """Files by name whose content the run keeps beside its journal."""
        history = {HISTORY: packed(self.bars)} if self.paper else {}
        entries = "" if self.entries is None else self.entries.kept.text
        size = "" if self.gate.size is None else self.gate.size.text
        gate = {CALIBRATION: self.gate.calibration, SIZE: size}
        return {REGIMES: self.regimes.text, **gate, ENTRIES: entries, **history}

    @property
    def notices(self) -> tuple[str, ...]:
        """What a person has to be told before it starts."""
        unprotected = "the gate's fail mode is approve: entries go through unprotected while it is down"
        notices = (unprotected,) if self.config.gate.on_failure == "approve" else ()
        if self.config.mode == LIVE:
            where = f"account {self.config.live.account} by the adapter {self.config.broker}"
            notices = (f"live: ORDERS ARE SENT, to {where}; orchestrator flatten RUN closes", *notices)
        foreign = "" if self.identity is None else foreign_market(self.identity, self.bars)
        notices = (*notices, *assumed_market(self.bars), *((foreign,) if foreign else ()))
        return notices if self.world is None else (*notices, self.world.declaration)

    def views(self) -> CloseViews:
        """What the trader sees at each close."""
        if self.paper:
            return views_after(self.bars, self.trading, self.regimes)
        return views_of(self.bars, self.span, self.trading, self.regimes)

    @property
    def _first_ns(self) -> int:
        """Start of the first bar that is traded, the earliest that can come where it is still to come."""
        times = self.bars.ts_event_ns
        return int(times[-1]) + MINUTE_NS if self.paper else int(times[self.span.first])

    def manifest(self) -> RunManifest:
        """What the run is made of, as it starts now."""
        pack, until_ns = self.trading.pack, self._known_until_ns
        who = self.checkpoint
        return new_manifest(
            self.inputs,
            market=self.bars.instrument.symbol,
            contract=self.trading.contract.symbol,
            rule_pack=pack.name,
            rule_pack_as_of=pack.as_of.isoformat(),
            declaration="" if self.world is None else self.world.declaration,
            rows_left_out=self.bars.left_out,
            in_sample=until_ns is not None and lies_in_training(until_ns, self._first_ns),
            trained_on_world=who is not None and bool(training_worlds(who)),
            training_ended=who is None or is_final(who),
            trained_until_ns=until_ns,
            tried=self.tried,
            gate_taught=self.gate.taught,
            trained_in=str(self._home.resolve()),
            foreign_market="" if self.identity is None else foreign_market(self.identity, self.bars),
        )

    @property
    def _known_until_ns(self) -> int | None:
        """Bars before it were trained on, or seen by whoever made the entries; None where nobody said."""
        return seen_until_ns(self.config, self.bars) if self.identity is None else trained_until_ns(self.identity)

    @property
    def _home(self) -> Path:
        """Beside it tries are counted."""
        if self.checkpoint is not None:
            return run_of(self.checkpoint)
        assert self.config.entries is not None, "a run has a checkpoint or entries"
        return self.config.entries

    @property
    def tried(self) -> str:
        """Digest of who trades: of the policy alone, as `rl-core evaluate` tells it, where nothing else has a say."""
        gate, guards, most = self.config.gate, self.config.guards, self.config.max_entries_per_session
        unhindered = guards == GuardsSection() and most == MAX_ENTRIES_PER_SESSION
        if self.identity is None or self.checkpoint is None:
            assert self.entries is not None, "a run has a checkpoint or entries"
            policy = self.entries.tried  # their account is in it
        else:
            policy = policy_digest(self.checkpoint)
            own_account = resolved(trading_of(self.identity), seconds=self.config.has_seconds)
            unhindered = unhindered and self.config.trading == own_account
        if (gate.engine == "off" or gate.shadow) and unhindered:
            return policy
        made_of = {
            "policy": policy,
            "account": None if self.config.trading is None else self.config.trading.model_dump(mode="json"),
            "limits": [most, guards.model_dump(mode="json")],
            "gate": [gate.engine, gate.shadow, gate.on_failure, gate.review.model_dump(mode="json")],
            "asked": [self.inputs.model, self.inputs.prompt_digest, self.inputs.calibration_digest],
        }
        if self.inputs.size_digest:
            made_of["size"] = self.inputs.size_digest
        return content_digest("run", json.dumps(made_of, sort_keys=True))


def plan_run(config: RunConfig, *, say: Say = lambda text: None) -> RunPlan:
    """Read and check every input of a simulated run: configuration, bars, checkpoint or entries, then the model.

    Raises:
        TrigateError, GateError: the first that does not fit, with its exit code.
    """
    check_settings(config)
    check_room(config.runs, config.min_free_mb)
    bars = read_bars(config.bars, market=config.market, timezone=config.timezone, stamp=config.stamp)
    seconds = None
    if config.seconds is not None:
        seconds = read_seconds(config.seconds, bars, timezone=config.timezone, stamp=config.stamp)
    return plan_over(config, bars, seconds, say=say)


def plan_over(config: RunConfig, bars: Bars, seconds: Bars | None = None, *, say: Say) -> RunPlan:
    """The plan of a run over ``bars``, whose configuration was checked; in paper mode they are its history.

    Raises:
        TrigateError, GateError: the checkpoint, the entries, the model, the broker or the bars do not fit.
        RefusedError: orders would be sent, and the account's rule pack does not allow it.
    """
    checkpoint, identity, account = trader_of(config)
    config = config.model_copy(update={"trading": account})
    trading = compile_trading(account, bars.instrument)
    check_pack(config, trading.pack, today())
    warn_of_old_rules(trading.pack, wall_time_ns(), say)
    paper = config.follows
    span = Span(0, len(bars), len(bars)) if paper else span_traded(config, bars, identity)
    regimes = UNFITTED if checkpoint is None else frozen_regimes(checkpoint, bars.instrument.symbol)
    entries = None
    if config.entries is not None:
        entries = own_entries(config, bars, trading, JudgedSpan(span.first, span.stop))
        for note in entries.notes:
            say(f"warning: {config.entries}: {note}")
    gate, pack_digest = gate_inputs(config.gate, say=say), rule_pack_digest(trading.pack)
    if gate.size is not None:
        gate.size.refuse_other_pack(trading.pack.name, pack_digest)
    inputs = RunInputs(
        config=config.identity,
        bars_digest=bars.digest,
        seconds_digest="" if seconds is None else seconds.digest,
        checkpoint_digest="" if checkpoint is None else checkpoint_digest(checkpoint),
        prompt_digest=gate.prompt_digest,
        model=gate.model,
        rule_pack_digest=pack_digest,
        code_version=CODE_VERSION,
        regimes_digest=regimes.digest,
        calibration_digest=gate.calibration_digest,
        size_digest=gate.size_digest,
        entries_digest="" if entries is None else entries.kept.digest,
    )
    world = world_traded(config.bars, bars, () if checkpoint is None else training_worlds(checkpoint))
    return RunPlan(config, bars, seconds, span, trading, identity, checkpoint, gate, inputs, world, regimes, entries)


class TradedBy(NamedTuple):
    """Who trades, and whose account; without a checkpoint a trader's own entries."""

    checkpoint: Path | None
    identity: Identity | None
    account: TradingConfig


def trader_of(config: RunConfig) -> TradedBy:
    """The policy of a run, loaded once to see that it can be, and its account; or the account of own entries.

    Raises:
        ConfigError, FitError, DamagedCheckpointError: there is none, it does not fit, or a file of it has changed.
    """
    if config.entries is not None:
        return TradedBy(None, None, resolved(account_of(config, None), seconds=config.has_seconds))
    checkpoint = find_checkpoint(config.checkpoint)
    identity = load_trader(checkpoint).identity
    assert identity is not None, "a loaded policy knows what it is"
    account = resolved(account_of(config, identity), seconds=config.has_seconds)
    check_yardstick(checkpoint, identity, account.yardstick)
    return TradedBy(checkpoint, identity, account)


def warn_of_old_rules(pack: RulePack, now_ns: int, say: Say) -> None:
    """Say that a pack was read more than 90 days before ``now_ns``."""
    if warning := pack.staleness(datetime.fromtimestamp(now_ns / 1e9, UTC).date()):
        say(f"warning: {warning}")


def setting_of(
    config: RunConfig, trading: Trading, run_id: str, identity: Identity | None, kept: KeptEntries | None
) -> Setting:
    """What the trader of a run is told of its policy, or of the entries ``kept`` in its place."""
    return Setting(
        run_id=run_id,
        phase=1 if identity is None else identity.phase,
        venue=trading.venue,
        limits=trading.limits,
        gated=config.gate.engine != "off",
        shadow=config.gate.shadow,
        fail_factor=config.gate.fail_factor,
        max_entries_per_session=config.max_entries_per_session,
        frictions=trading.frictions,
        guards=config.guards.limits,
        yardstick=trading.yardstick,
        entries=None if kept is None else kept.by_bar,
        advises=config.mode == "advisory",
        sends=config.broker is not None,
    )


def views_of(bars: Bars, span: Span, trading: Trading, regimes: Frozen) -> CloseViewTable:
    """What the trader of a run over ``bars`` sees at each close, from its history on."""
    shown = bars.slice(span.history, span.stop)
    return CloseViewTable(shown, span.first - span.history, trading.pack, trading.hours, regimes, trading.yardstick)


def views_after(history: Bars, trading: Trading, regimes: Frozen) -> CloseViewStream:
    """What the trader of a run sees at the closes of the bars that come after its ``history``."""
    first_ns, family = int(history.ts_event_ns[0]), history.instrument.calendar
    stream = CloseViewStream(first_ns, trading.pack, trading.hours, regimes, family, trading.yardstick)
    return stream.take_history(history)


def history_shown(bars: Bars) -> Bars:
    """The last of ``bars``, as many as the longest memory needs before the bar that follows them."""
    session = locate(bars.ts_event_ns, bars.instrument.calendar).session
    shown = np.unique(session)[-(VOLUME_SESSIONS + 3) :]  # one more than in a file: the last may be half over
    return bars.slice(int(np.searchsorted(session, shown[0])), len(bars))


def span_traded(config: RunConfig, bars: Bars, identity: Identity | None) -> Span:
    """The bars that a run trades, and those that it shows before: whole sessions, as many as the longest memory needs.

    Raises:
        DataError: nothing is left to trade.
    """
    session = locate(bars.ts_event_ns, bars.instrument.calendar).session
    first = _first_unseen(config, bars, identity, session) if config.part == "held_out" else 0
    try:
        first, stop = span_of(session, first, config.sessions)
    except DataError as error:
        raise DataError(f"{config.bars}: {error}") from error
    shown = np.unique(session[:first])[-(VOLUME_SESSIONS + 2) :]
    history = int(np.searchsorted(session, shown[0])) if len(shown) else first
    return Span(history, first, stop)


def _first_unseen(config: RunConfig, bars: Bars, identity: Identity | None, session: npt.NDArray[np.int32]) -> int:
    """The first bar that the policy was not trained on, or that whoever made the entries had not seen."""
    if identity is not None:
        return first_held_out(identity, bars)
    return first_to_judge(config.seen_until, session)


def rule_pack_digest(pack: RulePack) -> str:
    """SHA-256 of a rule pack as it was read."""
    return hashlib.sha256(pack.model_dump_json().encode()).hexdigest()
