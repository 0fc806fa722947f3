"""What labels and probabilities are worth: accuracy, macro-F1, AUC, Brier, calibration error, agreement.

Each is a metric over weights [1 + B, N] (see `intervals`). A missing answer (None) counts as wrong.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from llm_gate.evals.scoring.intervals import Floats, Metric, mean_of

BINS = 10


class ReliabilityBin(NamedTuple):
    """One bin of the reliability diagram."""

    low: float
    high: float
    rows: int
    confidence: float
    """Mean of the probabilities in it."""
    observed: float
    """Share that came true."""


def accuracy(truth: Sequence[str], answers: Sequence[str | None]) -> Metric:
    """Share of right answers, of ``truth`` [N] and ``answers`` [N]."""
    return mean_of([a == b for a, b in zip(truth, answers, strict=True)])


def macro_f1(truth: Sequence[str], answers: Sequence[str | None]) -> Metric:
    """The mean F1 over the labels of ``truth`` [N], for ``answers`` [N]; F1 = 2 TP / (2 TP + FP + FN)."""
    labels = sorted(set(truth))
    is_truth = np.array([[label == value for value in truth] for label in labels], np.float64)
    is_answer = np.array([[label == value for value in answers] for label in labels], np.float64)

    def metric(weights: Floats) -> Floats:
        hits = weights @ (is_truth * is_answer).T
        total = weights @ is_truth.T + weights @ is_answer.T  # TP + FN + TP + FP
        return np.asarray(np.where(total > 0, 2 * hits / np.where(total > 0, total, 1), 0.0).mean(axis=1))

    return metric


def majority_rate(truth: Sequence[str]) -> float:
    """What always saying the commonest label would get right: drawing among the labels gets no more."""
    return max(truth.count(label) for label in set(truth)) / len(truth)


def auc(positive: npt.ArrayLike, score: npt.ArrayLike) -> Metric:
    """The chance that a positive outscores a negative, ties half (Mann-Whitney); NaN without both.

    Args:
        positive: [N] bool.
        score: [N] float.
    """
    chosen, scores = np.asarray(positive, np.bool_), np.asarray(score, np.float64)
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))

    def metric(weights: Floats) -> Floats:
        ordered = weights[:, order]
        above = np.add.reduceat(ordered * chosen[order], starts, axis=1)
        below = np.add.reduceat(ordered * ~chosen[order], starts, axis=1)
        beaten = np.cumsum(below, axis=1) - below / 2
        return np.asarray((above * beaten).sum(axis=1) / (above.sum(axis=1) * below.sum(axis=1)))

    return metric


def brier(came_true: npt.ArrayLike, probability: npt.ArrayLike) -> Metric:
    """The mean squared error of a probability (Brier 1950, one event); ``came_true`` and ``probability`` are [N]."""
    return mean_of((np.asarray(probability, np.float64) - np.asarray(came_true, np.float64)) ** 2)


def calibration_error(came_true: npt.ArrayLike, probability: npt.ArrayLike) -> Metric:
    """Expected calibration error over ten bins of equal width: the weighted mean of |observed - said|.

    ``came_true`` [N] bool and ``probability`` [N] in 0 to 1.

    Source: Naeini, Cooper and Hauskrecht 2015, for one event.
    """
    gap = np.asarray(came_true, np.float64) - np.asarray(probability, np.float64)
    inside = _bin_of(probability)[:, None] == np.arange(BINS)

    def metric(weights: Floats) -> Floats:
        return np.asarray(np.abs((weights * gap) @ inside).sum(axis=1) / weights.sum(axis=1))

    return metric


def reliability(came_true: npt.ArrayLike, probability: npt.ArrayLike) -> list[ReliabilityBin]:
    """The bins of the reliability diagram that hold anything; ``came_true`` [N] bool, ``probability`` [N] in 0 to 1."""
    outcome, predicted = np.asarray(came_true, np.float64), np.asarray(probability, np.float64)
    bin_numbers = _bin_of(predicted)
    bins = []
    for number in np.unique(bin_numbers):
        in_bin = bin_numbers == number
        bins.append(
            ReliabilityBin(
                low=float(number / BINS),
                high=float((number + 1) / BINS),
                rows=int(in_bin.sum()),
                confidence=float(predicted[in_bin].mean()),
                observed=float(outcome[in_bin].mean()),
            )
        )
    return bins


def agreement(answers: Iterable[tuple[str, str | None]]) -> list[float]:
    """For each case with two answers or more, the share of pairs that agree; ``answers`` are (case, answer)."""
    by_case: dict[str, list[str | None]] = defaultdict(list)
    for case, answer in answers:
        by_case[case].append(answer)
    pairs = [list(combinations(given, 2)) for given in by_case.values() if len(given) > 1]
    return [sum(a == b and a is not None for a, b in case_pairs) / len(case_pairs) for case_pairs in pairs]


def _bin_of(probability: npt.ArrayLike) -> npt.NDArray[np.int64]:
    predicted = np.asarray(probability, np.float64)
    return np.minimum((predicted * BINS).astype(np.int64), BINS - 1)
