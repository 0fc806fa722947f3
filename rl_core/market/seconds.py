"""A minute walked second by second: what came first is known, except within one second."""

from collections.abc import Sequence

from rl_core.market.fills import BarExit, Venue, bracket_exit, close_bar, open_bar, play_bar
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
    if venue.resolution == SECONDS and add_up(seconds, minute):
        return play_seconds(position, account, order, minute, seconds, venue)
    return play_bar(XP, position, account, order, minute, venue)


def play_seconds(
    position: Position, account: Account, order: Order, minute: BarPrices, seconds: Sequence[BarPrices], venue: Venue
) -> BarOutcome:
    """The outcome of one minute in plain integers, from its seconds; a second without a trade has no bar.

    The order meets the minute's open. A second that opens beyond a level fills at its own open; with both levels
    inside one second the stop comes first. Bars held and the trailing stop count minutes.
    """
    opened = open_bar(XP, position, account, order, minute, venue.terms)
    inside, account = venue._replace(resolution=PESSIMISTIC), opened.account
    leaving = BarExit(price=0, reason=NO_EXIT, floor=account.floor, ambiguous=False)
    for second in seconds if opened.position.quantity else ():
        leaving = bracket_exit(XP, opened.position, account, second, inside)
        if leaving.reason != NO_EXIT:
            break
        account = account._replace(floor=leaving.floor)
    return close_bar(XP, opened, leaving, venue)
