"""The figures of a run, computed from its tables: trades, attempts, gate, ledger; and the verdict."""

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from llm_gate.review.sameness_alarm import WINDOW
from orchestrator.report.account_book import AccountBook, BookedProposal, BookedTrade, EquityPoint
from orchestrator.report.exchange_clock import minutes_of_day
from orchestrator.report.veto_ledger import LedgerRow
from rl_core.contract import ACTION_NAMES
from rl_core.statistics.bootstrap import Interval, session_block_bootstrap
from rl_core.trading.hours import MINUTE_NS

FROM_POLICY = "policy"
BLOCKING_SHARE = 0.95
"""A gate that vetoes as much blocks the policy rather than judging it."""


class TradeFigures(NamedTuple):
    """What the trades came to; money in cents."""

    expectancy: Interval | None  # mean R a trade
    closed: int  # trades
    win_rate: float | None
    payoff: float | None  # mean R of a winner over mean R of a loser
    gross: int
    costs: int
    net: int
    ambiguous: int  # stop and target in one bar
    reasons: dict[str, int]

    @property
    def mean_cents(self) -> int | None:
        """Cents a trade, rounded."""
        return round(self.net / self.closed) if self.closed else None


class AttemptFigures(NamedTuple):
    """How the evaluation accounts fared; money in cents."""

    opened: int
    passed: int
    failed: int
    stranded: int  # ended a session with less room than one trade risks, or by the gate
    refused: int  # of the stranded, those whose every entry the gate vetoed near the floor
    expired: int  # ran out of calendar days
    paused_days: int  # ended early by the daily loss limit
    max_drawdown: int  # of any attempt, at the closes that were recorded
    room_left: int  # last attempt: equity above the floor
    idle_sessions: int  # sessions after the last entry
    idle_vetoes: int  # proposals after the last entry that the gate vetoed
    idle_proposals: int  # all of them

    @property
    def open(self) -> int:
        """Attempts that have not ended."""
        return self.opened - self.passed - self.failed - self.stranded - self.expired


class GateFigures(NamedTuple):
    """What the gate said."""

    proposed: int
    outcomes: dict[str, int]  # approve, resize, veto: verdicts only
    failures: dict[str, int]  # by cause: never a verdict
    closed: dict[str, int]  # codes of proposals that led to no order
    voices: tuple[str, ...]  # engine: model
    latency_ms: tuple[float, float] | None  # p50, p99
    in_a_row: tuple[str, int]  # the longest row of one verdict: its kind and length
    alarm_from: int  # so many in a row, or of which nearly all are vetoes, raise the alarm
    sized: int = 0  # of those that were shrunk: approved, and halved near the floor by the size line

    @property
    def verdicts(self) -> int:
        """Answers of the gate itself."""
        return sum(self.outcomes.values())

    @property
    def alarm(self) -> str:
        """Why the gate is suspected of blocking, or of saying the same to, every proposal; "" if it is not."""
        vetoes, (kind, length) = self.outcomes["veto"], self.in_a_row
        if self.verdicts >= self.alarm_from and vetoes >= BLOCKING_SHARE * self.verdicts:
            return f"it vetoed {vetoes:,} of {self.verdicts:,} proposals"
        return f"it said {kind} {length:,} times in a row" if length >= self.alarm_from else ""


class GroupFigures(NamedTuple):
    """One group of the ledger."""

    name: str
    rows: int
    r: npt.NDArray[np.float64]  # [N] of the rows that ended
    expectancy: Interval | None
    winners: float | None


def trade_figures(trades: Sequence[BookedTrade], session: npt.NDArray[np.int64]) -> TradeFigures:
    """The figures of trades [N] that were entered on the trading days ``session`` [N]."""
    r = np.array([booked.r for booked in trades], np.float64)
    wins, losses = r[r > 0], r[r <= 0]
    return TradeFigures(
        expectancy=session_block_bootstrap(r, session),
        closed=len(r),
        win_rate=len(wins) / len(r) if len(r) else None,
        payoff=float(wins.mean() / -losses.mean()) if len(wins) and losses.sum() < 0 else None,
        gross=sum(booked.trade.gross for booked in trades),
        costs=sum(booked.trade.costs for booked in trades),
        net=sum(booked.trade.pnl for booked in trades),
        ambiguous=sum(booked.trade.ambiguous for booked in trades),
        reasons=dict(Counter(booked.trade.reason for booked in trades).most_common()),
    )


