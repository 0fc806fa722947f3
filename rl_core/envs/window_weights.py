"""How much each bar of an observation's window tells of the entries whose outcomes are known.

A policy that weighs twenty bars alike fits the noise of nineteen where one of them matters. Which one that is, the
table of outcomes says before anything is learned: the bar whose inputs go with what a long earns more than a short.
Only bars at which an episode may start are in the table, so that nothing held out is read.
"""

import jax
import jax.numpy as jnp

from rl_core.envs.market_arrays import MarketArrays

BOUND = 10.0  # standard deviations, as the learner's inputs are bounded


def window_weights(market: MarketArrays, window: int) -> jax.Array | None:
    """Weights [window] of its bars, oldest first, the largest 1; None where no entry's outcome is known.

    A bar's evidence is the sum over its inputs of their squared covariance with the difference of both entries'
    credits, estimated over pairs of different sessions, so that chance adds nothing to it on average. Its weight is
    that evidence, if positive, plus the standard deviation that chance alone would give it: where nothing can be seen,
    all weigh about alike. Sessions of several markets count as different ones, though what they share makes chance look
    like evidence, of all bars alike.

    Source: a U-statistic of order two, Hoeffding 1948, "A class of statistics with asymptotically normal distribution".
    """
    if market.entries is None:
        return None
    known = jnp.all(market.entries.bars > 0, axis=-1)
    count = jnp.maximum(jnp.sum(known), 1)
    last = market.last_in_session.astype(jnp.int32)
    session = jnp.cumsum(last) - last

    def standardised(values: jax.Array) -> jax.Array:
        """[T, N] with mean 0 and variance 1 over the known bars, bounded, and 0 elsewhere."""
        centred = values - jnp.sum(jnp.where(known[:, None], values, 0.0), 0) / count
        variance = jnp.sum(jnp.where(known[:, None], jnp.square(centred), 0.0), 0) / count
        return jnp.where(known[:, None], jnp.clip(centred / jnp.sqrt(variance + 1e-12), -BOUND, BOUND), 0.0)

    credit = market.entries.credit
    better = standardised(credit[:, :1] - credit[:, 1:])

    def evidence(age: jax.Array) -> tuple[jax.Array, jax.Array]:
        # An episode starts no earlier than at the end of its first window, so that what comes round is never looked at.
        inputs = standardised(jnp.roll(market.features, age, axis=0))
        products = inputs * better / count
        each = jax.ops.segment_sum(products, session, products.shape[0], indices_are_sorted=True)
        own = jnp.sum(jnp.square(each), -1)
        together = each.T @ each
        squares = jnp.sum(jnp.square(together)) - jnp.sum(jnp.square(own))
        return jnp.sum(jnp.square(jnp.sum(each, 0))) - jnp.sum(own), jnp.sqrt(2 * jnp.maximum(squares, 0.0))

    found, chance = jax.lax.map(evidence, jnp.arange(window - 1, -1, -1))
    total = jnp.maximum(found, 0.0) + chance
    return jnp.where(jnp.max(total) > 0, total / jnp.max(total), 1.0)
