"""A taught gate's size near the floor: the sessions that taught it, drawn anew under all of the account's rules."""

from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from llm_gate.contract import EntryProposal, Label
from llm_gate.engines.logistic import LogisticModel
from llm_gate.teaching.computed_letters import ComputedLetters
from llm_gate.teaching.hidden_states import Step
from orchestrator.report.gate_reruns import ground_of
from orchestrator.report.origin import training_end_of
from orchestrator.report.path_gates import JudgedByFacts, Judges, Told
from orchestrator.run.folder import run_at
from orchestrator.run.found_again import Sources, found_again
from orchestrator.run.plan import rule_pack_digest
from orchestrator.trader.seen_at_close import CloseViewTable
from rl_core.checkpoints.provenance import lies_in_training
from rl_core.evaluation.carried import FRESH, played_again
from rl_core.evaluation.gate_worth import Ground
from rl_core.evaluation.gates import Ruling, Wanted
from rl_core.evaluation.inputs import EvaluationInputs
from rl_core.evaluation.pack_odds import ALL, chosen_packs, setting_of, under_pack
from rl_core.evaluation.path_tables import PathTables
from rl_core.evaluation.size_near_floor import Accounts, LineWorth, NearFloorFit, fit_near_floor, worth_on
from rl_core.evaluation.span import Span
from rl_core.evaluation.tapes import Tape, tape_of, unhindered
from rl_core.market.account import opening_account
from rl_core.market.broker import XP
from rl_core.market.types import Account
from rl_core.rules.prices import AccountPrice
from rl_core.trading.setup import Trading
from trigate.errors import ConfigError

WHOLE = Fraction(1)  # a shrunk entry is on the tape whole, and marked


class TaughtJudge(Protocol):
    """A gate that was taught, without its engine or server."""

    @property
    def last_session(self) -> int:
        """The last of the run's sessions that it was taught on."""

    def judge_all(self, proposals: Iterable[EntryProposal], step: Step) -> None:
        """Prepare to judge these."""

    def judge(self, proposal: EntryProposal) -> Label:
        """What it does with ``proposal``."""


class ByRegression(NamedTuple):
    """A regression as it judges."""

    model: LogisticModel

    @property
    def last_session(self) -> int:
        """The last that taught it."""
        return self.model.last_session

    def judge_all(self, proposals: Iterable[EntryProposal], step: Step) -> None:
        """It needs no preparation."""

    def judge(self, proposal: EntryProposal) -> Label:
        """By its chance of a win."""
        return self.model.judge(proposal)


class ByLetters(NamedTuple):
    """A taught model as it judges."""

    letters: ComputedLetters
    last_session: int

    def judge_all(self, proposals: Iterable[EntryProposal], step: Step) -> None:
        """All of them together."""
        self.letters.judge_all(proposals, step)

    def judge(self, proposal: EntryProposal) -> Label:
        """By the likeliest letter, or by the calibration."""
        return self.letters.judge(proposal)


class SizedGate(NamedTuple):
    """A size near the floor, and what it does on sessions that had no part in it."""

    fit: NearFloorFit
    rule_pack: str
    rule_pack_digest: str
    sessions: int
    later_sessions: int
    later: dict[int, LineWorth]  # of attempts on them, at full size (0) and by the chosen line; or empty


