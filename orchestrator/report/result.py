"""Everything that a report says of one run, computed from its journal and its facts."""

from decimal import Decimal
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from llm_gate.evals.scoring.promotion import Judged, Promotion, PromotionCriteria, promotion
from orchestrator.report.account_book import (
    AccountBook,
    BookedProposal,
    BookedTrade,
    EquityPoint,
    equity_points,
    proposals_of,
    trades_of,
)
from orchestrator.report.attempts import WouldPass, would_pass
from orchestrator.report.by_day import DayResult, day_results
from orchestrator.report.by_regime import by_regime, shift_of, thresholds_in_words
from orchestrator.report.caveats import caveats
from orchestrator.report.facts import RunFacts
from orchestrator.report.figures import (
    AttemptFigures,
    GateFigures,
    GroupFigures,
    TradeFigures,
    attempt_figures,
    gate_figures,
    group_figures,
    trade_figures,
)
from orchestrator.report.interventions import Interventions, interventions
from orchestrator.report.management import management_of
from orchestrator.report.own_fates import own_fates
from orchestrator.report.packs import AccountFit, account_fit
from orchestrator.report.reconciliation import BookStatement, reconcile
from orchestrator.report.veto_ledger import LedgerRow, RunBars, run_bars_of, veto_ledger
from rl_core.evaluation.tries import tries_of
from rl_core.market.seconds import add_up
from rl_core.market.types import NO_ORDER, SECONDS, BarPrices, Terms
from rl_core.statistics.break_even import BreakEven, break_even
from rl_core.statistics.criteria import read_criteria
from rl_core.statistics.management_verdict import ManagementVerdict
from rl_core.statistics.sharpe import sharpe_of
from rl_core.statistics.verdict import Evidence, Tries, Verdict, verdict_on
from rl_core.trading.setup import RESOLUTIONS

GROUPS = {
    "approve": "approved",
    "veto": "vetoed",
    "resize": "shrunk",
    "gate_failed": "no verdict",
    "ungated": "not judged",
}


class RunResult(NamedTuple):
    """What a report is made of."""

    facts: RunFacts
    book: AccountBook
    run_bars: RunBars
    trades: list[BookedTrade]
    proposals: list[BookedProposal]
    points: list[EquityPoint]
    ledger: list[LedgerRow]
    groups: list[GroupFigures]  # of the ledger, by outcome
    regimes: dict[str, list[GroupFigures]]  # of the ledger: by label, by hidden state, by part of the session
    thresholds: str  # of the labels, in words
    shift: str  # of the labels since training, in words; "" where it is not known
    resolutions: list[GroupFigures]  # taken entries alone, by resolution
    without_seconds: int  # bars with a position that had to be read without them
    figures: TradeFigures
    attempts: AttemptFigures
    days: list[DayResult]  # every trading day of the run
    would_pass: WouldPass | None  # None: no account was opened yet
    fit: AccountFit | None  # which account suits what was traded; None: too little to draw from
    gate: GateFigures
    promotion: Promotion  # of the gate's verdicts in this run, by the default criteria
    checks: tuple[BookStatement, ...]
    break_even: BreakEven | None  # costs at which the profit is gone; None without a trade
    tries: Tries  # that looked at some of these sessions
    verdict: Verdict
    caveats: list[str]
    interventions: Interventions
    management: ManagementVerdict | None = None  # over fixed brackets; None: no stop was managed
    own_fates: dict[str, int] | None = None  # what became of a trader's own entries; None: a policy traded

    @property
    def sessions(self) -> int:
        """Trading days in the run."""
        return len(np.unique(self.run_bars.session))

    @property
    def reconciled(self) -> bool:
        """Whether the books agree to the cent."""
        return all(check.holds for check in self.checks)


def run_result(facts: RunFacts, book: AccountBook, *, tries: int = 1) -> RunResult:
    """Every figure of one run, of which ``tries`` different ones were judged on some of its sessions."""
    run_bars = _run_bars(facts, book)
    trades, proposals = trades_of(book), proposals_of(book)
    points = equity_points(book, run_bars.session)
    ledger = veto_ledger(proposals, run_bars, facts.trading.venue)
    days, r = _entry_days(trades, book, run_bars), np.array([booked.r for booked in trades], np.float64)
    figures = trade_figures(trades, days)
    sessions = len(np.unique(run_bars.session))
    looked = tries_of(tries, sharpe_of(days, r, sessions))
    attempts = attempt_figures(book, points, run_bars.session)
    gate = gate_figures(proposals, facts.latency_s, alarm_from=facts.alarm_window)
    stepped_in = interventions(book)
    checks = reconcile(book, facts.trading.contract.tick_value)
    faults = _record_faults(book, checks)
    return RunResult(
        facts=facts,
        book=book,
        run_bars=run_bars,
        trades=trades,
        proposals=proposals,
        points=points,
        ledger=ledger,
        groups=_groups(ledger, run_bars),
        regimes=by_regime(ledger, run_bars),
        thresholds=thresholds_in_words(facts.regimes),
        shift=shift_of(book, facts.regimes),
        resolutions=_by_resolution(ledger, run_bars, facts),
        without_seconds=_without_seconds(book),
        figures=figures,
        attempts=attempts,
        days=day_results(book, trades, run_bars.session),
        would_pass=would_pass(book, points, facts.trading.venue.rules),
        fit=account_fit(facts.trading, book, proposals),
        gate=gate,
        promotion=_promotion(ledger, run_bars, trials=_trials(facts)),
        checks=checks,
        break_even=_break_even(trades, facts.trading.venue.terms),
        tries=looked,
        verdict=verdict_on(_evidence(facts, figures, gate, (looked, faults)), read_criteria().policy),
        caveats=[*caveats(facts, figures, attempts, gate, sessions, looked), *stepped_in.sentences],
        interventions=stepped_in,
        management=management_of(facts, book, trades, ledger, days=days, faults=faults),
        own_fates=None if facts.entries is None else own_fates(facts.entries, book, proposals, trades),
    )


