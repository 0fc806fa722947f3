"""A run's proposals with what each would have earned, as cases that the gate can be judged by."""

import json
from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np

from llm_gate.contract import EntryProposal
from llm_gate.evals.data.cases import Case
from llm_gate.evals.data.true_days import TrueDay
from orchestrator.report.account_book import proposals_of, read_account_book
from orchestrator.report.facts import facts_of
from orchestrator.report.origin import training_end_of
from orchestrator.report.veto_ledger import run_bars_of, veto_ledger
from orchestrator.run.folder import run_at
from rl_core.checkpoints.provenance import lies_in_training
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
    embargoed: int = 0
    """Proposals left out, of the sessions before the first one held out."""


def recorded_cases(run_folder: Path, *, tune_share: float = TUNE_SHARE, embargo: int = 0) -> RecordedCases:
    """Every proposal of a run, in order of time, with its outcome alone at its proposed size, in thousandths of R.

    The proposals of the first ``tune_share`` of the sessions are for tuning, the later ones held out; those of the last
    ``embargo`` sessions for tuning are left out. A session is told by its place only, so that no case tells a date.
    Brackets end with their session, so none spans both parts. A case says whether its bar is one that the policy was
    trained on.

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
    training_end = training_end_of(folder.manifest())
    cases, truths, without_end, embargoed = [], [], 0, 0
    for row in veto_ledger(proposals_of(book), run_bars, facts.trading.venue):
        if row.result is None:
            without_end += 1
            continue
        session = int(np.searchsorted(days, run_bars.session[row.proposal.bar]))
        if first_held_out - embargo <= session < first_held_out:
            embargoed += 1
            continue
        case = Case(
            case_id=row.proposal.proposal_id,
            source="recorded",
            split="tune" if session < first_held_out else "held_out",
            proposal=EntryProposal.model_validate_json(json.dumps(asked[row.proposal.proposal_id])),
            outcome_r_milli=round(1000 * row.result.r),
            session=session,
            in_sample=_in_sample(training_end, int(book.bars.ts_event_ns[row.proposal.bar])),
        )
        cases.append(case)
        day = date(1970, 1, 1) + timedelta(days=int(days[session]))
        truths.append(TrueDay.of(case.case_id, day, facts.manifest.market))
    if not cases:
        raise ConfigError(f"{run_folder}: no proposal of this run came to an end; there are no cases to write")
    return RecordedCases(tuple(cases), without_end, len(days), tuple(truths), embargoed)


def in_sample_line(cases: Sequence[Case]) -> str:
    """How many of ``cases`` may teach a gate: a policy's entries on its own training bars look better than they are."""
    counts = Counter(case.in_sample for case in cases)
    if counts[None]:
        return f"for {counts[None]} cases it is not known whether the policy was trained on their bars"
    return f"{counts[True]} cases on bars that the policy was trained on, {counts[False]} outside"


def _in_sample(training_end_ns: int | None, ts_event_ns: int) -> bool | None:
    return None if training_end_ns is None else lies_in_training(training_end_ns, ts_event_ns)
