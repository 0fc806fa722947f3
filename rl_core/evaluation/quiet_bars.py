"""The bars in which an open bracket meets nothing: found from prices alone, so that a path need not play each.

A bar is quiet where it reaches neither stop nor target nor a price at which the account's floor or its daily loss acts.
All that `rl_core.market.fills.play_bar` does in it is to count it, and to let an intraday floor follow the best price.
Where there is a doubt a bar is not called quiet: it is then played as any other.
"""

from collections.abc import Sequence

from rl_core.market.account import floor_after_open_equity, rules_in_force
from rl_core.market.broker import XP, BrokerState
from rl_core.market.fills import Venue
from rl_core.market.types import UNLIMITED, Account, Cents, Position, Rules, Ticks

ANY_PRICE = 1 << 62
"""An edge that every price is below: a closed balance has reached a limit, so no bar is quiet."""


def after_quiet_bars(
    held: BrokerState, prices: Sequence[Sequence[Ticks]], first: int, stop: int, venue: Venue
) -> tuple[BrokerState, int]:
    """The broker after the quiet bars from ``first`` on, and the first bar in [first, stop] that is not one of them.

    Args:
        held: an open bracket whose stop does not trail, and no order.
        prices: [T] open, high, low and close of each bar.
        first: the bar that comes next.
        stop: the bar that is to be played as any other, whatever happens before.
        venue: whose rules hold; its slippage moves no quiet bar.
    """
    position, account = held.position, held.account
    assert position.quantity and not position.trailing and not held.order.quantity, "nothing but a resting bracket"
    rules, side = rules_in_force(XP, venue.rules, account), XP.sign(position.quantity)
    value = abs(position.quantity) * venue.terms.tick_value
    target, best = side * position.target, -ANY_PRICE
    edge, bar = _edge(account, position, value, rules), first
    towards, away = (1, 2) if side > 0 else (2, 1)
    while bar < stop:
        favourable, adverse = side * prices[bar][towards], side * prices[bar][away]
        if favourable > target or adverse <= edge:
            break
        if favourable > best:
            open_equity = account.cash + (favourable - side * position.entry) * value
            floor = floor_after_open_equity(XP, account.floor, open_equity, rules)
            raised, higher = account, edge
            if floor != account.floor:
                raised = account._replace(floor=floor)
                higher = _edge(raised, position, value, rules)
            if adverse <= higher:
                break
            account, edge, best = raised, higher, favourable
        bar += 1
    position = position._replace(bars_held=position.bars_held + bar - first)
    return held._replace(position=position, account=account), bar


def _edge(account: Account, position: Position, value: Cents, rules: Rules) -> Ticks:
    """The highest price, as a long's, at which the stop, the floor or the daily loss acts.

    Args:
        account: with its floor as the prices so far have raised it.
        position: the bracket.
        value: cents a tick of the whole position.
        rules: as they bind the account.
    """
    side, level = XP.sign(position.quantity), -UNLIMITED
    for line, of_open_equity in ((account.floor, rules.kills_open), (account.day_floor, rules.daily_counts_open)):
        if of_open_equity:
            level = max(level, line)
        elif account.cash <= line:
            return ANY_PRICE
    return max(side * position.stop, side * position.entry + (level - account.cash) // value)
