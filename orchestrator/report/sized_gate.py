"""A regression's size near the floor: the sessions that taught it, drawn anew under all of the account's rules."""

from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np

from llm_gate.engines.logistic import LogisticModel
from orchestrator.report.gate_reruns import ground_of
from orchestrator.report.origin import training_end_of
from orchestrator.report.path_gates import JudgedByFacts, Judges, Told
from orchestrator.run.folder import run_at
from orchestrator.run.found_again import Sources, found_again
from orchestrator.trader.seen_at_close import CloseViewTable
from rl_core.checkpoints.provenance import lies_in_training
from rl_core.evaluation.attempts_at_once import Setting
from rl_core.evaluation.carried import FRESH, played_again
from rl_core.evaluation.gate_worth import Ground
from rl_core.evaluation.gates import Ruling, Wanted
from rl_core.evaluation.inputs import EvaluationInputs
from rl_core.evaluation.path_tables import PathTables
from rl_core.evaluation.size_near_floor import NearFloorFit, fit_near_floor, passes_on
from rl_core.evaluation.span import Span
from rl_core.evaluation.tapes import Tape, tape_of, unhindered
from rl_core.market.account import opening_account
from rl_core.market.broker import XP
from rl_core.market.types import Account
from trigate.errors import ConfigError

HALF = Fraction(1, 2)


class SizedGate(NamedTuple):
    """A size near the floor, and what it does on sessions that had no part in it."""

    fit: NearFloorFit
    later_sessions: int
    later: dict[int, float]  # share of attempts on them that pass, at full size (0) and by the chosen line; or empty


def fit_size(run: Path, model: LogisticModel, sources: Sources | None = None) -> SizedGate:
    """The room to the floor under which half the size helps, on the sessions of ``run`` up to the last that taught.

    What the regression approves there is played with an account that stops nothing, a new one each session; what it
    would do to accounts is then drawn from those sessions. Later ones only judge what came out.

    Raises:
        ConfigError: the regression shrinks already, knows later sessions than the run has, or the policy was trained
            on the run's bars; or there is nothing to fit a size by.
        DataError, ResourceError: the run's files are not those that it read.
    """
    if model.veto_below is not None:
        raise ConfigError("the regression shrinks by the chance of a win already; fit one without --max-veto-rate")
    folder = run_at(run)
    found = found_again(folder, sources or Sources())
    if found.config.follows:
        raise ConfigError(f"{folder.path}: it was played on paper; give a simulation over the same bars")
    ground = ground_of(found, found.table)
    _refuse_trained_on(training_end_of(folder.manifest()), ground, folder.path)
    taught, venue = _taught(model, ground, folder.path), found.trading.venue
    setting = Setting(venue.rules, found.trading.limits, venue.terms)

    def tape(span: Span) -> Tape:
        return tape_let_through(ground.tables, found.table, span, lambda told: model.label(model.p_win(told)))

    fit = fit_near_floor(tape(taught), setting)
    if taught.stop == ground.span.stop:
        return SizedGate(fit, 0, {})
    later = tape(Span(taught.stop, ground.span.stop))
    return SizedGate(fit, len(later.session), passes_on(later, setting, (0, fit.halve_under)))


def tape_let_through(tables: PathTables, views: CloseViewTable, span: Span, judges: Judges) -> Tape:
    """The trades of the entries that ``judges`` lets through, as any account would meet them.

    A gate that shrank some would have them here at their full size.
    """
    trading = tables.trading
    by_facts = JudgedByFacts(judges, Told(views, trading.venue), HALF)
    gate = _AsIfNew(by_facts, opening_account(XP, trading.venue.rules))
    free = PathTables(tables.who, tables.view, unhindered(trading), tables.seconds)
    path = played_again(free, span, accounts=FRESH, gate=gate)
    return tape_of(EvaluationInputs(tables.who, tables.view, trading, span, seconds=tables.seconds), path.trades)


class _AsIfNew:
    """Asks a gate as if each entry were an account's first: how much room it has is what the attempts decide."""

    def __init__(self, gate: JudgedByFacts, account: Account) -> None:
        self._gate, self._account = gate, account

    def review(self, wanted: Wanted) -> Ruling:
        """What the gate says of it."""
        return self._gate.review(wanted._replace(account=self._account, losing_streak=0))


def _refuse_trained_on(training_end_ns: int | None, ground: Ground, run: Path) -> None:
    first = int(ground.tables.view.bars.ts_event_ns[ground.span.first])
    if training_end_ns is None or lies_in_training(training_end_ns, first):
        raise ConfigError(
            f"{run}: its policy was trained on these bars, or nobody knows that it was not; its entries look better "
            "there than they are. Give a run with part = held_out"
        )


def _taught(model: LogisticModel, ground: Ground, run: Path) -> Span:
    """The bars up to the end of the last session that taught."""
    session = ground.tables.view.located.session[ground.span.first : ground.span.stop]
    days = np.unique(session)
    if model.last_session >= len(days):
        raise ConfigError(f"{run}: has {len(days)} sessions, and the regression knows {model.last_session + 1}")
    stop = int(np.searchsorted(session, days[model.last_session], side="right"))
    return Span(ground.span.first, ground.span.first + stop)
