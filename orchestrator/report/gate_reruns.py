"""A run's gate weighed on whole paths: its own verdicts again, beside always approving, three lines and chance.

Nobody is asked: what the gate said stands in the journal, and a path on which it would have been asked other questions
is played for the other gates alone.
"""

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator.report.account_book import AccountBook, BookedProposal, proposals_of, read_account_book, trades_of
from orchestrator.report.origin import origin_of
from orchestrator.report.path_gates import RecordedVerdicts, Told, three_lines
from orchestrator.run.folder import PRIVATE, RunFolder, run_at
from orchestrator.run.found_again import FoundAgain, Sources, found_again
from orchestrator.run.own_entries import signals_of
from orchestrator.trader.seen_at_close import CloseViewTable
from rl_core.bars.seconds import MinuteSeconds, read_seconds
from rl_core.checkpoints.policy import load_trader
from rl_core.evaluation.carried import CARRIED
from rl_core.evaluation.entrants import Enters, Trained
from rl_core.evaluation.gate_worth import APPROVING, RERUNS, THREE_LINES, GateWorth, Ground, Rates, gate_worth
from rl_core.evaluation.gates import APPROVED, VETOED, Ruling
from rl_core.evaluation.path_tables import PathTables
from rl_core.evaluation.span import Span
from rl_core.evaluation.trades import Trades
from rl_core.statistics.criteria import read_criteria
from rl_core.statistics.gate_verdict import GateEvidence, verdict_on_gate
from rl_core.statistics.verdict import Verdict
from trigate.errors import ConfigError
from trigate.whole_files import write_whole

GATE_WORTH = "gate_worth.json"


class WeighedGate(NamedTuple):
    """A run's gate on whole paths, and what is said of it."""

    worth: GateWorth
    verdict: Verdict
    head: str  # digest of the journal that it is of

    def row(self) -> dict[str, Any]:
        """Plain values, as the run's folder keeps them."""
        said = {"verdict": self.verdict.word, "reasons": list(self.verdict.reasons)}
        return {"journal_head": self.head, **said, **self.worth.row()}


def weigh_gate(
    run: Path,
    *,
    reruns: int = RERUNS,
    sources: Sources | None = None,
    on_rerun: Callable[[int], None] = lambda count: None,
) -> WeighedGate:
    """Play the run in the folder ``run`` again under its own and other gates.

    Args:
        run: a run's folder.
        reruns: of random vetoes at the gate's own rates.
        sources: where its files lie today.
        on_rerun: told after each rerun how many there were.

    Raises:
        ConfigError: it has not ended, no gate acted in it, or its own verdicts do not lead to its own trades again.
        DataError, ResourceError: its files are not those that it read.
    """
    folder = run_at(run)
    book = read_account_book(folder)
    found = found_again(folder, sources or Sources())
    _refuse_without_a_gate(folder, book, found)
    views, proposals = found.table, proposals_of(book)
    ground, first = ground_of(found, views), found.span.first - found.span.history
    factor = Fraction(found.config.gate.review.shrink_factor)
    rulings = {first + each.bar: _ruling(each, found) for each in proposals}
    path, gate = ground.played(RecordedVerdicts(rulings))
    _refuse_other_trades(folder, book, path.trades, views)
    others = {
        APPROVING: ground.played(None)[1],
        THREE_LINES: ground.played(three_lines(Told(views, found.trading.venue), factor))[1],
    }
    criteria = read_criteria().gate
    worth = gate_worth(ground, gate, others, _rates(proposals, factor), reruns=reruns, on_rerun=on_rerun)
    return WeighedGate(worth, verdict_on_gate(_evidence(folder, proposals, worth), criteria), book.head)


def write_weighed(run: Path, weighed: WeighedGate) -> None:
    """Keep the result in the run's folder, where its report finds it."""
    write_whole(run / GATE_WORTH, json.dumps(weighed.row(), indent=1) + "\n", mode=PRIVATE)


def read_weighed(run: Path, head: str) -> dict[str, Any] | None:
    """What was kept of the journal that ends with ``head``; None if nothing was, or of another."""
    try:
        kept: dict[str, Any] = json.loads((run / GATE_WORTH).read_text())
    except FileNotFoundError:
        return None
    return kept if kept.get("journal_head") == head else None


