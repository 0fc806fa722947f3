"""A run's proposals with what each would have earned, as cases that the gate can be judged by."""

import json
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np

from llm_gate.contract import EntryProposal
from llm_gate.evals.data.cases import Case
from llm_gate.evals.data.true_days import TrueDay
from orchestrator.report.account_book import proposals_of, read_account_book
from orchestrator.report.facts import facts_of
from orchestrator.report.veto_ledger import run_bars_of, veto_ledger
from orchestrator.run.folder import run_at
from trigate.errors import ConfigError

TUNE_SHARE = 0.5


class RecordedCases(NamedTuple):
    """The cases of one run."""

    cases: tuple[Case, ...]
    without_end: int
    """Proposals left out: their bracket met no open, or the run stopped before its end."""
    sessions: int
    truths: tuple[TrueDay, ...]
    """Which day and market each case is of, for a file of its own."""


def recorded_cases(run_folder: Path, *, tune_share: float = TUNE_SHARE) -> RecordedCases:
    """Every proposal of a run, in order of time, with its outcome alone at its proposed size, in thousandths of R.

    The proposals of the first ``tune_share`` of the sessions are for tuning, the later ones held out. A session is
    told by its place only, so that no case tells a date. Brackets end with their session, so none spans both parts.

    Raises:
        ConfigError: the folder is no run's, its rule pack cannot be read, or there is nothing to write.
        DamagedJournalError, ForeignJournalError, ResourceError: the journal cannot be trusted or read.
    """
    folder = run_at(run_folder)
    facts, book = facts_of(run_folder, folder.manifest()), read_account_book(folder)
    run_bars = run_bars_of(
        book.bars,
        facts.trading.pack,
        facts.trading.hours,
        complete=book.ended,
        family=facts.trading.contract.calendar,
    )
    run_bars = run_bars._replace(seconds=book.seconds)
    asked = {event.payload["proposal"]["proposal_id"]: event.payload["proposal"] for event in book.of("proposed")}
    days = np.unique(run_bars.session)
    first_held_out = round(tune_share * len(days))
    cases, truths, without_end = [], [], 0
    for row in veto_ledger(proposals_of(book), run_bars, facts.trading.venue):
        if row.result is None:
            without_end += 1
            continue
        session = int(np.searchsorted(days, run_bars.session[row.proposal.bar]))
        case = Case(
            case_id=row.proposal.proposal_id,
            source="recorded",
            split="tune" if session < first_held_out else "held_out",
            proposal=EntryProposal.model_validate_json(json.dumps(asked[row.proposal.proposal_id])),
            outcome_r_milli=round(1000 * row.result.r),
            session=session,
        )
        cases.append(case)
        day = date(1970, 1, 1) + timedelta(days=int(days[session]))
        truths.append(TrueDay.of(case.case_id, day, facts.manifest.market))
    if not cases:
        raise ConfigError(f"{run_folder}: no proposal of this run came to an end; there are no cases to write")
    return RecordedCases(tuple(cases), without_end, len(days), tuple(truths))
