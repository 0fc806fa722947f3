"""The account inside a bar: equity, the drawdown floor and the price that touches it."""

from rl_core.market.types import (
    CLOSED_BALANCE,
    EOD_BALANCE,
    INTRADAY,
    Account,
    Bool,
    Int,
    Namespace,
    Position,
    Rules,
    Terms,
)


def unrealized_pnl(position: Position, mark: Int, tick_value: Int) -> Int:
    """Cents gained if closed at ``mark`` ticks, before costs."""
    return (mark - position.entry) * position.quantity * tick_value


def equity(account: Account, position: Position, mark: Int, terms: Terms) -> Int:
    """Cents of closed balance plus open profit at ``mark`` ticks."""
    return account.cash + unrealized_pnl(position, mark, terms.tick_value)


def opening_account(rules: Rules) -> Account:
    """A new account of this pack."""
    return Account(cash=rules.start, floor=rules.start - rules.max_loss)


def _raised(xp: Namespace, floor: Int, reference: Int, rules: Rules, moves: Bool) -> Int:
    higher = xp.maximum(floor, xp.minimum(reference - rules.max_loss, rules.floor_cap))
    return xp.where(moves, higher, floor)


def floor_after_open_equity(xp: Namespace, floor: Int, open_equity: Int, rules: Rules) -> Int:
    """The floor once open equity was seen: only an intraday ratchet follows it."""
    return _raised(xp, floor, open_equity, rules, rules.ratchet == INTRADAY)


def floor_after_close(xp: Namespace, floor: Int, cash: Int, rules: Rules) -> Int:
    """The floor once a trade was closed at a balance of ``cash``."""
    moves = (rules.ratchet == CLOSED_BALANCE) | (rules.ratchet == INTRADAY)
    return _raised(xp, floor, cash, rules, moves)


def floor_after_session(xp: Namespace, floor: Int, cash: Int, rules: Rules) -> Int:
    """The floor once the trading day ended at a balance of ``cash``."""
    return _raised(xp, floor, cash, rules, rules.ratchet == EOD_BALANCE)


def passed(account: Account, position: Position, rules: Rules) -> Bool:
    """Whether the profit target is banked: flat, and the closed balance holds it."""
    return (position.quantity == 0) & (account.cash >= rules.start + rules.target)