def _refuse_without_a_gate(folder: RunFolder, book: AccountBook, found: FoundAgain) -> None:
    gate = found.config.gate
    causes = {
        "it was played on paper; weigh a simulation over the same bars once they are in a file": found.config.follows,
        "it has not ended; the command that began it continues it": not book.ended,
        "its gate was off": gate.engine == "off",
        "its gate was a shadow: it did not act, so what it would have been asked later is not known": gate.shadow,
    }
    for cause, holds in causes.items():
        if holds:
            raise ConfigError(f"{folder.path}: {cause}")


def ground_of(found: FoundAgain, views: CloseViewTable) -> Ground:
    """The bars that the run showed and traded, its policy and its account."""
    market = views.market
    seconds = None
    if found.config.seconds is not None:
        read = read_seconds(found.config.seconds, found.bars, timezone=found.config.timezone, stamp=found.config.stamp)
        seconds = MinuteSeconds(market.bars, read)
    span = Span(found.span.first - found.span.history, found.span.stop - found.span.history)
    tables = PathTables(_who(found, span.first, len(market.bars)), market, found.trading, seconds)
    accounts = CARRIED._replace(most_entries=found.config.max_entries_per_session)
    return Ground(tables, span, views.labels, accounts)


def _who(found: FoundAgain, first: int, total: int) -> Enters:
    """Whoever decided in the run, on ``total`` bars of which ``first`` is its own first."""
    if found.checkpoint is not None:
        return Trained(load_trader(found.checkpoint))
    assert found.entries is not None, "a run has a checkpoint or entries"
    return signals_of(found.entries, first, total)


def _ruling(proposal: BookedProposal, found: FoundAgain) -> Ruling:
    """What was done with the entry; a gate that failed let through what its settings say."""
    assert proposal.decided is not None, "a gate that acts decides on every proposal"
    outcome = proposal.decided["outcome"]
    match outcome["kind"]:
        case "approve":
            return APPROVED
        case "veto":
            return VETOED
        case "resize":
            return Ruling(Fraction(str(outcome["size_factor"])))
    return Ruling(Fraction(found.config.gate.fail_factor))


def _rates(proposals: list[BookedProposal], factor: Fraction) -> Rates:
    """Of all proposals; one on which the gate failed counts as what became of it."""
    asked = max(1, len(proposals))
    nothing = sum(each.taken.quantity == 0 and each.outcome in ("veto", "gate_failed") for each in proposals)
    return Rates(nothing / asked, sum(each.outcome == "resize" for each in proposals) / asked, factor)


def _refuse_other_trades(folder: RunFolder, book: AccountBook, played: Trades, views: CloseViewTable) -> None:
    """The check on everything here: the recorded verdicts, played again, are the run, trade by trade."""
    ts = views.market.bars.ts_event_ns
    again = list(zip(ts[played.exit_bar].tolist(), played.quantity.tolist(), played.pnl_cents.tolist(), strict=True))
    own = [(each.trade.exit_ns, each.trade.quantity, each.trade.pnl) for each in trades_of(book)]
    if again == own:
        return
    alike = sum(one == other for one, other in zip(again, own, strict=False))
    raise ConfigError(
        f"{folder.path}: its own verdicts do not lead to its own trades again ({alike} of {len(own)} come out): a "
        "guard, an operator's word or a policy that fell silent acted in it; its gate cannot be weighed on whole paths"
    )


def _evidence(folder: RunFolder, proposals: list[BookedProposal], worth: GateWorth) -> GateEvidence:
    manifest = folder.manifest()
    origin = origin_of(manifest)
    over = {each.other: each for each in worth.against}
    beaten = over["random"].beaten
    return GateEvidence(
        over_random=over["random"].session_r,
        over_approving=over[APPROVING].session_r,
        beaten=0.0 if beaten is None else beaten,
        in_sample=origin.in_sample,
        synthetic=bool(manifest.declaration),
        proposals=len(proposals),
        without_verdict=sum(each.outcome == "gate_failed" for each in proposals),
    )
