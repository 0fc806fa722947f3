"""PBO: against a slow loop over every split, near one for noise, and zero where one candidate is always best."""

from itertools import combinations

import numpy as np
import pytest

from rl_core.statistics.overfitting import overfitting


def slowly(results: np.ndarray, blocks: int) -> tuple[float, float]:
    """Probability and share of losses, from the definition: split, choose, rank, count."""
    parts = np.split(results[: len(results) // blocks * blocks], blocks)
    below, losses, splits = 0, 0, 0
    for chosen in combinations(range(blocks), blocks // 2):
        inside = np.concatenate([parts[k] for k in chosen])
        outside = np.concatenate([parts[k] for k in range(blocks) if k not in chosen])
        best = int(np.argmax(inside.mean(axis=0) / inside.std(axis=0)))
        ratios = outside.mean(axis=0) / outside.std(axis=0)
        rank = (np.sum(ratios < ratios[best]) + 1) / (results.shape[1] + 1)
        below, losses, splits = below + (np.log(rank / (1 - rank)) <= 0), losses + (ratios[best] < 0), splits + 1
    return below / splits, losses / splits


@pytest.mark.parametrize(("blocks", "candidates"), [(4, 3), (8, 5), (10, 2)])
def test_it_is_what_the_definition_says(blocks: int, candidates: int) -> None:
    results = np.random.default_rng(blocks).normal(0.05, 1, (83, candidates))

    found = overfitting(results, blocks=blocks)

    assert (found.probability, found.loss_share) == pytest.approx(slowly(results, blocks))


def test_the_best_of_noise_is_bad_outside() -> None:
    """Candidates that all end at zero: what is good inside must be bad outside (Bailey et al. 2017, section 6)."""
    results = np.random.default_rng(1).normal(size=(320, 20))

    found = overfitting(results - results.mean(axis=0))

    assert found.splits == 12_870 and found.probability > 0.9 and found.median_rank < 0.2


def test_a_candidate_that_is_always_best_is_not_overfit() -> None:
    results = np.random.default_rng(2).normal(size=(320, 20))
    results[:, 7] += 1

    found = overfitting(results)

    assert found.probability == 0 and found.median_rank == 1 and found.loss_share == 0


@pytest.mark.parametrize(("shape", "blocks"), [((100, 1), 4), ((100, 5), 5), ((7, 5), 4)])
def test_what_cannot_be_split_is_refused(shape: tuple[int, int], blocks: int) -> None:
    with pytest.raises(ValueError, match="do not make"):
        overfitting(np.zeros(shape), blocks=blocks)
