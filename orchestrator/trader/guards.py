"""Guards apart from everything learned: they look at account and clock, and can only take risk away; pure.

| guard | acts at a close once | and then |
|---|---|---|
| contracts | an order is larger | the order is cut to it, whatever policy and gate said |
| entries_a_day | so many entries were ordered this session | no entry |
| loss_a_day | equity is so far below the session's opening balance | no entry this session, and flat |
| floor_margin | an entry's stop would come so near to the drawdown floor | no entry |
| | equity itself is so near to it | flat |
| policy_silent | the policy gave no answer of its own so often in a row | flat; no entry before it answers again |
| close_buffer | the flat time is so few minutes away | no entry, and flat |

Each is off unless it is set. None names a side, a price or a size but a smaller one.
"""

from typing import Literal, NamedTuple

GuardName = Literal["contracts", "entries_a_day", "loss_a_day", "floor_margin", "policy_silent", "close_buffer"]
Effect = Literal["smaller", "no_entry", "flat"]


class Guards(NamedTuple):
    """A person's own limits; None: off. Money in cents."""

    contracts: int | None = None
    entries_a_day: int | None = None
    loss_a_day: int | None = None
    floor_margin: int | None = None
    policy_silent: int | None = None  # answers in a row
    close_buffer: int | None = None  # minutes


OFF = Guards()


class Watched(NamedTuple):
    """What the guards look at, at a close; money in cents."""

    equity: int
    floor: int
    opened: int  # balance at which the session opened
    lost: bool  # the day's loss was reached before, in this session
    entries: int  # ordered this session
    silent: int  # answers in a row that were not the policy's own
    minutes_to_flat: int
    at_stake: int  # what the entry that would be ordered now loses at its stop


def in_force(guards: Guards, seen: Watched) -> dict[GuardName, Effect]:
    """The guards that hold back now, and how; ``flat`` includes no entry."""
    found: dict[GuardName, Effect | None] = {
        "entries_a_day": "no_entry" if _reached(guards.entries_a_day, seen.entries) else None,
        "loss_a_day": "flat" if seen.lost or _reached(guards.loss_a_day, seen.opened - seen.equity) else None,
        "floor_margin": _near_the_floor(guards.floor_margin, seen),
        "policy_silent": "flat" if _reached(guards.policy_silent, seen.silent) else None,
        "close_buffer": "flat" if _within(guards.close_buffer, seen.minutes_to_flat) else None,
    }
    return {name: effect for name, effect in found.items() if effect is not None}


def cut(guards: Guards, quantity: int) -> int:
    """The contracts that are left of an order of ``quantity``, signed."""
    if guards.contracts is None:
        return quantity
    return max(-guards.contracts, min(guards.contracts, quantity))


def _near_the_floor(margin: int | None, seen: Watched) -> Effect | None:
    room = seen.equity - seen.floor
    if _within(margin, room):
        return "flat"
    return "no_entry" if _within(margin, room - seen.at_stake) else None


def _reached(limit: int | None, value: int) -> bool:
    return limit is not None and value >= limit


def _within(limit: int | None, value: int) -> bool:
    return limit is not None and value <= limit
