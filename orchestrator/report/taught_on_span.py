"""One policy's gate: taught on the entries of one span, judged on those of a later one, neither trained on by it."""

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from hashlib import blake2b
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from llm_gate.engines.logistic import LogisticModel
from llm_gate.evals.data.cases import Case
from llm_gate.teaching.fit_logistic import FOLDS, fit_logistic
from llm_gate.teaching.lessons import LEAST_SESSIONS, lessons_of
from orchestrator.report.account_book import BarColumns
from orchestrator.report.path_gates import JudgedByFacts, Listening, Told, three_lines
from orchestrator.report.veto_ledger import RunBars, play_bracket, run_bars_of
from orchestrator.trader.seen_at_close import CloseViewTable
from rl_core.bars.seconds import SecondsByMinute
from rl_core.checkpoints.provenance import lies_in_training
from rl_core.evaluation.carried import FRESH
from rl_core.evaluation.entrants import Enters
from rl_core.evaluation.gate_worth import APPROVING, THREE_LINES, GateWorth, Ground, Rates, gate_worth
from rl_core.evaluation.gates import Wanted
from rl_core.evaluation.path_tables import PathTables
from rl_core.evaluation.pooled_gates import JudgedGate
from rl_core.evaluation.span import Span
from rl_core.regimes.fitted import LABELS
from rl_core.trading.setup import Trading
from trigate.errors import ConfigError

Integers = npt.NDArray[np.int64]


class Policy(NamedTuple):
    """One policy of one fold, and the market as it was told of it."""

    fold: int
    seed: int
    who: Enters
    trained_until_ns: int  # UTC: from here on nothing was trained on
    views: CloseViewTable
    trading: Trading
    seconds: SecondsByMinute | None = None

    @property
    def name(self) -> str:
        """For people."""
        return f"fold {self.fold}, seed {self.seed}"


class Spans(NamedTuple):
    """Where a gate is taught, and where it is judged."""

    taught: Span
    judged: Span


class Teaching(NamedTuple):
    """How gates are taught and judged."""

    factor: Fraction  # of the contracts that a shrunk entry keeps
    reruns: int  # of random vetoes
    max_veto_rate: float = 1.0


class Taught(NamedTuple):
    """A gate with what it was taught on, and what it was worth."""

    gate: JudgedGate
    cases: tuple[Case, ...]  # those that taught (tune), then those that judge (held_out)
    model: LogisticModel | None  # None: nothing could be taught


def teach_and_judge(
    policy: Policy, spans: Spans, how: Teaching, on_rerun: Callable[[int], None] = lambda count: None
) -> Taught:
    """Teach a regression on what the policy's entries of the first span earned, and play the second under it.

    Every session has an account of its own, as `rl-core walk-forward` judges. A gate that nothing can be taught
    approves everything.

    Raises:
        ConfigError: a bar of either span is one that the policy was trained on, or the spans overlap.
    """
    refuse_trained_on(policy, spans)
    view = policy.views.market
    tables = PathTables(policy.who, view, policy.trading, policy.seconds)
    told = Told(policy.views, policy.trading.venue)
    ledger = _Ledger(policy, told, Span(spans.taught.first, spans.judged.stop))
    taught_on, judged_on = Listening(), Listening()
    labels = policy.views.labels
    Ground(tables, spans.taught, labels, FRESH).played(taught_on)
    ground = Ground(tables, spans.judged, labels, FRESH)
    approving = ground.played(judged_on)[1]
    lessons = tuple(ledger.cases(taught_on.asked, "tune"))
    untaught = nothing_to_teach(lessons)
    model = None if untaught else fit_logistic(lessons_of(lessons), max_veto_rate=how.max_veto_rate)
    if model is not None:
        refuse_taught_on(model, ledger.session(spans.judged.first), policy.name)
    gate = JudgedByFacts(lambda told: "approve" if model is None else model.judge(told), told, how.factor)
    own = ground.played(gate)[1]
    others = {APPROVING: approving, THREE_LINES: ground.played(three_lines(told, how.factor))[1]}
    worth = gate_worth(ground, own, others, _rates(gate, how.factor), reruns=how.reruns, on_rerun=on_rerun)
    judged = _judged(policy, worth, gate, () if model is None else lessons, untaught)
    return Taught(judged, (*lessons, *ledger.cases(judged_on.asked, "held_out")), model)


