"""The metrics of training: sums on the device, turned into rates on the host."""

import math
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from rl_core.ppo.entropy import EntropyAdjustment
from rl_core.ppo.known_actions import KnownFigures
from rl_core.ppo.losses import Losses
from rl_core.ppo.rollout import Counts

MetricRow: TypeAlias = dict[str, float | int | None]
"""One row of metrics; None where nothing happened that could be measured."""


class UpdateMetrics(NamedTuple):
    """Scalars of one update."""

    counts: Counts
    losses: Losses  # means over the update's minibatches
    explained_variance: jax.Array  # 1 - Var(target - value) / Var(target) of the behaviour policy's critic
    learning_rate: jax.Array  # of the next optimiser step
    skipped: jax.Array  # optimiser steps skipped because they were not finite
    entropy: EntropyAdjustment  # of the coefficient, after the update
    drawdown: jax.Array  # R, `mean_max_drawdown` of the rollout's rewards
    known: KnownFigures | None = None  # where every action's outcome is known


def mean_max_drawdown(reward: jax.Array) -> jax.Array:
    """The maximum drawdown of equity within a rollout, in R, as a mean [] over environments.

    An environment counts as one account from the rollout's first bar to its last, open profit included: where an
    episode ends, the next one goes on from the same equity.

    Args:
        reward: [T, B] change of equity in units of the trade's risk.
    """
    equity = jnp.cumsum(reward, axis=0)
    best = jnp.maximum(jax.lax.cummax(equity, axis=0), 0.0)
    return jnp.mean(jnp.max(best - equity, axis=0))


def summarise(metrics: Sequence[UpdateMetrics]) -> MetricRow:
    """One row for several updates already fetched to the host: sums of what was counted, rates per trade and episode.

    Money is summed here as Python integers: a device's int32 would overflow over a long run.
    """
    total = Counts(*(sum(column) for column in zip(*(_plain(row.counts) for row in metrics), strict=True)))
    return {
        "trades": int(total.trades),
        "wins": int(total.wins),
        "pnl_cents": int(total.pnl_cents),
        "win_rate": _rate(total.wins, total.trades),
        "mean_r": _rate(total.r, total.trades),
        "mean_pnl_cents": _rate(total.pnl_cents, total.trades),
        "mean_bars_held": _rate(total.bars_held, total.trades),
        "episodes": int(total.episodes),
        "episode_return": _rate(total.episode_return, total.episodes),
        "entries": int(total.entries),
        "p_entry_flat": _rate(total.entry_probability, total.entry_choices),
        "long_share": _rate(total.longs, total.entries),
        "choices": int(total.choices),
        **_learning(metrics),
        **_known(metrics),
    }


def _known(metrics: Sequence[UpdateMetrics]) -> MetricRow:
    """Means of what known outcomes say; None where they are not known."""
    rows = [row.known for row in metrics if row.known is not None]
    return {
        f"known_{name}": _mean([getattr(row, name) for row in rows]) if rows else None for name in KnownFigures._fields
    }


def entropy_adjustments(rows: Sequence[MetricRow]) -> list[dict[str, float | int | None]]:
    """What each of ``rows`` says of the entropy coefficient, where it followed a target; nothing where it is fixed."""
    return [
        {
            "update": row["update"],
            "step": row["step"],
            "entropy": row["entropy_choice"],
            "target": row["entropy_target"],
            "coefficient": row["entropy_coefficient"],
        }
        for row in rows
        if row["entropy_target"] is not None
    ]


def _learning(metrics: Sequence[UpdateMetrics]) -> MetricRow:
    losses = [row.losses for row in metrics]
    return {
        "entropy_choice": _mean([row.entropy for row in losses]),
        "kl": _mean([row.kl for row in losses]),
        "clip_fraction": _mean([row.clip_fraction for row in losses]),
        "policy_loss": _mean([row.policy for row in losses]),
        "value_loss": _mean([row.value for row in losses]),
        "explained_variance": _mean([row.explained_variance for row in metrics]),
        "learning_rate": float(metrics[-1].learning_rate),
        "entropy_target": _mean([row.entropy.target for row in metrics[-1:]]),
        "entropy_coefficient": float(metrics[-1].entropy.coefficient),
        "drawdown_r": _mean([row.drawdown for row in metrics]),
        "skipped_steps": sum(int(row.skipped) for row in metrics),
    }


def _plain(counts: Counts) -> list[float]:
    return [column.item() for column in counts]


def _mean(values: Sequence[jax.Array]) -> float | None:
    mean = sum(float(value) for value in values) / len(values)
    return mean if math.isfinite(mean) else None


def _rate(total: float | jax.Array, count: float | jax.Array) -> float | None:
    rate = float(total) / float(count) if count else math.nan
    return rate if math.isfinite(rate) else None
