"""What a funded account pays out, drawn very many times: it trades on, and what may be taken out is taken at once."""

from typing import NamedTuple

import numpy as np

from rl_core.evaluation.attempts_at_once import ACTIVE, PASSED, Bools, Integers, Lanes, Setting, play_attempts
from rl_core.evaluation.tapes import Tape
from rl_core.market.types import ANY_PERCENT, UNLIMITED, Rules
from rl_core.rules.prices import AccountPrice


class PayoutRule(NamedTuple):
    """When a funded account pays, and how much; money in cents."""

    least: int
    most: tuple[int, ...]  # of the first payout, the second and so on; the last for all that follow
    share: int  # of the profit that one payout may take, in ten-thousandths
    keep: int  # profit that stays on the account
    most_payouts: int
    days: int  # with a trade since the last payout
    winning_days: int  # since the last payout
    winning_day: int  # that a day must earn to count as won
    best_day_percent: int  # of the profit since the last payout that its best day may be
    best_day_inclusive: bool
    floor_to_start: bool  # a payout lifts the floor to the opening balance


def payout_rule(price: AccountPrice, rules: Rules) -> PayoutRule:
    """The rule of an account at ``price`` whose funded stage obeys ``rules``, which say after which days it pays."""
    any_day = bool(rules.best_day_blocks_pass)
    return PayoutRule(
        least=int(price.least * 100),
        most=tuple(int(cap * 100) for cap in price.caps) or (UNLIMITED,),
        share=int(price.share_percent * 100),
        keep=int(price.keep * 100),
        most_payouts=price.most_payouts or UNLIMITED,
        days=rules.payout_days,
        winning_days=rules.payout_winning_days,
        winning_day=rules.winning_day,
        best_day_percent=ANY_PERCENT if any_day else rules.best_day_percent,
        best_day_inclusive=bool(rules.best_day_inclusive),
        floor_to_start=price.floor_to_start,
    )


class PayoutBook:
    """The payouts of funded accounts [L], taken at the end of the day on which they are due."""

    def __init__(self, count: int, rule: PayoutRule) -> None:
        """``count`` accounts that have paid nothing."""
        self._rule = rule
        self.paid: Integers = np.zeros(count, np.int64)
        """Cents that left each account, before the split."""
        self._payouts, self._days, self._won, self._best, self._earned = np.zeros((5, count), np.int64)

    def after_day(self, lanes: Lanes) -> Lanes:
        """The lanes after what is due of them was paid; one that has paid as often as it may has ended."""
        rule, at, account = self._rule, lanes.number, lanes.account
        result = account.cash - lanes.opening
        self._days[at] += lanes.traded_today
        self._won[at] += result >= rule.winning_day
        self._best[at] = np.maximum(self._best[at], result)
        self._earned[at] += result
        profit, caps = account.cash - lanes.setting.rules.start, np.array(rule.most)
        free = np.minimum(profit - rule.keep, profit * rule.share // 10_000)
        due = (free >= rule.least) & (self._days[at] >= rule.days) & (self._won[at] >= rule.winning_days)
        due &= self._steady(at) & (lanes.ending == ACTIVE)
        amount = np.where(due, np.minimum(free, caps[np.minimum(self._payouts[at], len(caps) - 1)]), 0)
        self.paid[at] += amount
        self._payouts[at] += due
        for counted in (self._days, self._won, self._best, self._earned):
            counted[at[due]] = 0
        lanes.ending[due & (self._payouts[at] >= rule.most_payouts)] = PASSED
        start = np.maximum(account.floor, lanes.setting.rules.start)
        lifted = np.where(due & rule.floor_to_start, start, account.floor)
        return lanes._replace(account=account._replace(cash=account.cash - amount, floor=lifted))

    def _steady(self, at: Integers) -> Bools:
        allowed, best = self._rule.best_day_percent * self._earned[at], 100 * self._best[at]
        return np.asarray((best <= allowed) if self._rule.best_day_inclusive else (best < allowed))


def funded_payouts(tape: Tape, setting: Setting, rule: PayoutRule, order: Integers, days: Integers) -> Integers:
    """Cents [L] that leave a funded account before the split, through each order [L, H] of the sessions of ``tape``.

    It trades under ``setting`` until its floor or a daily loss ends it, too little room is left, its last payout is
    made, or the order is over; there is no target.
    """
    book = PayoutBook(len(order), rule)
    free = setting._replace(rules=setting.rules._replace(target=UNLIMITED, max_days=UNLIMITED, stand_down=0))
    play_attempts(tape, free, order, days, book.after_day)
    return book.paid
