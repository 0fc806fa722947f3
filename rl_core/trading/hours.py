"""When a bar's close may decide an entry, must flatten, and how long is left to the flat time."""

from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from rl_core.exchange.calendar import Located
from rl_core.rules.pack import RulePack

MINUTE_NS = 60_000_000_000
DAY_MINUTES = 1440
REGULAR_OPEN = 9 * 60 + 30


class EntryHours(BaseModel):
    """Minutes of the ET day between which entries are decided, at the close of a bar."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    first_minute: int = Field(REGULAR_OPEN, ge=0, lt=DAY_MINUTES)
    last_minute: int = Field(15 * 60 + 45, ge=0, lt=DAY_MINUTES)
    close_buffer_minutes: int = Field(5, ge=0, description="flatten is decided this long before the flat time")

    @model_validator(mode="after")
    def _holds_a_minute(self) -> Self:
        if self.first_minute > self.last_minute:
            raise ValueError(
                f"first_minute {self.first_minute} comes after last_minute {self.last_minute}: no entry would be "
                "decided, as hours do not go round midnight"
            )
        return self


class Hours(NamedTuple):
    """What the clock says at the close of every bar."""

    decision_minute: npt.NDArray[np.int32]  # [T] minute of the ET day at the close
    minutes_to_flat: npt.NDArray[np.int32]  # [T] from the close to the flat time, 0 after it
    entry_open: npt.NDArray[np.bool_]  # [T] an entry may be decided
    flatten_due: npt.NDArray[np.bool_]  # [T] what is open must go


def hours_of(ts_event_ns: npt.NDArray[np.int64], located: Located, pack: RulePack, entry: EntryHours) -> Hours:
    """The hours [T] of minute bars that start at ``ts_event_ns`` [T]; early closes move the flat time forward."""
    decision_minute = (located.minute_et + 1) % DAY_MINUTES
    closed_ns = ts_event_ns + MINUTE_NS
    to_close = (located.close_ns - closed_ns) // MINUTE_NS
    regular_flat = (pack.flat_minute - decision_minute) % DAY_MINUTES
    # The trading day starts at 18:00 ET, so a flat time of 16:59 is always ahead of an evening bar; between the flat
    # time and the close it has passed.
    margin = pack.session.early_close_margin_minutes
    to_flat = np.minimum(regular_flat, to_close - margin)
    passed = regular_flat > to_close + DAY_MINUTES // 2
    to_flat = np.where(passed, 0, np.maximum(0, to_flat))
    in_session = located.session >= 0
    due = in_session & (to_flat <= entry.close_buffer_minutes)
    in_hours = (decision_minute >= entry.first_minute) & (decision_minute <= entry.last_minute)
    return Hours(
        decision_minute=decision_minute.astype(np.int32),
        minutes_to_flat=to_flat.astype(np.int32),
        entry_open=in_session & in_hours & ~due,
        flatten_due=due,
    )


def opens_too_late(
    ts_event_ns: npt.NDArray[np.int64] | int,
    next_ns: npt.NDArray[np.int64] | int,
    minutes_to_flat: npt.NDArray[np.int32] | int,
    rolls: npt.NDArray[np.bool_] | bool = False,
) -> npt.NDArray[np.bool_] | bool:
    """Whether the next bar is no bar to fill at: it opens at or after the flat time, or in another contract.

    Minutes without a trade have no bar, so the next one may open late.

    Args:
        ts_event_ns: [T] start of each bar; the other arguments and the result have the same shape, or are scalars.
        next_ns: start of the bar after each.
        minutes_to_flat: from each bar's close to the flat time.
        rolls: whether the bar after it is of another contract.
    """
    silent_minutes = (next_ns - ts_event_ns) // MINUTE_NS - 1
    return (silent_minutes >= minutes_to_flat) | rolls


def last_of_session(
    ts_event_ns: npt.NDArray[np.int64],
    session: npt.NDArray[np.int32],
    minutes_to_flat: npt.NDArray[np.int32],
    contract: npt.NDArray[np.int32],
) -> npt.NDArray[np.bool_]:
    """[T] the bars after which no bar of the same session and contract opens before the flat time.

    Args:
        ts_event_ns: [T] start of each bar.
        session: [T] its trading day.
        minutes_to_flat: [T] from its close to the flat time.
        contract: [T] which contract it is of; positions are not carried through a roll.
    """
    rolls = contract[1:] != contract[:-1]
    late = opens_too_late(ts_event_ns[:-1], ts_event_ns[1:], minutes_to_flat[:-1], rolls)
    return np.append((session[1:] != session[:-1]) | late, True)
