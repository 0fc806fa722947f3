"""What a step earned, in units of the risk of its trade."""

import jax
import jax.numpy as jnp


def risk_multiple(equity_change: jax.Array, risk: jax.Array) -> jax.Array:
    """Change of account equity after costs over the trade's risk, float32 [B]; 0 where no trade was open.

    Args:
        equity_change: [B] int32 cents.
        risk: [B] int32 cents, 0 without a trade.
    """
    return jnp.where(risk > 0, equity_change.astype(jnp.float32) / jnp.maximum(risk, 1).astype(jnp.float32), 0.0)
