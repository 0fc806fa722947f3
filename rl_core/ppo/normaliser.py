"""Running mean and variance of raw observations."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

EPSILON = 1e-8
BOUND = 10.0


class Normaliser(NamedTuple):
    """Moments of every observation seen, one per input."""

    mean: jax.Array  # [O]
    variance: jax.Array  # [O], population
    seen: jax.Array  # [O] float32, how many; inputs that phase 2 adds start at 0


def fresh(size: int) -> Normaliser:
    """A normaliser that has seen nothing and changes nothing."""
    return Normaliser(jnp.zeros(size), jnp.ones(size), jnp.zeros(size))


def normalise(normaliser: Normaliser, raw: jax.Array) -> jax.Array:
    """Raw observations [..., O] in standard deviations from the mean, within +-``BOUND``."""
    scaled = (raw - normaliser.mean) / jnp.sqrt(normaliser.variance + EPSILON)
    return jnp.clip(scaled, -BOUND, BOUND)


def moments(raw: jax.Array) -> Normaliser:
    """The moments of one batch of raw observations [N, O]."""
    seen = jnp.full(raw.shape[1], raw.shape[0], raw.dtype)
    return Normaliser(jnp.mean(raw, axis=0), jnp.var(raw, axis=0), seen)


def merge(a: Normaliser, b: Normaliser) -> Normaliser:
    """The moments of both sets of observations together.

    Source: Chan, Golub and LeVeque 1979, "Updating formulae and a pairwise algorithm for computing
    sample variances", equation 2.1.
    """
    seen = a.seen + b.seen
    share = b.seen / jnp.maximum(seen, 1.0)
    delta = b.mean - a.mean
    variance = (1 - share) * a.variance + share * b.variance + share * (1 - share) * jnp.square(delta)
    return Normaliser(a.mean + share * delta, variance, seen)