def fit_size(
    run: Path,
    judge: TaughtJudge,
    *,
    prices: Mapping[str, AccountPrice] | None = None,
    sources: Sources | None = None,
    step: Step = lambda done, total: None,
) -> SizedGate:
    """The room to the floor under which half the size helps, on the sessions of ``run`` up to the last that taught.

    What the gate lets through there is played with an account that stops nothing, a new one each session; what it
    would do to accounts is then drawn from those sessions. Later ones only judge what came out.

    Args:
        run: a run's folder.
        judge: the gate.
        prices: of accounts, by pack; given, a line is chosen by dollars and else by attempts that pass.
        sources: where the run's files lie today.
        step: told how many cases of a model are read.

    Raises:
        ConfigError: the gate knows later sessions than the run has, the policy was trained on the run's bars, or the
            pack has no price; or there is nothing to fit a size by.
        DataError, ResourceError: the run's files are not those that it read.
    """
    folder = run_at(run)
    found = found_again(folder, sources or Sources())
    if found.config.follows:
        raise ConfigError(f"{folder.path}: it was played on paper; give a simulation over the same bars")
    ground, pack = ground_of(found, found.table), found.trading.pack
    _refuse_trained_on(training_end_of(folder.manifest()), ground, folder.path)
    taught = _taught(judge.last_session, ground, folder.path)
    accounts = accounts_of(found.trading, prices)
    asked: list[EntryProposal] = []

    def listens(told: EntryProposal) -> Label:
        asked.append(told)
        return "approve"

    def tape(span: Span) -> Tape:
        return tape_let_through(ground.tables, found.table, span, judge.judge)

    tape_let_through(ground.tables, found.table, ground.span, listens)
    judge.judge_all(asked, step)
    fitted_on = tape(taught)
    fit, sessions = fit_near_floor(fitted_on, accounts), len(fitted_on.session)
    made = SizedGate(fit, pack.name, rule_pack_digest(pack), sessions, 0, {})
    if taught.stop == ground.span.stop:
        return made
    later = tape(Span(taught.stop, ground.span.stop))
    lines = dict.fromkeys((0, fit.halve_under))
    return made._replace(later_sessions=len(later.session), later=worth_on(later, accounts, tuple(lines)))


def accounts_of(trading: Trading, prices: Mapping[str, AccountPrice] | None) -> Accounts:
    """The account of ``trading`` and, where ``prices`` are given, what it costs and the account that a pass opens.

    Raises:
        ConfigError: there is no price of this pack, or the funded account is flat at another time. How long before an
            early close of the exchange it is flat does not count.
    """
    setting = setting_of(trading)
    if prices is None:
        return Accounts(setting)
    own = next((named.name for named in chosen_packs(ALL) if named.pack == trading.pack), "")
    price = prices.get(own)
    if price is None:
        raise ConfigError(f"no price of {trading.pack.name}, so nobody knows what an attempt is worth; fit by passes")
    funded = chosen_packs(price.funded)[0].pack
    if funded.session.flat_by != trading.pack.session.flat_by:
        raise ConfigError(
            f"{price.funded}: is flat at another time than {trading.pack.name}, so its trades are others; fit by passes"
        )
    return Accounts(setting, price, setting_of(under_pack(trading, funded)))


def tape_let_through(tables: PathTables, views: CloseViewTable, span: Span, judges: Judges) -> Tape:
    """The trades of the entries that ``judges`` lets through, as any account would meet them; who shrinks halves."""
    trading = tables.trading
    by_facts = JudgedByFacts(judges, Told(views, trading.venue), WHOLE)
    gate = _AsIfNew(by_facts, opening_account(XP, trading.venue.rules))
    free = PathTables(tables.who, tables.view, unhindered(trading), tables.seconds)
    path = played_again(free, span, accounts=FRESH, gate=gate)
    tape = tape_of(EvaluationInputs(tables.who, tables.view, trading, span, seconds=tables.seconds), path.trades)
    decided = np.sort(path.trades.decided, kind="stable").tolist()
    return tape._replace(halved=np.array([by_facts.at[bar] == "shrink" for bar in decided], np.bool_))


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


def _taught(last_session: int, ground: Ground, run: Path) -> Span:
    """The bars up to the end of the last session that taught."""
    session = ground.tables.view.located.session[ground.span.first : ground.span.stop]
    days = np.unique(session)
    if last_session >= len(days):
        raise ConfigError(f"{run}: has {len(days)} sessions, and the gate knows {last_session + 1}")
    stop = int(np.searchsorted(session, days[last_session], side="right"))
    return Span(ground.span.first, ground.span.first + stop)
