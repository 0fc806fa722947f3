"""The report as one HTML file that needs no network: a Jinja2 template, its drawings and its table inside."""

from collections.abc import Mapping
from itertools import accumulate, groupby
from typing import Any

from orchestrator.report import formats
from orchestrator.report.attempts import attempt_days
from orchestrator.report.by_day import month_results
from orchestrator.report.charts import TradeMark, equity_chart, ledger_chart
from orchestrator.report.explorer import explorer_data, rows_shown
from orchestrator.report.figures import action_shares, actions_by_hour
from orchestrator.report.own_fates import fates_in_words
from orchestrator.report.packs import DRAWS
from orchestrator.report.result import RunResult
from rl_core.market.types import UNLIMITED
from rl_core.statistics.sizes import signs_differ
from trigate.pages.render import rendered

FILTERS = (
    "attempts_in_words",
    "break_even_in_words",
    "dollars",
    "exchange_time",
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


def page(result: RunResult, gate_worth: Mapping[str, Any] | None = None) -> str:
    """The whole file; ``gate_worth`` is what the run's gate was worth on whole paths, where that was weighed."""
    rows = rows_shown(result)
    actions, forced = action_shares(result.book)
    shown = {
        "result": result,
        "fates": "" if result.own_fates is None else fates_in_words(result.own_fates),
        "facts": result.facts,
        "manifest": result.facts.manifest,
        "tick": result.facts.trading.contract.tick_size,
        "actions": actions,
        "forced": forced,
        "explorer_data": explorer_data(result, rows),
        "rows_left_out": len(result.ledger) - len(rows),
        "equity_chart": _equity(result),
        "attempt_days": attempt_days(result.book, result.facts.trading.venue.rules),
        "ledger_chart": ledger_chart(result.groups),
        "share_of": formats.share_of,
        "gate_worth": gate_worth,
        "months": month_results(result.days),
        "hours": actions_by_hour(result.book),
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
    rules = result.facts.trading.venue.rules
    target = None if rules.target >= UNLIMITED else rules.start + rules.target
    return equity_chart(result.points, result.run_bars.session, _trade_marks(result), target)


def _trade_marks(result: RunResult) -> list[TradeMark]:
    opened = {event.payload["attempt"]: event.payload["cash"] for event in result.book.of("account_opened")}
    marks = []
    for attempt, of_attempt in groupby(result.trades, key=lambda booked: booked.attempt):
        trades = list(of_attempt)
        balances = accumulate((booked.trade.pnl for booked in trades), initial=opened[attempt])
        bars = result.book.bars.holding([booked.trade.exit_ns for booked in trades])
        marks += [TradeMark(*row) for row in zip(trades, bars.tolist(), list(balances)[1:], strict=True)]
    return marks
