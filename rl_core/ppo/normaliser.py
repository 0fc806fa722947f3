"""The running mean and variance of raw observations, and a fixed weight for each input.

The normaliser belongs to the checkpoint: a policy is only meaningful behind the very moments that it was trained with,
and other moments would be another policy without any error to show it. Phase 2 starts from phase 1's for that reason.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rl_core.features.features import FEATURE_NAMES, WINDOW

EPSILON = 1e-8
BOUND = 10.0  # standard deviations; one wild bar must not saturate every unit of the first layer


class Normaliser(NamedTuple):
    """Moments of every observation seen, one per input."""

    mean: jax.Array  # [O]
    variance: jax.Array  # [O], population
    seen: jax.Array  # [O] float32, observations counted; inputs that phase 2 adds start at 0
    gain: jax.Array  # [O] fixed weight of the normalised input


def initial_normaliser(
    size: int, *, window_decay: float = 0.0, window: tuple[int, int] = (WINDOW, len(FEATURE_NAMES))
) -> Normaliser:
    """A normaliser before any observation; with ``window_decay`` 0 it changes nothing.

    Args:
        size: inputs; they start with the window of features, oldest bar first. Fewer hold no window, and all count 1.
        window_decay: an input of the bar k bars before the newest counts (1 + k)^-window_decay. It shrinks the
            directions in which a policy can fit noise, as 209 of 225 inputs are of older bars, and hides none.
        window: its bars, and the inputs of each.
    """
    gain = np.ones(size, np.float32)
    bars, inputs = window
    if size >= bars * inputs:
        age = np.arange(bars - 1, -1, -1, dtype=np.float32)
        gain[: bars * inputs] = np.repeat((1 + age) ** -window_decay, inputs)
    return Normaliser(jnp.zeros(size), jnp.ones(size), jnp.zeros(size), jnp.asarray(gain))


def weighted(normaliser: Normaliser, weights: jax.Array | None, window: tuple[int, int]) -> Normaliser:
    """``normaliser`` with the inputs of each bar of the ``window`` times ``weights`` [bars], if there are any."""
    if weights is None:
        return normaliser
    bars, inputs = window
    each = jnp.repeat(weights, inputs)
    return normaliser._replace(gain=normaliser.gain.at[: bars * inputs].multiply(each))


def normalise(normaliser: Normaliser, raw: jax.Array) -> jax.Array:
    """Raw observations [..., O] in standard deviations from the mean, within +-``BOUND``, times the gain."""
    # The gain stands in the factor and in the bounds. A factor after the clip gives the same values, but XLA compiles
    # it to a program that is seven times slower on a CPU.
    factor, bound = normaliser.gain / jnp.sqrt(normaliser.variance + EPSILON), BOUND * normaliser.gain
    return jnp.clip((raw - normaliser.mean) * factor, -bound, bound)


def moments(raw: jax.Array) -> Normaliser:
    """The moments of one batch of raw observations [N, O]."""
    seen = jnp.full(raw.shape[1], raw.shape[0], raw.dtype)
    return Normaliser(jnp.mean(raw, axis=0), jnp.var(raw, axis=0), seen, jnp.ones_like(seen))


class Sums(NamedTuple):
    """Sums from which the moments of a rollout follow.

    They are sums of observations less ``around``, a value near their mean: sums of squares of the observations
    themselves would lose most float32 digits where a mean is large beside its deviation.
    """

    around: jax.Array  # [O]
    parts: tuple[jax.Array, jax.Array, jax.Array]  # how many (scalar float32), sum [O], sum of squares [O]


def empty_sums(around: jax.Array) -> Sums:
    """Sums about ``around`` [O] before the first observation."""
    return Sums(around, (jnp.float32(0), jnp.zeros_like(around), jnp.zeros_like(around)))


def add(sums: Sums, raw: jax.Array) -> Sums:
    """Add raw observations [N, O] to ``sums``."""
    count, first, second = sums.parts
    off = raw - sums.around
    return Sums(sums.around, (count + raw.shape[0], first + jnp.sum(off, 0), second + jnp.sum(jnp.square(off), 0)))


def moments_of(sums: Sums) -> Normaliser:
    """The moments of all observations that were added, as a normaliser with gain 1."""
    count, first, second = sums.parts
    mean, square = first / count, second / count
    variance = jnp.maximum(square - jnp.square(mean), 0.0)
    return Normaliser(sums.around + mean, variance, jnp.full_like(mean, count), jnp.ones_like(mean))


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
