"""The expected value of an attempt and of a lifetime, from the odds of passing, what is paid and what is paid out."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from rl_core.evaluation.attempts_at_once import Integers, Setting
from rl_core.evaluation.funded import funded_payouts, payout_rule
from rl_core.evaluation.pack_odds import (
    ATTEMPTS,
    AccountValue,
    PackOdds,
    calendar_days,
    chosen_packs,
    orders,
    under_pack,
)
from rl_core.evaluation.tapes import Tape
from rl_core.rules.prices import AccountPrice
from rl_core.trading.setup import Trading

FUNDED_SEED = 1
"""Funded accounts are drawn apart from the attempts, so that what follows a pass does not lean on what led to it."""


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
    paid: dict[str, float] = {}
    valued = []
    for odds in found:
        price = prices.get(odds.name)
        if price is None or odds.passes is None:
            valued.append(odds)
            continue
        if odds.name not in paid:
            paid[odds.name] = _mean_payout(price, trading, tape_under, draws)
        value = value_of(price, odds.passes, odds.renewals, paid[odds.name])
        bounds = [value_of(price, edge, odds.renewals, value.payouts).lifetime for edge in odds.interval or ()]
        between = (min(bounds), max(bounds)) if bounds else None
        valued.append(replace(odds, value=value, lifetime_between=between, price=price))
    return valued


def _mean_payout(price: AccountPrice, trading: Trading, tape_under: Callable[[Trading], Tape], draws: int) -> float:
    """Dollars that a funded account pays to the trader, on average."""
    there = under_pack(trading, chosen_packs(price.funded)[0].pack)
    tape, setting = tape_under(there), Setting(there.venue.rules, there.limits, there.venue.terms)
    order: Integers = orders(len(tape.session), draws=draws, seed=FUNDED_SEED)
    rule = payout_rule(price, setting.rules)
    paid = funded_payouts(tape, setting, rule, order, calendar_days(order.shape[1]))
    return float(np.mean(paid)) / 100 * float(price.split_percent) / 100
