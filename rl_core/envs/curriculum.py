"""What makes the first updates easier for the learner; no report and no evaluation sees any of it.

Only rewards and where episodes start change. The market is played at full costs whatever the reward leaves out, so
trades, profits and accounts are those of any other run (DECISIONS 7).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rl_core.envs.rewards import risk_multiple
from rl_core.market.costs import stop_slippage
from rl_core.market.types import SESSION_END, TARGET, BarOutcome, Namespace, Order, Terms


class Curriculum(NamedTuple):
    """Where each schedule starts and after how many updates it has ended; traced scalars."""

    cost_milli: Any  # thousandths of a trade's costs that the reward bears at first; 1000 in the end
    cost_updates: Any
    forced_share: Any  # of phase 2's episodes that start with a position; 0 in the end
    forced_updates: Any
    entry_bonus: Any  # R for an entry; 0 in the end
    entry_updates: Any


class Eased(NamedTuple):
    """The curriculum in one update; scalars."""

    cost_milli: jax.Array  # int32
    forced_share: jax.Array
    entry_bonus: jax.Array


class BarCosts(NamedTuple):
    """What one bar did to the accounts [B], as far as its costs matter."""

    entered: jax.Array  # bool
    order: Order
    outcome: BarOutcome
    terms: Terms  # of fills in this bar
    terms_at_close: Terms  # of fills at its close


def eased_at(curriculum: Curriculum, updates: jax.Array) -> Eased:
    """The values, scalars, of the update after ``updates``: each follows a straight line to its end."""

    def remaining(horizon: Any) -> jax.Array:
        return jnp.maximum(0, horizon - updates)

    def share(horizon: Any) -> jax.Array:
        return remaining(horizon) / jnp.maximum(1, horizon)

    left = remaining(curriculum.cost_updates)
    waived = (1000 - curriculum.cost_milli) * left // jnp.maximum(1, curriculum.cost_updates)
    return Eased(
        cost_milli=1000 - waived,
        forced_share=curriculum.forced_share * share(curriculum.forced_updates),
        entry_bonus=curriculum.entry_bonus * share(curriculum.entry_updates),
    )


def shaping(xp: Namespace, eased: Eased, bar: BarCosts) -> jax.Array:
    """What the learner gets beside the reward [B] float32, in R: the costs not borne yet, and the entry bonus."""
    costs = _costs(xp, bar)
    waived = costs - costs // 1000 * eased.cost_milli - costs % 1000 * eased.cost_milli // 1000
    return risk_multiple(waived, bar.outcome.risk) + jnp.where(bar.entered, eased.entry_bonus, 0.0)


def _costs(xp: Namespace, bar: BarCosts) -> jax.Array:
    """Commissions and slippage [B] of this bar's entry and exit in cents; a target does not slip."""
    entered, order, outcome, terms, at_close = bar
    entry = xp.abs(order.quantity) * (terms.commission + terms.slippage_ticks * terms.tick_value)
    slipped = xp.where(outcome.exit_reason == SESSION_END, stop_slippage(xp, at_close), stop_slippage(xp, terms))
    slipped = xp.where(outcome.exit_reason == TARGET, 0, slipped)
    leaving = xp.abs(outcome.exit_quantity) * (terms.commission + slipped * terms.tick_value)
    costs: jax.Array = xp.where(entered, entry, 0) + leaving
    return costs
