"""Running mean and variance of raw observations, and how much each input counts."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rl_core.features import FEATURE_NAMES, WINDOW

EPSILON = 1e-8
BOUND = 10.0


class Normaliser(NamedTuple):
    """Moments of every observation seen, one per input."""

    mean: jax.Array  # [O]
    variance: jax.Array  # [O], population
    seen: jax.Array  # [O] float32, how many; inputs that phase 2 adds start at 0
    gain: jax.Array  # [O] fixed weight of the normalised input


def fresh(size: int, *, recency: float = 1.0) -> Normaliser:
    """A normaliser that has seen nothing; with ``recency`` 1 it changes nothing.

    Args:
        size: inputs; with ``recency`` below 1 they start with the window of features, oldest bar first.
        recency: how much a bar of the window counts beside the next newer one. Below 1 it shrinks the
            directions in which a policy can fit noise: 200 of 225 inputs are of older bars.
    """
    gain = np.ones(size, np.float32)
    if recency < 1:
        window = WINDOW * len(FEATURE_NAMES)
        assert size >= window, size
        gain[:window] = np.repeat(recency ** np.arange(WINDOW - 1, -1, -1), len(FEATURE_NAMES))
    return Normaliser(jnp.zeros(size), jnp.ones(size), jnp.zeros(size), jnp.asarray(gain))


def normalise(normaliser: Normaliser, raw: jax.Array) -> jax.Array:
    """Raw observations [..., O] in standard deviations from the mean, within +-``BOUND``, times the gain."""
    scaled = (raw - normaliser.mean) / jnp.sqrt(normaliser.variance + EPSILON)
    return jnp.clip(scaled, -BOUND, BOUND) * normaliser.gain


def moments(raw: jax.Array) -> Normaliser:
    """The moments of one batch of raw observations [N, O]."""
    seen = jnp.full(raw.shape[1], raw.shape[0], raw.dtype)
    return Normaliser(jnp.mean(raw, axis=0), jnp.var(raw, axis=0), seen, jnp.ones_like(seen))


def merge(a: Normaliser, b: Normaliser) -> Normaliser:
    """The moments of both sets of observations together, with the gain of ``a``.

    Source: Chan, Golub and LeVeque 1979, "Updating formulae and a pairwise algorithm for computing
    sample variances", equation 2.1.
    """
    seen = a.seen + b.seen
    share = b.seen / jnp.maximum(seen, 1.0)
    delta = b.mean - a.mean
    variance = (1 - share) * a.variance + share * b.variance + share * (1 - share) * jnp.square(delta)
    return Normaliser(a.mean + share * delta, variance, seen, a.gain)
