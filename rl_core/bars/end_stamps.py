"""The signature of bars that are stamped with their end: sessions that begin one interval late and end at the close.

Nothing trades at the close of a session and something nearly always trades at its open, so a file whose sessions have a
bar at the close and none at the open is a file of end stamps. Read as starts, every bar would be known too late.
"""

import numpy as np
import numpy.typing as npt

from rl_core.bars.faults import RowFault
from rl_core.exchange.calendar import OUTSIDE, Calendar, Located

REGULAR_OPEN, REGULAR_CLOSE = 9 * 60 + 30, 16 * 60  # minutes of the ET day: the regular hours of index futures
BARS_TO_JUDGE = 20  # fewer may end at a close by chance
REMEDY = "Read it with --stamp end"


def end_stamp_faults(
    ts_event_ns: npt.NDArray[np.int64], lines: npt.NDArray[np.int64], calendar: Calendar, located: Located
) -> list[RowFault]:
    """One fault where the bars [T] show the signature of end stamps over whole sessions.

    Args:
        ts_event_ns: [T] stamps of the bars as they were read, ns UTC.
        lines: [T] where each stands in its file; may be empty.
        calendar: of their contract.
        located: [T] their places in it.
    """
    if len(ts_event_ns) < BARS_TO_JUDGE:
        return []
    closing = np.isin(ts_event_ns, calendar.close_ns) & (located.session == OUTSIDE)
    opening = np.isin(ts_event_ns, calendar.open_ns)
    if not closing.any() or opening.any() or ((located.session == OUTSIDE) & ~closing).any():
        return []
    row = int(np.flatnonzero(closing)[0])
    at = f"{np.datetime64(int(ts_event_ns[row]), 'ns').astype('datetime64[s]')}Z"
    where = lines[[row]] if len(lines) else np.array([row + 1])
    expected = (
        f"a start inside a session was expected: {int(closing.sum())} sessions have a bar at their close and none has "
        "one at its open, so these stamps are the ends of bars"
    )
    return [
        RowFault(code="end_stamps", lines=where, column="time", value=lambda _k: at, expected=expected, remedy=REMEDY)
    ]


def regular_hours_warning(minute_et: npt.NDArray[np.int32], interval_s: int) -> str:
    """A warning where bars [T] of regular hours alone look read by the wrong end of a bar; "" where they do not.

    Args:
        minute_et: [T] minute of the ET day of every stamp.
        interval_s: seconds a bar lasts.
    """
    step, run = interval_s // 60, (int(minute_et.min()), int(minute_et.max()))
    first = REGULAR_OPEN + step
    if step and run == (REGULAR_OPEN - step, REGULAR_CLOSE - 2 * step):
        return (
            f"bars run from {_clock(run[0])} to {_clock(run[1])} ET, as regular hours stamped with the start of a bar "
            "do where they are read with --stamp end: if they are, leave it out, else every bar is taken for the one "
            "before it"
        )
    if not step or run != (first, REGULAR_CLOSE):
        return ""
    return (
        f"bars run from {_clock(first)} to {_clock(REGULAR_CLOSE)} ET, as regular hours stamped with the end of a bar "
        "do: if they are, read the file with --stamp end, else every bar is taken for the one after it"
    )


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"