def refuse_trained_on(policy: Policy, spans: Spans) -> None:
    """Raise ConfigError where the policy was trained on a bar of either span, or the second does not follow the first.

    What the checkpoint itself says decides, whatever the record of the walk says of it.
    """
    ts = policy.views.market.bars.ts_event_ns
    first = min(spans.taught.first, spans.judged.first)
    if lies_in_training(policy.trained_until_ns, int(ts[first])):
        raise ConfigError(
            f"{policy.name}: its policy was trained on bars that would teach or judge its gate, where its entries look "
            "better than they are; walk again with another --out"
        )
    if spans.judged.first < spans.taught.stop:
        raise ConfigError(f"{policy.name}: a gate would be judged on bars that it is taught on; walk again")


def refuse_taught_on(model: LogisticModel, first_judged: int, name: str) -> None:
    """Raise ConfigError where the regression was taught on the session ``first_judged`` or a later one."""
    if model.last_session >= first_judged:
        raise ConfigError(
            f"{name}: its gate was taught up to session {model.last_session} of the file, and would be judged from "
            f"session {first_judged} on; only later ones can judge it"
        )


def nothing_to_teach(lessons: Sequence[Case]) -> str:
    """Why these cases teach nothing; empty if they may."""
    sessions = {case.session for case in lessons}
    if len(sessions) < LEAST_SESSIONS:
        return f"sessions with an entry: {len(sessions)} of the {LEAST_SESSIONS} that are needed"
    found = lessons_of(lessons)
    won = found.r > 0
    # A regression is told what it knows by folds that it is not fitted on; each of those fits needs wins and losses.
    alike = [bool(won[~fold].all() or not won[~fold].any()) for fold in found.folds(FOLDS)]
    return "all wins, or all losses, are of a few sessions" if any(alike) else ""


class _Ledger:
    """What each entry would have earned alone, as cases."""

    def __init__(self, policy: Policy, told: Told, span: Span) -> None:
        """Of the bars of ``span``, which begins and ends with a session."""
        self._policy, self._told, self._first = policy, told, span.first
        view = policy.views.market
        self._ts, self._session = view.bars.ts_event_ns, view.located.session
        self._days = np.unique(self._session)
        self._run_bars = _run_bars(policy, span)

    def session(self, bar: int) -> int:
        """The place of a bar's session in the file: no case tells a date."""
        return int(np.searchsorted(self._days, self._session[bar]))

    def cases(self, asked: Iterable[Wanted], split: Literal["tune", "held_out"]) -> list[Case]:
        """One of each entry that met an open."""
        found = []
        policy = self._policy
        for wanted in asked:
            result = play_bracket(self._run_bars, wanted.bar - self._first, wanted.order, policy.trading.venue)
            if result is None:
                continue
            name = blake2b(f"{policy.name}/{wanted.bar}".encode(), digest_size=16).hexdigest()
            found.append(
                Case(
                    case_id=name,
                    source="recorded",
                    split=split,
                    proposal=self._told.proposal(wanted, name),
                    outcome_r_milli=round(1000 * result.r),
                    session=self.session(wanted.bar),
                    in_sample=lies_in_training(policy.trained_until_ns, int(self._ts[wanted.bar])),
                )
            )
        return found


def _run_bars(policy: Policy, span: Span) -> RunBars:
    bars, trading = policy.views.market.bars, policy.trading
    ticks = (bars.open, bars.high, bars.low, bars.close)
    columns = (bars.ts_event_ns, *ticks, bars.contract, bars.volume)
    cut = BarColumns(*(np.asarray(column[span.first : span.stop], np.int64) for column in columns))
    found = run_bars_of(cut, trading.pack, trading.hours, complete=True, family=trading.contract.calendar)
    if policy.seconds is None:
        return found
    return found._replace(seconds=[policy.seconds.of(bar) for bar in range(span.first, span.stop)])


def _rates(gate: JudgedByFacts, factor: Fraction) -> Rates:
    asked = max(1, gate.said.total())
    return Rates(gate.said["veto"] / asked, gate.said["shrink"] / asked, factor)


def _judged(
    policy: Policy, worth: GateWorth, gate: JudgedByFacts, lessons: Sequence[Case], untaught: str
) -> JudgedGate:
    labels = policy.views.labels
    bars = np.array(list(gate.at), np.int64)
    stopped = np.array([label != "approve" for label in gate.at.values()], np.bool_)
    return JudgedGate(
        fold=policy.fold,
        seed=policy.seed,
        worth=worth,
        taught=_counted(np.array([LABELS.index(case.regime) for case in lessons], np.int64)),
        asked=_counted(labels[bars]),
        stopped=_counted(labels[bars[stopped]]),
        untaught=untaught,
    )


def _counted(labels: Integers) -> Integers:
    return np.bincount(labels, minlength=len(LABELS))
