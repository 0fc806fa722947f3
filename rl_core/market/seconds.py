"""A minute walked second by second: what came first is known, except within one second."""

from collections.abc import Sequence

from rl_core.market.fills import BarExit, OpenedBar, Venue, bracket_exit, close_bar, open_bar
from rl_core.market.types import (
    NO_EXIT,
    PESSIMISTIC,
    SECONDS,
    Account,
    BarOutcome,
    BarPrices,
    Namespace,
    Order,
    PlainIntegers,
    Position,
)

XP: Namespace = PlainIntegers()


def add_up(seconds: Sequence[BarPrices], minute: BarPrices) -> bool:
    """Whether ``seconds`` are the whole of ``minute``.

    Where they are not, some trade of the minute happened in a second that is missing, and when is a guess.
    """
    return bool(seconds) and minute == BarPrices(
        open=seconds[0].open,
        high=max(second.high for second in seconds),
        low=min(second.low for second in seconds),
        close=seconds[-1].close,
    )


def play_minute(
    position: Position, account: Account, order: Order, minute: BarPrices, seconds: Sequence[BarPrices], venue: Venue
) -> BarOutcome:
    """The outcome of one minute in plain integers: by its seconds where the venue asks and they add up, else whole."""
    opened = open_bar(XP, position, account, order, minute, venue.terms)
    return close_bar(XP, opened, minute_exit(opened, minute, seconds, venue), venue)


def minute_exit(opened: OpenedBar, minute: BarPrices, seconds: Sequence[BarPrices], venue: Venue) -> BarExit:
    """How a minute that has ``opened`` ends the bracket: by its seconds where they count, else as a whole."""
    if venue.resolution == SECONDS and add_up(seconds, minute):
        return seconds_exit(opened, seconds, venue)
    return bracket_exit(XP, opened.position, opened.account, minute, venue)


def play_seconds(
    position: Position, account: Account, order: Order, minute: BarPrices, seconds: Sequence[BarPrices], venue: Venue
) -> BarOutcome:
    """The outcome of one minute in plain integers, from its seconds; a second without a trade has no bar.

    The order meets the minute's open. A second that opens beyond a level fills at its own open; with both levels
    inside one second the stop comes first. Bars held and the trailing stop count minutes.
    """
    opened = open_bar(XP, position, account, order, minute, venue.terms)
    return close_bar(XP, opened, seconds_exit(opened, seconds, venue), venue)


def seconds_exit(opened: OpenedBar, seconds: Sequence[BarPrices], venue: Venue) -> BarExit:
    """How the seconds of a minute that has ``opened`` end the bracket."""
    inside, account = venue._replace(resolution=PESSIMISTIC), opened.account
    leaving = BarExit(price=0, reason=NO_EXIT, floor=account.floor, ambiguous=False)
    for second in seconds if opened.position.quantity else ():
        leaving = bracket_exit(XP, opened.position, account, second, inside)
        if leaving.reason != NO_EXIT:
            break
        account = account._replace(floor=leaving.floor)
    return leaving
