"""The report as one HTML file that needs no network: a Jinja2 template, its plots and plotly.js inside."""

import re
from collections.abc import Mapping
from itertools import accumulate, groupby
from typing import Any

from orchestrator.report import formats
from orchestrator.report.account_book import BookedProposal
from orchestrator.report.attempts import attempt_days
from orchestrator.report.charts import TradeMark, equity_chart, ledger_chart
from orchestrator.report.figures import action_shares
from orchestrator.report.packs import DRAWS
from orchestrator.report.result import RunResult
from rl_core.market.types import UNLIMITED
from rl_core.statistics.sizes import signs_differ
from rl_core.trading.hours import MINUTE_NS
from trigate.pages.render import rendered

FILTERS = (
    "attempts_in_words",
    "dollars",
    "points",
    "exchange_time",
    "utc_time",
    "percent",
    "in_r",
    "interval",
    "number",
    "refused_in_words",
    "passing_in_words",
    "suits_in_words",
    "plain_percent",
    "capitalize_first",
)
LETTER_CHOSEN = re.compile(r"the model chose [A-Z] with (\d\.\d+)")
CHOICES = {"approve": "approval", "resize": "shrinking", "veto": "a veto"}
OUTCOME_WORDS = {
    "approve": "approved",
    "resize": "shrunk",
    "veto": "vetoed",
    "gate_failed": "no verdict",
    "ungated": "",
}


def page(result: RunResult, gate_worth: Mapping[str, Any] | None = None) -> str:
    """The whole file; ``gate_worth`` is what the run's gate was worth on whole paths, where that was weighed."""
    actions, forced = action_shares(result.book)
    shown = {
        "result": result,
        "facts": result.facts,
        "manifest": result.facts.manifest,
        "tick": result.facts.trading.contract.tick_size,
        "actions": actions,
        "forced": forced,
        "decisions": [_decision(result, proposal) for proposal in result.proposals],
        "equity_chart": _equity(result),
        "attempt_days": attempt_days(result.book, result.facts.trading.venue.rules),
        "ledger_chart": ledger_chart(result.groups),
        "share_of": formats.share_of,
        "gate_worth": gate_worth,
        "first_attempt": formats.FIRST_ATTEMPT,
        "draws": DRAWS,
        "signs": signs_differ(_mean_r(result), result.figures.net),
    }
    filters = {name: getattr(formats, name) for name in FILTERS}
    return rendered("orchestrator.report", "report.html.j2", shown, filters=filters)


def _mean_r(result: RunResult) -> float | None:
    return None if result.figures.expectancy is None else result.figures.expectancy.mean


def _equity(result: RunResult) -> str:
    if not result.points:
        return ""
    ts_ns = result.book.bars.ts_event_ns.tolist()
    rules = result.facts.trading.venue.rules
    target = None if rules.target >= UNLIMITED else rules.start + rules.target
    return equity_chart(result.points, ts_ns, _trade_marks(result), target)


def _trade_marks(result: RunResult) -> list[TradeMark]:
    opened = {event.payload["attempt"]: event.payload["cash"] for event in result.book.of("account_opened")}
    marks = []
    for attempt, of_attempt in groupby(result.trades, key=lambda booked: booked.attempt):
        trades = list(of_attempt)
        balances = accumulate((booked.trade.pnl for booked in trades), initial=opened[attempt])
        marks += [TradeMark(booked, balance) for booked, balance in zip(trades, list(balances)[1:], strict=True)]
    return marks


def _decision(result: RunResult, proposal: BookedProposal) -> dict[str, Any]:
    """One row of the gate's table."""
    decided = proposal.decided or {}
    outcome = decided.get("outcome", {})
    latency = result.facts.latency_s.get(proposal.proposal_id)
    return {
        "closed_ns": int(result.book.bars.ts_event_ns[proposal.bar]) + MINUTE_NS,
        "side": "buy" if proposal.order.quantity > 0 else "sell",
        "proposed": abs(proposal.order.quantity),
        "taken": abs(proposal.taken.quantity),
        "context": in_words(proposal.context),
        "kind": proposal.outcome,
        "outcome": OUTCOME_WORDS[proposal.outcome],
        "odds": _odds(decided.get("odds_milli")),
        "reason": _reason(outcome) or _not_taken(proposal.closed),
        "latency_ms": None if latency is None else 1000 * latency,
    }


def in_words(context: Mapping[str, Any]) -> str:
    """The market and the account as the gate was told, each figure with its name."""
    trends = ", ".join(f"{context[f'trend_{minutes}_atr_milli'] / 1000:+.1f} in {minutes}" for minutes in (15, 60, 240))
    room, lost = context["room_to_floor_risks_milli"] / 1000, context["losing_streak"]
    return "; ".join(
        [
            f"{context['regime']}, {context['session_part']}",
            f"trend in ATR: {trends} min",
            f"volatility above {context['volatility_percentile']} % of past days",
            *_place_in_words(context),
            f"{context['minutes_to_flat']} min to flat",
            f"room of {room:.1f} risks",
            f"{lost} {'loss' if lost == 1 else 'losses'} in a row",
        ]
    )


def _place_in_words(context: Mapping[str, Any]) -> list[str]:
    """Volume, place in the session and hidden state, each where it was told."""
    words = []
    if context.get("volume_percentile") is not None:
        words.append(f"volume above {context['volume_percentile']} %")
    distances = [context.get(f"{name}_atr_milli") for name in ("to_session_high", "to_session_low", "vwap")]
    if None not in distances:
        high, low, mean = (distance / 1000 for distance in distances if distance is not None)
        words.append(f"{high:.1f} ATR under the high, {low:.1f} over the low, {mean:+.1f} from the mean price")
    if context.get("wild_percent") is not None:
        words.append(f"wild state {context['wild_percent']} %")
    return words


def _odds(odds_milli: Mapping[str, int] | None) -> str:
    if odds_milli is None:
        return formats.NONE
    return " / ".join(f"{odds_milli.get(label, 0) / 10:.1f}" for label in ("approve", "shrink", "veto"))


def _reason(outcome: Mapping[str, Any]) -> str:
    """Why the gate decided as it did; a letter alone says nothing to a reader."""
    reason = str(outcome.get("reason", outcome.get("cause", "")))
    if found := LETTER_CHOSEN.fullmatch(reason):
        return f"the model gave {CHOICES.get(outcome['kind'], outcome['kind'])} a probability of {found[1]}"
    return reason


def _not_taken(code: str) -> str:
    return "" if code in ("", "vetoed", "gate_failed") else code.replace("_", " ")
