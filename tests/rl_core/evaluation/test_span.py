"""Where an evaluation and a run begin, and where they stop."""

import numpy as np
import pytest

from rl_core.evaluation.span import Span, span_of
from rl_core.features.features import LONG_BARS
from trigate.errors import DataError

SESSION = np.repeat(np.arange(100, 106, dtype=np.int32), 1000)  # six sessions of 1,000 bars


def test_the_first_whole_session_after_the_warm_up_is_the_first() -> None:
    """1,380 bars end inside the second session."""
    assert LONG_BARS == 1380
    assert span_of(SESSION, 0) == Span(2000, 6000)


def test_a_later_first_bar_is_kept() -> None:
    assert span_of(SESSION, 3000) == Span(3000, 6000)


@pytest.mark.parametrize(("sessions", "stop"), [(1, 4000), (2, 5000), (3, 6000), (4, 6000)])
def test_no_more_sessions_are_played_than_asked_for(sessions: int, stop: int) -> None:
    assert span_of(SESSION, 3000, sessions) == Span(3000, stop)


@pytest.mark.parametrize(
    ("session", "told"),
    [
        (SESSION[:1000], r"none of the 1 session \(1,000 bars\)"),
        (SESSION[:2000], r"none of the 2 sessions \(2,000 bars\)"),
    ],
)
def test_too_few_bars_are_refused_with_what_would_be_enough(session: np.ndarray, told: str) -> None:
    """2,000 bars are more than the 1,380 of the warm-up: what is missing is a session that begins after these."""
    with pytest.raises(DataError, match=rf"the first 1,380 bars only warm .* {told} begins after them; give bars that"):
        span_of(session, 0)