def _trials(facts: RunFacts) -> int:
    """Prompts, thresholds and lines on record when what made the verdicts was saved; one is assumed without any."""
    return max([1, *(fitted.trials for fitted in (facts.calibration, facts.size) if fitted is not None)])


def _run_bars(facts: RunFacts, book: AccountBook) -> RunBars:
    trading = facts.trading
    bars = run_bars_of(book.bars, trading.pack, trading.hours, complete=book.ended, family=trading.contract.calendar)
    return bars._replace(seconds=book.seconds)


def _entry_days(trades: list[BookedTrade], book: AccountBook, run_bars: RunBars) -> npt.NDArray[np.int64]:
    bar = book.bars.holding([booked.trade.entry_ns for booked in trades])
    return run_bars.session[bar].astype(np.int64)


def _break_even(trades: list[BookedTrade], terms: Terms) -> BreakEven | None:
    """How much dearer trading could become until these trades earn nothing."""
    made = [booked.trade for booked in trades]
    pnl, quantity = (np.array([getattr(trade, name) for trade in made], np.int64) for name in ("pnl", "quantity"))
    return break_even(pnl, quantity, np.array([trade.reason == "target" for trade in made], bool), terms.tick_value)


def _promotion(ledger: list[LedgerRow], run_bars: RunBars, *, trials: int) -> Promotion:
    """Whether the verdicts of this run alone would let their gate act; a failure is no verdict."""
    rows = [
        Judged(int(run_bars.session[row.proposal.bar]), _share(row.proposal), row.result.r)
        for row in ledger
        if row.result is not None and row.proposal.outcome in ("approve", "resize", "veto")
    ]
    return promotion(rows, PromotionCriteria(), trials=trials)


def _share(proposal: BookedProposal) -> float:
    """Of the proposed contracts, what the verdict lets through."""
    if proposal.decided is None or proposal.outcome != "resize":
        return float(proposal.outcome == "approve")
    quantity = abs(proposal.order.quantity)
    factor = Decimal(str(proposal.decided["outcome"]["size_factor"]))
    return float(int(factor * quantity) / quantity)


def _groups(ledger: list[LedgerRow], run_bars: RunBars) -> list[GroupFigures]:
    rows = {name: [row for row in ledger if row.proposal.outcome == kind] for kind, name in GROUPS.items()}
    return [group_figures(name, group, run_bars.session) for name, group in rows.items() if group]


def _by_resolution(ledger: list[LedgerRow], run_bars: RunBars, facts: RunFacts) -> list[GroupFigures]:
    """The entries that were ordered, alone, under every resolution that the run's bars allow; R is that of any size."""
    venue, taken = facts.trading.venue, [row for row in ledger if row.proposal.taken != NO_ORDER]
    proposals, figures = [row.proposal for row in taken], []
    for name, code in RESOLUTIONS.items():
        if code == SECONDS and run_bars.seconds is None:
            continue
        own = code == venue.resolution
        rows = taken if own else veto_ledger(proposals, run_bars, venue._replace(resolution=code))
        figures.append(group_figures(name, rows, run_bars.session))
    return figures


def _without_seconds(book: AccountBook) -> int:
    """How many bars with a trade or a position had no seconds that add up, so that the stop was taken first."""
    if book.seconds is None:
        return 0
    bars = book.bars
    rows = zip(bars.open.tolist(), bars.high.tolist(), bars.low.tolist(), bars.close.tolist(), strict=True)
    prices = [BarPrices(*row) for row in rows]
    return sum(not add_up(book.seconds[event.bar], prices[event.bar]) for event in book.of("mark"))


def _evidence(
    facts: RunFacts, figures: TradeFigures, gate: GateFigures, known: tuple[Tries, tuple[str, ...]]
) -> Evidence:
    """Everything that the verdict depends on; ``known`` are the tries and what is wrong with the record."""
    origin, (tries, record_faults) = facts.origin, known
    return Evidence(
        expectancy=figures.expectancy,
        in_sample=origin.in_sample,
        synthetic=facts.synthetic,
        trained_on_world=origin.trained_on_world,
        training_ended=origin.training_ended,
        proposals=gate.proposed,
        without_verdict=sum(gate.failures.values()),
        tries=tries,
        record_faults=(*record_faults, *origin.doubts),
    )


def _record_faults(book: AccountBook, checks: tuple[BookStatement, ...]) -> tuple[str, ...]:
    """What makes the record itself doubtful, whatever the trades say."""
    faults = {
        "the books do not reconcile": not all(check.holds for check in checks),
        "the run has not ended": not book.ended,
    }
    return tuple(fault for fault, holds in faults.items() if holds)
