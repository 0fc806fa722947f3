"""What the policy's management made of a run's trades, beside the same entries with their brackets left alone."""

import numpy as np
import numpy.typing as npt

from orchestrator.report.account_book import AccountBook, BookedTrade
from orchestrator.report.facts import RunFacts
from orchestrator.report.veto_ledger import LedgerRow
from rl_core.statistics.criteria import read_criteria
from rl_core.statistics.management_verdict import (
    ManagementVerdict,
    managed_beside_alone,
    verdict_on_management,
)
from rl_core.statistics.verdict import origin_doubts


def management_of(
    facts: RunFacts,
    book: AccountBook,
    trades: list[BookedTrade],
    ledger: list[LedgerRow],
    *,
    days: npt.NDArray[np.int64],
    faults: tuple[str, ...],
) -> ManagementVerdict | None:
    """The verdict on management over fixed brackets; None where no stop was managed.

    Args:
        facts: where bars and policy come from.
        book: of the run.
        trades: that were closed [N].
        ledger: every proposal with the end of its bracket alone.
        days: [N] trading day of each trade's entry.
        faults: what makes the record itself doubtful.

    Raises:
        ConfigError: the file of criteria cannot be read.
    """
    if not book.of("managed"):
        return None
    criteria, origin = read_criteria().management, facts.origin
    ends = {row.proposal.proposal_id: row.result for row in ledger}
    pairs = [
        (booked.r, alone.r, day)
        for booked, day in zip(trades, days.tolist(), strict=True)
        if (alone := ends[booked.trade.order_id]) is not None
    ]
    r, alone_r, day = np.array(pairs, np.float64).reshape(-1, 3).T
    doubts = (*faults, *origin.doubts, *origin_doubts(facts.synthetic, origin.trained_on_world, origin.training_ended))
    managed = managed_beside_alone(r, alone_r, day.astype(np.int64), level=criteria.level)
    return verdict_on_management(managed, criteria, in_sample=origin.in_sample, doubts=doubts)