def attempt_figures(book: AccountBook, points: Sequence[EquityPoint], session: npt.NDArray[np.int32]) -> AttemptFigures:
    """The figures of every attempt; ``session`` [T] is the trading day of each bar."""
    ends = Counter(event.payload["status"] for event in book.of("account_ended"))
    drawdown, peak, attempt = 0, 0, 0
    for point in points:
        peak = point.equity if point.attempt != attempt else max(peak, point.equity)
        attempt = point.attempt
        drawdown = max(drawdown, peak - point.equity)
    entries = [event.bar for event in book.of("fill") if event.payload["reason"] == "entry"]
    last_entry = entries[-1] if entries else 0
    after = session[last_entry:]
    idle = [event.payload["outcome"]["kind"] for event in book.of("decided") if event.bar >= last_entry]
    strandings = [event.payload for event in book.of("account_ended") if event.payload["status"] == "stranded"]
    return AttemptFigures(
        opened=len(book.of("account_opened")),
        passed=ends["passed"],
        failed=ends["failed"],
        stranded=ends["stranded"],
        refused=sum("refused_sessions" in ended for ended in strandings),
        expired=ends["expired"],
        paused_days=len(book.of("day_paused")),
        max_drawdown=drawdown,
        room_left=points[-1].equity - points[-1].floor if points else 0,
        idle_sessions=len(np.unique(after)) - bool(entries),
        idle_vetoes=idle.count("veto"),
        idle_proposals=len(idle),
    )


def gate_figures(
    proposals: Sequence[BookedProposal], latency_s: dict[str, float], *, alarm_from: int = WINDOW
) -> GateFigures:
    """The figures of every proposal, in the order in which they were made; ``alarm_from`` as in the gate's settings."""
    judged = [proposal.decided for proposal in proposals if proposal.decided is not None]
    kinds = Counter(decided["outcome"]["kind"] for decided in judged)
    failures = Counter(d["outcome"]["cause"] for d in judged if d["outcome"]["kind"] == "gate_failed")
    waited = np.array([1000 * latency_s[p.proposal_id] for p in proposals if p.proposal_id in latency_s])
    return GateFigures(
        proposed=len(proposals),
        outcomes={kind: kinds[kind] for kind in ("approve", "resize", "veto")},
        failures=dict(failures.most_common()),
        closed=dict(Counter(p.closed for p in proposals if p.closed).most_common()),
        voices=tuple(sorted({f"{d['engine']}: {d['model']}" for d in judged if d["engine"] != "none"})),
        latency_ms=(float(np.quantile(waited, 0.5)), float(np.quantile(waited, 0.99))) if len(waited) else None,
        in_a_row=_longest_row([d["outcome"]["kind"] for d in judged]),
        alarm_from=alarm_from,
        sized=sum("sized" in decided for decided in judged),
    )


def _longest_row(kinds: Sequence[str]) -> tuple[str, int]:
    """The longest row of one verdict; a failure is no verdict and neither counts nor interrupts."""
    rows = [(kind, len(list(row))) for kind, row in groupby(kind for kind in kinds if kind != "gate_failed")]
    return max(rows, key=lambda row: row[1], default=("", 0))


def action_shares(book: AccountBook) -> tuple[dict[str, int], dict[str, int]]:
    """How often each action was chosen by the policy, and how often HOLD was forced, by cause."""
    chosen = Counter(e.payload["action"] for e in book.of("acted") if e.payload["source"] == FROM_POLICY)
    forced = Counter(e.payload["source"] for e in book.of("acted") if e.payload["source"] != FROM_POLICY)
    return {ACTION_NAMES[action]: chosen[action] for action in sorted(chosen)}, dict(forced.most_common())


def actions_by_hour(book: AccountBook) -> dict[str, dict[str, int]]:
    """How often the policy chose each action, by the hour in New York in which it was asked."""
    asked = [event for event in book.of("acted") if event.payload["source"] == FROM_POLICY]
    if not asked:
        return {}
    closed = book.bars.ts_event_ns[[event.bar for event in asked]] + MINUTE_NS
    hours = (minutes_of_day(closed) // 60).tolist()
    counts: dict[int, Counter[str]] = {}
    for event, hour in zip(asked, hours, strict=True):
        counts.setdefault(hour, Counter())[ACTION_NAMES[event.payload["action"]]] += 1
    return {f"{hour:02d}:00": dict(counts[hour]) for hour in sorted(counts)}


def group_figures(
    name: str, rows: Sequence[LedgerRow], session: npt.NDArray[np.int32], *, level: float = 0.95
) -> GroupFigures:
    """The figures of ledger rows; ``session`` [T] is the trading day of each bar, ``level`` that of the interval."""
    ended = [(row.result, session[row.proposal.bar]) for row in rows if row.result is not None]
    r = np.array([result.r for result, _ in ended], np.float64)
    days = np.array([day for _, day in ended], np.int64)
    winners = float((r > 0).mean()) if len(r) else None
    return GroupFigures(name, len(rows), r, session_block_bootstrap(r, days, level=level), winners)
