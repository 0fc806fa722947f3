"""The expected value of an attempt and of a lifetime, from the odds of passing, what is paid and what is paid out."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rl_core.evaluation.attempts_at_once import PASSED, Integers, play_attempts
from rl_core.evaluation.funded import funded_payouts, payout_rule
from rl_core.evaluation.pack_odds import (
    ATTEMPTS,
    AccountValue,
    PackOdds,
    calendar_days,
    chosen_packs,
    orders,
    orders_of_others,
    renewals_of,
    setting_of,
    under_pack,
)
from rl_core.evaluation.tapes import Tape
from rl_core.rules.prices import AccountPrice
from rl_core.trading.setup import Trading

Floats = npt.NDArray[np.float64]

FUNDED_SEED = 1
"""Funded accounts are drawn apart from the attempts, so that what follows a pass does not lean on what led to it."""
OTHERS = 200
"""Sets of as many sessions, drawn from those that were judged: what might have been judged in their place."""
LEAST_OF_EACH = 25
"""Attempts, and funded accounts, through the sessions of one such set."""
OTHERS_SEED, OTHERS_FUNDED_SEED = 2, 3
LEVEL = 0.98
"""Of the sets: what 0.95 leaves out lies further out than the judged sessions can tell, so that fewer are left out."""


def value_of(price: AccountPrice, passes: float, renewals: float, payouts: float) -> AccountValue:
    """The value where an attempt passes with probability ``passes``, each independently of the others.

    Args:
        price: of the account.
        passes: probability of passing.
        renewals: months that an attempt pays for besides the first, on average.
        payouts: dollars that a funded account pays to the trader, on average.
    """
    first, again = float(price.evaluation), float(price.evaluation if price.reset is None else price.reset)
    renewed, activation = float(price.monthly) * renewals, float(price.activation)
    reached = 1 - (1 - passes) ** ATTEMPTS
    bought = float(sum((1 - passes) ** n for n in range(ATTEMPTS)))
    fees = first + (bought - 1) * again + bought * renewed + reached * activation
    return AccountValue(
        attempt=passes * (payouts - activation) - first - renewed,
        lifetime=reached * payouts - fees,
        payouts=payouts,
        fees=fees,
        attempts=bought,
    )


def with_values(
    found: list[PackOdds],
    prices: Mapping[str, AccountPrice],
    trading: Trading,
    tape_under: Callable[[Trading], Tape],
    *,
    draws: int,
) -> list[PackOdds]:
    """The odds with the value of each pack that has a price; what is drawn of a funded account is drawn once each.

    Raises:
        ConfigError: a price names a funded pack that there is not.
    """
    paid: dict[str, Paid] = {}
    valued = []
    for odds in found:
        price = prices.get(odds.name)
        if price is None or odds.passes is None:
            valued.append(odds)
            continue
        if odds.name not in paid:
            paid[odds.name] = _paid(price, trading, tape_under, draws)
        payouts, payouts_of_others = paid[odds.name]
        value, between = value_of(price, odds.passes, odds.renewals, payouts), None
        if odds.interval is not None:
            passing = _passing(odds, trading, tape_under, draws)
            lives = [value_of(price, *other).lifetime for other in zip(*passing, payouts_of_others, strict=True)]
            low, high = np.quantile(lives, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
            between = (float(low), float(high))
        valued.append(replace(odds, value=value, lifetime_between=between, price=price))
    return valued


class Paid(NamedTuple):
    """Dollars that a funded account pays to the trader, on average."""

    mean: float
    of_others: Floats
    """[`OTHERS`] through each set of other sessions."""


def _paid(price: AccountPrice, trading: Trading, tape_under: Callable[[Trading], Tape], draws: int) -> Paid:
    there = under_pack(trading, chosen_packs(price.funded)[0].pack)
    tape, setting = tape_under(there), setting_of(there)
    rule, sessions = payout_rule(price, setting.rules), len(tape.session)

    def dollars(order: Integers) -> Floats:
        cents = funded_payouts(tape, setting, rule, order, calendar_days(order.shape[1]))
        return np.asarray(cents / 100 * float(price.split_percent) / 100)

    others = orders_of_others(sessions, sets=OTHERS, of_each=_of_each(draws), seed=OTHERS_FUNDED_SEED)
    mean = float(np.mean(dollars(orders(sessions, draws=draws, seed=FUNDED_SEED))))
    return Paid(mean, dollars(others).reshape(OTHERS, -1).mean(axis=1))


def _passing(
    odds: PackOdds, trading: Trading, tape_under: Callable[[Trading], Tape], draws: int
) -> tuple[Floats, Floats]:
    """How often an attempt passes, and renews: [`OTHERS`] through each set of other sessions."""
    there = under_pack(trading, odds.pack)
    tape = tape_under(there)
    order = orders_of_others(len(tape.session), sets=OTHERS, of_each=_of_each(draws), seed=OTHERS_SEED)
    ended = play_attempts(tape, setting_of(there), order, calendar_days(order.shape[1]))
    each = (ended.ending == PASSED, renewals_of(ended.sessions))
    passes, renewals = (np.asarray(what.reshape(OTHERS, -1).mean(axis=1)) for what in each)
    return passes, renewals


def _of_each(draws: int) -> int:
    return max(LEAST_OF_EACH, draws // OTHERS)
