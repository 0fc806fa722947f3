"""The account inside a bar: its equity, its drawdown floor, and whether the price has touched it.

Each function is elementwise: it takes one account as plain integers or a batch as int32 arrays [B].
"""

from rl_core.market.types import (
    CLOSED_BALANCE,
    EOD_BALANCE,
    INTRADAY,
    NOT_PAUSED,
    STATIC,
    UNLIMITED,
    Account,
    Bool,
    Cents,
    CentsPerTick,
    Limits,
    Namespace,
    Position,
    Rules,
    Terms,
    Ticks,
)


def unrealized_pnl(position: Position, mark: Ticks, tick_value: CentsPerTick) -> Cents:
    """Cents [B] gained if closed at ``mark`` ticks [B], before costs."""
    return (mark - position.entry) * position.quantity * tick_value


def equity(account: Account, position: Position, mark: Ticks, terms: Terms) -> Cents:
    """Cents [B] of closed balance plus open profit at ``mark`` ticks [B]."""
    return account.cash + unrealized_pnl(position, mark, terms.tick_value)


def opening_account(xp: Namespace, rules: Rules) -> Account:
    """A new account of this pack as its first day opens; scalars."""
    return opened_day(xp, Account(cash=rules.start, floor=rules.start - rules.max_loss), rules)


def opened_day(xp: Namespace, account: Account, rules: Rules) -> Account:
    """The account [B] as a trading day opens: a pause is over, and the last close sets size, daily and open loss.

    Firms look at a day's opening balance, not at the balance of the moment: a tier, a daily loss limit and a share of
    the profit that a trade may lose stay what they are until the next day opens.
    """
    profit = account.cash - rules.start
    tier = rules.tiers[0]
    for higher in rules.tiers[1:]:
        reached = profit >= higher.from_profit
        tier = tier._replace(
            max_minis=xp.where(reached, higher.max_minis, tier.max_minis),
            daily_loss=xp.where(reached, higher.daily_loss, tier.daily_loss),
        )
    # Divided before it is multiplied, because a balance times a percentage in hundredths overflows an int32.
    share = account.cash // 10_000 * rules.daily_percent + account.cash % 10_000 * rules.daily_percent // 10_000
    daily_loss = xp.minimum(tier.daily_loss, xp.where(rules.daily_percent > 0, share, UNLIMITED))
    raised = profit >= rules.open_loss_raised_at
    percent = xp.where(raised, rules.open_loss_raised_percent, rules.open_loss_percent)
    open_loss = xp.maximum(profit, rules.open_loss_base) * percent // 100
    return account._replace(
        day_floor=xp.where(daily_loss < UNLIMITED, account.cash - daily_loss, -UNLIMITED),
        max_open_loss=xp.where(percent > 0, xp.maximum(0, open_loss), UNLIMITED),
        max_minis=tier.max_minis,
        paused=NOT_PAUSED,
    )


def limits_today(xp: Namespace, limits: Limits, account: Account) -> Limits:
    """What one trade may risk today [B]: the tier caps the size, and the open-loss rule caps the budget."""
    return limits._replace(
        risk_budget=xp.minimum(limits.risk_budget, account.max_open_loss),
        max_quantity=xp.minimum(limits.max_quantity, account.max_minis * limits.per_mini),
    )


def rules_in_force(xp: Namespace, rules: Rules, account: Account) -> Rules:
    """The rules as they bind this account [B]: a locked floor is a static one.

    Only a closing balance locks, so an account of one session never is; the environments leave this out.
    """
    return rules._replace(ratchet=xp.where(account.locked != 0, STATIC, rules.ratchet))


def _raised(xp: Namespace, floor: Cents, reference: Cents, rules: Rules, moves: Bool) -> Cents:
    """The floor [B] that follows ``reference`` upwards where it ``moves``, to its cap at most; it never falls."""
    higher = xp.maximum(floor, xp.minimum(reference - rules.max_loss, rules.floor_cap))
    return xp.where(moves, higher, floor)


def floor_after_open_equity(xp: Namespace, floor: Cents, open_equity: Cents, rules: Rules) -> Cents:
    """The floor [B] after a moment of ``open_equity``: only an intraday ratchet follows it."""
    return _raised(xp, floor, open_equity, rules, rules.ratchet == INTRADAY)


def floor_after_close(xp: Namespace, floor: Cents, cash: Cents, rules: Rules) -> Cents:
    """The floor [B] after a trade closed at a balance of ``cash`` [B]."""
    moves = (rules.ratchet == CLOSED_BALANCE) | (rules.ratchet == INTRADAY)
    return _raised(xp, floor, cash, rules, moves)


def floor_after_session(xp: Namespace, floor: Cents, cash: Cents, rules: Rules) -> Cents:
    """The floor [B] after a trading day that ended at a balance of ``cash`` [B]."""
    return _raised(xp, floor, cash, rules, rules.ratchet == EOD_BALANCE)


def after_session(xp: Namespace, account: Account, rules: Rules) -> Account:
    """The account [B] after a trading day, flat: an end-of-day floor moves, and a closing balance may lock it."""
    return account._replace(
        floor=floor_after_session(xp, account.floor, account.cash, rules_in_force(xp, rules, account)),
        locked=xp.maximum(account.locked, xp.where(account.cash >= rules.lock_at_close, 1, 0)),
    )


def touches_daily_loss(xp: Namespace, account: Account, open_equity: Cents, rules: Rules) -> Bool:
    """Whether the day's loss [B] has reached its limit, at ``open_equity`` cents of balance plus open profit."""
    return xp.where(rules.daily_counts_open != 0, open_equity, account.cash) <= account.day_floor


def touches_floor(xp: Namespace, account: Account, open_equity: Cents, rules: Rules) -> Bool:
    """Whether the account [B] is at its floor, at ``open_equity`` cents of balance plus open profit."""
    return xp.where(rules.kills_open != 0, open_equity, account.cash) <= account.floor


def passed(account: Account, position: Position, rules: Rules) -> Bool:
    """Whether the profit target is banked [B]: the account is flat, and its closed balance holds the target."""
    return (position.quantity == 0) & holds_target(account, rules)


def holds_target(account: Account, rules: Rules) -> Bool:
    """Whether the closed balance [B] holds the profit target."""
    return account.cash >= rules.start + rules.target


def ends_at_target(rules: Rules) -> Bool:
    """Whether a session that began an attempt is over once its target is banked: it stands down, or has passed.

    One session passes if the pack asks for no second day and for no steady profit: the only day of an attempt earned
    all of it, so a best-day rule that blocks a pass blocks this one.
    """
    steady = (rules.best_day_blocks_pass == 0) | (rules.best_day_percent + rules.best_day_inclusive > 100)
    return (rules.stand_down != 0) | ((rules.min_days <= 1) & steady)
