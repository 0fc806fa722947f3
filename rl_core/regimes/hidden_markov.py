"""A small Gaussian hidden Markov model: fitted by EM on whole sessions, used through its forward filter only."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Reals = npt.NDArray[np.float64]

LEAST_SPREAD = 1e-3
TINY = 1e-300
SIDE_BY_SIDE = 128
"""Rows that NumPy takes in the time of a few: more blocks of sessions than that would cost more than they save."""


class HiddenMarkov(NamedTuple):
    """K states in order of their mean."""

    start: Reals  # [K] probabilities at a session's first bar
    transition: Reals  # [K, K] from row to column
    mean: Reals  # [K] of the observed value
    spread: Reals  # [K] its standard deviation


class Fit(NamedTuple):
    """A fitted model, and how the fit went."""

    model: HiddenMarkov
    log_likelihoods: tuple[float, ...]  # of the data under each round's model, never falling


class _Smoothed(NamedTuple):
    state: Reals  # [N, S, K] probability of each state given the whole sequence
    moves: Reals  # [K, K] expected number of moves
    log_likelihood: float


def filtered_step(model: HiddenMarkov, before: Reals | None, value: Reals) -> Reals:
    """Probabilities [S, K] of the states after ``value`` [S], given those ``before`` it (None: a session opens).

    Only elementwise arithmetic in a fixed order, so that one session gives the same bits as many.
    """
    parts = None if before is None else [before[:, k] for k in range(len(model.start))]
    return np.stack(_met(model, parts, _likelihoods(model, value)), axis=-1)


def filtered(model: HiddenMarkov, values: Reals, session: npt.NDArray[np.int32]) -> Reals:
    """Probabilities [T, K] of the states at each bar from the bars of its session up to it, ``values`` [T].

    The bits of `filtered_step`, bar after bar: what needs no bar before it is computed for all of them at once.
    """
    table, row, column = _by_session(values, session)
    probabilities = np.empty((*table.T.shape, len(model.start)))
    parts = None
    for after, likelihoods in zip(
        probabilities, zip(*_likelihoods(model, np.nan_to_num(table.T)), strict=True), strict=True
    ):
        parts = _met(model, parts, likelihoods)
        for k, part in enumerate(parts):
            after[:, k] = part
    return probabilities[column, row]


def _likelihoods(model: HiddenMarkov, value: Reals) -> list[Reals]:
    """How likely each of the K states makes ``value`` [...]."""
    states = range(len(model.start))
    # The log density is taken relative to the likeliest state, so that no outlier makes every state impossible.
    log_density = [-0.5 * ((value - model.mean[k]) / model.spread[k]) ** 2 - np.log(model.spread[k]) for k in states]
    best = np.maximum.reduce(log_density)
    return [np.exp(each - best) for each in log_density]


def _met(model: HiddenMarkov, before: Sequence[Reals] | None, likelihoods: Sequence[Reals]) -> list[Reals]:
    """The probability [S] of each state after a value with its ``likelihoods`` [S], by those ``before`` it."""
    states = range(len(model.start))
    if before is None:
        prior = [np.full(likelihoods[k].shape, model.start[k]) for k in states]
    else:
        prior = [_sum([before[j] * model.transition[j, k] for j in states]) for k in states]
    joint = [np.maximum(TINY, prior[k] * likelihoods[k]) for k in states]
    total = _sum(joint)
    return [part / total for part in joint]


def fit(values: Reals, session: npt.NDArray[np.int32], states: int, *, rounds: int = 100, least: float = 1e-6) -> Fit:
    """Fit by expectation maximisation (Baum-Welch), sessions as independent sequences.

    Args:
        values: [T] observed, finite.
        session: [T] the sequence each belongs to, in blocks.
        states: K, 2 or more.
        rounds: at most.
        least: gain of log likelihood a bar below which it stops.
    """
    assert states >= 2 and len(values) > 10 * states
    table, _, _ = _by_session(values, session)
    model, history = _first_guess(values, states), []
    for _ in range(rounds):
        smoothed = _smooth(model, table)
        history.append(smoothed.log_likelihood)
        if len(history) > 1 and history[-1] - history[-2] < least * len(values):
            break
        model = _improved(smoothed, table)
    order = np.argsort(model.mean)
    ordered = HiddenMarkov(
        model.start[order], model.transition[order][:, order], model.mean[order], model.spread[order]
    )
    return Fit(ordered, tuple(history))


def _sum(parts: list[Reals]) -> Reals:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _by_session(
    values: Reals, session: npt.NDArray[np.int32]
) -> tuple[Reals, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """[S, N] one session a row, NaN after its end; and the row and column of each value."""
    opens = np.flatnonzero(np.diff(session, prepend=session[0] - 1))
    row = np.repeat(np.arange(len(opens)), np.diff(np.append(opens, len(session))))
    column = np.arange(len(session)) - opens[row]
    table = np.full((len(opens), int(column.max()) + 1), np.nan)
    table[row, column] = values
    return table, row, column


def _first_guess(values: Reals, states: int) -> HiddenMarkov:
    """States that last, at the middles of equal shares of the data."""
    mean = np.asarray(np.quantile(values, (np.arange(states) + 0.5) / states), np.float64)
    stay = 0.95
    transition = np.full((states, states), (1 - stay) / (states - 1))
    np.fill_diagonal(transition, stay)
    spread = np.full(states, max(LEAST_SPREAD, float(values.std())))
    return HiddenMarkov(np.full(states, 1 / states), transition, mean, spread)


def _smooth(model: HiddenMarkov, table: Reals) -> _Smoothed:
    """The E step, scaled (Rabiner 1989, section V.A): forward, then backward."""
    missing = np.isnan(table.T)
    value = np.nan_to_num(table.T)[..., None]
    log_density = -0.5 * ((value - model.mean) / model.spread) ** 2 - np.log(model.spread * np.sqrt(2 * np.pi))
    best = log_density.max(axis=-1, keepdims=True)
    density = np.where(missing[..., None], 1.0, np.maximum(TINY, np.exp(log_density - best)))
    _, forward, scale = _chained(np.tile(model.start, (density.shape[1], 1)), density, model.transition)
    backward, _, _ = _chained(np.ones(density.shape[1:]), density[::-1], model.transition.T)
    backward = backward[::-1]
    backward = backward / (forward * backward).sum(axis=-1, keepdims=True)
    observed = ~missing[1:]
    ahead = density / scale * backward
    moves = model.transition * (forward[:-1][observed].T @ ahead[1:][observed])
    total = float((np.log(scale[..., 0]) + best[..., 0])[~missing].sum())
    return _Smoothed(forward * backward * ~missing[..., None], moves, total)


def _chained(start: Reals, density: Reals, transition: Reals) -> tuple[Reals, Reals, Reals]:
    """From ``start`` [S, K], at each step: times the ``density`` [N, S, K], divided by the sum, through the transition.

    A fit takes hundreds of thousands of these steps, and a few numbers keep NumPy waiting at each. So the steps of few
    sessions are cut into blocks that are walked side by side: once from every state, which tells what each block begins
    with, and once more from there.

    Returns:
        What each step begins with [N, S, K], up to a factor; what it comes to [N, S, K], adding up to 1; and the sum
        that it was divided by [N, S, 1].
    """
    steps, sessions, states = density.shape
    length = -(-steps // max(1, min(math.isqrt(steps), SIDE_BY_SIDE // sessions)))
    blocks = -(-steps // length)
    padded = np.ones((blocks * length, sessions, states))
    padded[:steps] = density
    places = np.ascontiguousarray(padded.reshape(blocks, length, sessions, states).swapaxes(0, 1))
    begins = _block_starts(start, places, transition)
    prior, joint, scale = np.empty_like(places), np.empty_like(places), np.empty((*places.shape[:-1], 1))
    prior[0], every = begins, np.ones((states, 1))
    for n, (its_density, its_joint, its_scale) in enumerate(zip(places, joint, scale, strict=True), 1):
        np.multiply(prior[n - 1], its_density, out=its_joint)
        np.matmul(its_joint, every, out=its_scale)
        np.divide(its_joint, its_scale, out=its_joint)
        if n < length:
            np.matmul(its_joint, transition, out=prior[n])
    whole = (part.swapaxes(0, 1).reshape(blocks * length, sessions, -1)[:steps] for part in (prior, joint, scale))
    return next(whole), next(whole), next(whole)


def _block_starts(start: Reals, places: Reals, transition: Reals) -> Reals:
    """What each block [B, S, K] begins with, given the densities [L, B, S, K] at each place of the blocks."""
    _, blocks, sessions, states = places.shape
    begins = np.empty((blocks, sessions, states))
    begins[0] = start
    if blocks == 1:
        return begins
    through = np.broadcast_to(np.eye(states), (blocks, sessions, states, states))  # from row to column
    for its_density in places:
        moved = np.matmul(through * its_density[..., None, :], transition)
        # Only proportions count; the floor keeps each way open, however unlikely.
        through = np.maximum(TINY, moved / moved.sum(axis=(-2, -1), keepdims=True))
    for b in range(1, blocks):
        reached = (begins[b - 1][..., None] * through[b - 1]).sum(axis=-2)
        begins[b] = reached / reached.sum(axis=-1, keepdims=True)
    return begins


def _improved(smoothed: _Smoothed, table: Reals) -> HiddenMarkov:
    """The M step."""
    weight = smoothed.state
    value = np.nan_to_num(table).T[..., None]
    total = np.maximum(TINY, weight.sum(axis=(0, 1)))
    mean = (weight * value).sum(axis=(0, 1)) / total
    spread = np.sqrt((weight * (value - mean) ** 2).sum(axis=(0, 1)) / total)
    transition = smoothed.moves / np.maximum(TINY, smoothed.moves.sum(axis=1, keepdims=True))
    return HiddenMarkov(weight[0].mean(axis=0), transition, mean, np.maximum(LEAST_SPREAD, spread))
