"""What a run came to, derived from its journal: one offline page, tables and a verdict."""

import json
from pathlib import Path
from typing import Any

from orchestrator.report.account_book import read_account_book
from orchestrator.report.by_day import write_returns
from orchestrator.report.facts import facts_of
from orchestrator.report.figures import GroupFigures
from orchestrator.report.filled_by import refused
from orchestrator.report.formats import (
    attempts_in_words,
    dollars,
    interval,
    passing_in_words,
    refused_in_words,
    suits_in_words,
)
from orchestrator.report.gate_reruns import read_weighed
from orchestrator.report.looks import count_look
from orchestrator.report.own_fates import fates_in_words
from orchestrator.report.page import page
from orchestrator.report.parquet_tables import write_equity, write_trades, write_veto_ledger
from orchestrator.report.result import RunResult, run_result
from orchestrator.run.folder import PRIVATE, REPORT, run_at
from rl_core.statistics.sizes import signs_differ
from trigate.errors import TrigateError
from trigate.whole_files import write_whole

UNSUMMED = "rows overlap (a signal vetoed for ten bars is ten rows), so they are not summed into money"


class UnreconciledError(TrigateError):
    """A journal whose trades, fills and cash do not agree to the cent."""


def report_on(run_folder: Path) -> dict[str, Any]:
    """Write report.html, verdict.json, returns.csv and the three tables into the run's folder; the summary comes back.

    A run that has not ended is reported as far as it went, and the page says so.

    Raises:
        ConfigError: the folder is no run's, or its rule pack cannot be read.
        DamagedJournalError, ForeignJournalError, ResourceError: the journal cannot be trusted, or the disk failed.
        UnreconciledError: the books do not agree; everything is written first, and says so.
    """
    folder = run_at(run_folder)
    facts, book = facts_of(run_folder, folder.manifest()), read_account_book(folder)
    result = run_result(facts, book, tries=count_look(facts, book))
    summary, weighed = summary_of(result), read_weighed(run_folder, result.book.head)
    write_trades(run_folder / "trades.parquet", result.trades)
    write_returns(run_folder / "returns.csv", result.days)
    write_equity(run_folder / "equity.parquet", result.points, result.book.bars)
    write_veto_ledger(run_folder / "veto_ledger.parquet", result.ledger, result.book.bars)
    verdict = {**_verdict_file(result), "gate_worth": weighed}
    write_whole(run_folder / "verdict.json", json.dumps(verdict, indent=1) + "\n", mode=PRIVATE)
    write_whole(run_folder / REPORT, page(result, weighed), mode=PRIVATE)
    if faults := [check.fault for check in result.checks if not check.holds]:
        raise UnreconciledError(f"{run_folder}: the books do not reconcile: {faults[0]}; see report.html")
    return summary


NOTHING_WANTED = (
    "the policy wanted no entry; the page says how often it was asked, and rl-core diagnose with the run of its "
    "training why, and what to change"
)


