"""Accounts that an episode starts with at a profit, so that tiers and locked floors are met in training."""

from typing import Any, cast

import jax
import jax.numpy as jnp

from rl_core.market.account import opened_day
from rl_core.market.types import NEVER_LOCKS, UNLIMITED, Account, Namespace, Rules

XP = cast(Namespace, jnp)


def opened_at_profit(account: Account, rules: Rules, most: Any, key: jax.Array) -> Account:
    """New accounts [B] as a day opens, with a profit drawn from [0, ``most``] of the target.

    A pack without a target takes its loss limit for one.

    Args:
        account: new accounts, int32 [B] a field.
        rules: the pack, scalars or [B].
        most: share of the target, scalar.
        key: draws the profits.
    """
    goal = jnp.where(rules.target < UNLIMITED, rules.target, rules.max_loss)
    share = jax.random.uniform(key, account.cash.shape, maxval=most)
    cash = account.cash + (share * goal).astype(jnp.int32)
    opened = opened_day(XP, account._replace(cash=cash), rules)
    return Account(*(jnp.broadcast_to(jnp.asarray(field, jnp.int32), cash.shape) for field in opened))


def floor_cap(rules: Rules) -> jax.Array:
    """Cents (a scalar, or [B]) at which the floor locks, by open equity or by a close."""
    at_close = jnp.where(rules.lock_at_close < NEVER_LOCKS, rules.lock_at_close - rules.max_loss, NEVER_LOCKS)
    return jnp.minimum(rules.floor_cap, at_close)
