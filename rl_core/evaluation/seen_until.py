"""What a trader had seen of the bars when the entries were made: a day, by which the sessions after it are unseen."""

from datetime import UTC, date, datetime

import numpy as np
import numpy.typing as npt

from trigate.errors import ConfigError, DataError

NOBODY_SAID = (
    "nobody has said which bars these entries, or the rule behind them, were made on: --seen-until DATE says so"
)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def day_of(text: str | None) -> date | None:
    """The day that a person wrote; None where nothing was.

    Raises:
        ConfigError: it is no day.
    """
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"--seen-until {text!r}: a day such as 2025-01-31 was expected") from error


def first_unseen(seen_until: date | None, session: npt.NDArray[np.int32]) -> int:
    """The first bar of the first session after ``seen_until``; 0 where nobody said, T where every bar was seen.

    Args:
        seen_until: the last day that was looked at.
        session: [T] trading day of each bar.
    """
    if seen_until is None:
        return 0
    last = (datetime(seen_until.year, seen_until.month, seen_until.day, tzinfo=UTC) - EPOCH).days
    return int(np.searchsorted(session, last, side="right"))


def first_to_judge(seen_until: date | None, session: npt.NDArray[np.int32]) -> int:
    """As `first_unseen`.

    Raises:
        DataError: every bar was seen.
    """
    first = first_unseen(seen_until, session)
    if first >= len(session):
        raise DataError(f"every bar was seen by {seen_until}; give later bars, or --part all to see what is in sample")
    return first