def summary_of(result: RunResult) -> dict[str, Any]:
    """The figures for a terminal."""
    figures, attempts, gate = result.figures, result.attempts, result.gate
    expectancy = figures.expectancy
    outcomes = gate.outcomes
    note = signs_differ(None if expectancy is None else expectancy.mean, figures.net)
    if result.book.ended and not gate.proposed and result.own_fates is None:
        note = NOTHING_WANTED
    return {
        "verdict": result.verdict.word,
        "because": "; ".join(result.verdict.reasons),
        **({} if result.management is None else {"management": result.management.in_words}),
        "tries": result.tries.made,
        "sharpe_above_luck": result.tries.deflated,
        "status": "ended" if result.book.ended else "not finished",
        **({} if result.own_fates is None else {"own_entries": fates_in_words(result.own_fates)}),
        "sessions": result.sessions,
        "trades": figures.closed,
        "mean_r": None if expectancy is None else expectancy.mean,
        "mean_r_95": interval(expectancy),
        "win_rate": figures.win_rate,
        "payoff": figures.payoff,
        "expectancy": dollars(figures.mean_cents),
        "net_profit": dollars(figures.net),
        "commissions": dollars(figures.costs),
        "max_drawdown": dollars(attempts.max_drawdown),
        "attempts": attempts_in_words(attempts),
        "would_have_passed": "-" if result.would_pass is None else passing_in_words(result.would_pass),
        "account_that_suits": suits_in_words(result.fit),
        "gate": f"{outcomes['approve']} approved, {outcomes['resize']} shrunk, {outcomes['veto']} vetoed, "
        f"{sum(gate.failures.values())} without a verdict, of {gate.proposed} proposals"
        + (f"; ALARM: {gate.alarm}" if gate.alarm else ""),
        "messages": refused_in_words(result.facts.refused),
        "books": "agree to the cent" if result.reconciled else "DO NOT AGREE",
        **({"guards": result.interventions.guards_in_words} if result.interventions.guards else {}),
        **({"operator": result.interventions.words_in_words} if result.interventions.words else {}),
        **({"feed": result.interventions.feed_in_words} if result.interventions.feed else {}),
        **({"filled_by": _filled_by(result)} if result.facts.by_broker else {}),
        **({} if note is None else {"note": note}),
    }


def _verdict_file(result: RunResult) -> dict[str, Any]:
    figures = result.figures
    return {
        "run_id": result.facts.manifest.run_id,
        "journal_head": result.book.head,
        "ended": result.book.ended,
        "verdict": result.verdict.word,
        "reasons": list(result.verdict.reasons),
        "tries": result.tries.made,
        "sharpe_above_luck": result.tries.deflated,
        "synthetic": result.facts.synthetic,
        "own_entries": _own_file(result),
        "management": None if result.management is None else result.management.row(),
        "mean_r": None if figures.expectancy is None else figures.expectancy._asdict(),
        "trades": figures.closed,
        "win_rate": figures.win_rate,
        "payoff": figures.payoff,
        "net_cents": figures.net,
        "costs_cents": figures.costs,
        "attempts": {**result.attempts._asdict(), "open": result.attempts.open},
        "would_have_passed": None if result.would_pass is None else result.would_pass._asdict(),
        "account_that_suits": suits_in_words(result.fit),
        "rule_packs": [] if result.fit is None else [odds.row() for odds in result.fit.odds],
        "gate": {
            "outcomes": result.gate.outcomes,
            "failures": result.gate.failures,
            "alarm": result.gate.alarm,
        },
        "guards": {f"{name} {effect}": count for (name, effect), count in result.interventions.guards.items()},
        "operator": list(result.interventions.words),
        "feed": dict(result.interventions.feed),
        "filled_by": result.facts.filled_by,
        "rejected": dict(result.interventions.rejected),
        "stop_moves_refused": result.interventions.moves_refused,
        "veto_ledger": {group.name: _group_file(group) for group in result.groups},
        "veto_ledger_note": UNSUMMED,
        "by_regime": {kind: {g.name: _group_file(g) for g in groups} for kind, groups in result.regimes.items()},
        "regime_thresholds": result.thresholds,
        "regime_shift": result.shift,
        "reconciliation": [{**check._asdict(), "holds": check.holds} for check in result.checks],
        "not_proven": result.caveats,
    }


def _own_file(result: RunResult) -> dict[str, Any] | None:
    """Whose entries were traded, and what became of them; None where a policy traded."""
    kept = result.facts.entries
    if kept is None or result.own_fates is None:
        return None
    return {"file": kept.file, "file_digest": kept.file_digest, **result.own_fates}


def _filled_by(result: RunResult) -> str:
    """Who filled the orders of a run with a broker, and what it refused."""
    stepped_in = result.interventions
    told = refused(sum(stepped_in.rejected.values()), stepped_in.moves_refused)
    return result.facts.filled_by + (f"; it refused {told}" if told else "")


def _group_file(group: GroupFigures) -> dict[str, Any]:
    mean_r = None if group.expectancy is None else group.expectancy._asdict()
    return {"rows": group.rows, "ended": len(group.r), "mean_r": mean_r, "winners": group.winners}
