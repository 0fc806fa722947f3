"""What became of each entry that was known before: traded, or why not; nothing is dropped without a word."""

import numpy as np
import numpy.typing as npt

from rl_core.evaluation.carried import CarriedPath
from rl_core.evaluation.entrants import Signals
from rl_core.evaluation.span import Span
from rl_core.features.market_view import MarketView

Integers = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


def entry_fates(signals: Signals, view: MarketView, span: Span, path: CarriedPath) -> dict[str, int]:
    """How many entries were given, and how many of them met which fate.

    ``traded`` were closed as trades. ``outside_span`` lie before the first session that can be played, or after the
    last. ``while_open`` came while a position was open. ``unfilled`` were ordered, and no bar opened in time, or the
    next one opened beyond the entry's own stop or target. ``denied`` were refused by the account or its rules: ended,
    paused, without room or contracts for the stop, or past the entries of a session.
    """
    given = np.flatnonzero((signals.side != 0) & view.hours.entry_open)
    inside = given[(given >= span.first) & (given < span.stop)]
    traded, open_then = met_a_position(inside, path.trades.decided, path.trades.exit_bar)
    ordered = np.isin(inside, path.ordered) & ~traded & ~open_then
    return {
        "given": len(given),
        "traded": int(traded.sum()),
        "outside_span": len(given) - len(inside),
        "while_open": int(open_then.sum()),
        "unfilled": int(ordered.sum()),
        "denied": int((~traded & ~open_then & ~ordered).sum()),
    }


def met_a_position(inside: Integers, decided: Integers, exit_bar: Integers) -> tuple[Bools, Bools]:
    """Which entries [N] became trades, and which came while a position was open.

    Args:
        inside: bars of the entries.
        decided: [M] bars at which the trades were decided, in order of time.
        exit_bar: [M] where they ended.
    """
    traded = np.isin(inside, decided)
    # A trade that began before this close and did not end in its bar, or earlier.
    latest = np.searchsorted(decided, inside, side="left") - 1
    ended = np.append(exit_bar, -1)[latest]  # index -1: no trade began before
    return traded, ~traded & (ended > inside)
