"""What became of each of a trader's own entries in a run: traded, or why not; none is dropped without a word."""

from collections.abc import Sequence

import numpy as np

from orchestrator.report.account_book import AccountBook, BookedProposal, BookedTrade
from orchestrator.workers.kept_entries import KeptEntries
from rl_core.evaluation.entry_fates import met_a_position
from rl_core.market.types import NO_ORDER

WORDS = {
    "traded": "traded",
    "outside_span": "outside the played bars",
    "while_open": "while a position was open",
    "unfilled": "ordered and not filled",
    "refused_by_gate": "refused by the gate",
    "denied": "denied by the account",
    "not_reached": "not reached yet",
}


def own_fates(
    kept: KeptEntries, book: AccountBook, proposals: Sequence[BookedProposal], trades: Sequence[BookedTrade]
) -> dict[str, int]:
    """How many entries were given, and how many of them met which fate; the names are those of `rl-core evaluate`.

    ``refused_by_gate`` were vetoed, shrunk to nothing or left without a verdict. ``denied`` were refused by the account
    or its rules, by a guard, or by a person who had halted the run.
    """
    at = {proposal.proposal_id: proposal.bar for proposal in proposals}
    decided = np.array([at[booked.trade.order_id] for booked in trades], np.int64)
    exit_bar = book.bars.holding([booked.trade.exit_ns for booked in trades])
    given = np.array([entry.bar for entry in kept.entries], np.int64)
    inside = given[given < len(book.bars.ts_event_ns)]
    traded, while_open = met_a_position(inside, decided, exit_bar)
    left = ~traded & ~while_open
    ordered = np.isin(inside, [each.bar for each in proposals if each.taken != NO_ORDER]) & left
    by_gate = np.isin(inside, [each.bar for each in proposals if _by_gate(each)]) & left
    counts = (traded, while_open, ordered, by_gate, left & ~ordered & ~by_gate)
    names = ("traded", "while_open", "unfilled", "refused_by_gate", "denied")
    fates = {name: int(which.sum()) for name, which in zip(names, counts, strict=True)}
    return {"given": kept.given, "outside_span": kept.outside_span, **fates, "not_reached": len(given) - len(inside)}


def fates_in_words(fates: dict[str, int]) -> str:
    """The fates that any entry met, in a sentence."""
    met = [f"{fates[name]:,} {words}" for name, words in WORDS.items() if fates[name]]
    return f"{fates['given']:,} given: {', '.join(met)}"


def _by_gate(proposal: BookedProposal) -> bool:
    return proposal.taken == NO_ORDER and proposal.closed in ("vetoed", "resize_to_zero", "gate_failed")
