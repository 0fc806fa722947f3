"""Which bars an evaluation and a run play: both begin at the same session, and stop after the same number of them."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rl_core.features.features import LONG_BARS
from trigate.errors import DataError


class Span(NamedTuple):
    """Bars [first, stop) of a file."""

    first: int
    stop: int


def span_of(session: npt.NDArray[np.int32], first: int, sessions: int | None = None) -> Span:
    """The bars from ``first`` on, or from the first whole session after the warm-up if that is later.

    Args:
        session: [T] trading day of each bar.
        first: the first bar that may be played.
        sessions: play at most so many.

    Raises:
        DataError: no bar is left to play.
    """
    first = max(first, _first_warm(session))
    if first >= len(session):
        raise DataError(_too_few(session))
    days = np.unique(session[first:])
    if sessions is None or sessions >= len(days):
        return Span(first, len(session))
    return Span(first, int(np.searchsorted(session, days[sessions])))


def span_between(session: npt.NDArray[np.int32], first_day: int, last_day: int) -> Span:
    """The bars of the sessions from ``first_day`` to ``last_day``, both included, as days since 1970-01-01."""
    return Span(int(np.searchsorted(session, first_day)), int(np.searchsorted(session, last_day, side="right")))


def _first_warm(session: npt.NDArray[np.int32]) -> int:
    """The first bar of the first session that begins after the warm-up."""
    if len(session) <= LONG_BARS:
        return len(session)
    return int(np.searchsorted(session, session[LONG_BARS], side="right"))


def _too_few(session: npt.NDArray[np.int32]) -> str:
    """Why no bar is left to play, and what to do."""
    sessions = len(np.unique(session))
    return (
        f"no session of the bars can be played: the first {LONG_BARS:,} bars only warm the features up, and none of "
        f"the {sessions} session{'' if sessions == 1 else 's'} ({len(session):,} bars) begins after them; give bars "
        "that begin two sessions earlier, or go on longer"
    )
