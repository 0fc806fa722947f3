"""What a report says by regime: its proposals by label and hidden state, and whether the labels still mean the same."""

from collections.abc import Callable, Mapping
from typing import Any

from orchestrator.report.account_book import AccountBook
from orchestrator.report.figures import GroupFigures, group_figures
from orchestrator.report.veto_ledger import LedgerRow, RunBars
from rl_core.regimes.fitted import LABELS, WILD_FROM, Frozen
from rl_core.regimes.labels import PARTS, Thresholds
from rl_core.regimes.stability import shift_line
from trigate.intervals import widened_level

Word = Callable[[Mapping[str, Any]], str | None]
"""The group of a proposal by what the gate was told; None: it has none."""


def hidden_state(context: Mapping[str, Any]) -> str | None:
    """The likelier hidden state, in a word."""
    wild = context.get("wild_percent")
    if wild is None:
        return None
    return "wild" if wild >= WILD_FROM else "calm"


LEVEL = 0.95  # of all intervals of the table together
ORDER = (*LABELS, *PARTS)
KINDS: dict[str, Word] = {
    "regime": lambda context: str(context["regime"]),
    "hidden state": hidden_state,
    "part of the session": lambda context: str(context["session_part"]),
}


def by_regime(ledger: list[LedgerRow], run_bars: RunBars) -> dict[str, list[GroupFigures]]:
    """Every proposal alone, by each kind of word of the context that it went out with.

    The table is exploratory: it looks at up to fifteen groups at once, so each interval is widened for their number.
    """
    by_kind = {kind: rows for kind, word in KINDS.items() if (rows := _rows_by(word, ledger))}
    level = widened_level(LEVEL, sum(map(len, by_kind.values())))
    return {
        kind: [group_figures(name, rows[name], run_bars.session, level=level) for name in sorted(rows, key=_place)]
        for kind, rows in by_kind.items()
    }


def _rows_by(word: Word, ledger: list[LedgerRow]) -> dict[str, list[LedgerRow]]:
    rows: dict[str, list[LedgerRow]] = {}
    for row in ledger:
        name = word(row.proposal.context)
        if name is not None:
            rows.setdefault(name, []).append(row)
    return rows


def _place(name: str) -> tuple[int, str]:
    """Where a group stands in its table."""
    return (ORDER.index(name) if name in ORDER else len(ORDER), name)


def thresholds_in_words(regimes: Frozen | None) -> str:
    """Which thresholds made the labels; None where a run had them and its file of them is lost."""
    if regimes is None:
        return "The thresholds of these labels were fitted on the training split; the run's copy of them is lost."
    if regimes.model is None:
        return (
            f"Labels by the usual thresholds, not fitted: {_in_words(regimes.thresholds)}. None were fitted "
            "on this market, and there is no hidden state."
        )
    return f"Labels by thresholds fitted on the training split alone: {_in_words(regimes.thresholds)}."


def _in_words(thresholds: Thresholds) -> str:
    return (
        f"beyond {thresholds.trend_milli / 1000:g} ATR in an hour is up or down, volatility below its percentile "
        f"{thresholds.calm_below} is calm, from {thresholds.wild_from} on wild"
    )


def shift_of(book: AccountBook, regimes: Frozen | None) -> str:
    """How far the run's labels are from the training split's, in a line; "" where that is not known."""
    ends = [event.payload for event in book.of("end") if event.payload.get("labels")]
    if not ends or regimes is None or regimes.model is None:
        return ""
    return shift_line(ends[-1]["labels"], ends[-1]["wild"], regimes.model)
