"""Whether a member is left before its end, by what its training reports: under the median of those before it."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rl_core.training.metric_log import METRICS

PARTS = 10
"""A training is looked at after each tenth of its bars."""
FIRST_PART = 3
"""Before it nobody is left: early rewards say little."""
LEAST_MEMBERS = 4
"""So many must have been judged before any is left."""

Curve = dict[int, float]
"""Part of the training, from 1 -> R an episode earned in it, exploration and all costs included."""


def curve_of(rows: Iterable[Mapping[str, Any]], total: int) -> Curve:
    """The mean return of the episodes that ended in each part of a training that is over; none where none ended.

    Args:
        rows: of metrics, in order.
        total: bars of the whole training.
    """
    sums: dict[int, tuple[float, float]] = {}
    reached = 0
    for row in rows:
        part = -(-row["step"] * PARTS // total)  # rounded up: the row that ends a part belongs to it
        reached = row["step"] * PARTS // total
        if row["episodes"]:
            earned, episodes = sums.get(part, (0.0, 0.0))
            sums[part] = (earned + row["episode_return"] * row["episodes"], episodes + row["episodes"])
    return {part: earned / episodes for part, (earned, episodes) in sorted(sums.items()) if part <= reached}


def medians_of(curves: Sequence[Curve]) -> Curve:
    """What half of the members that were judged had reached in each part; empty while they are too few."""
    if len(curves) < LEAST_MEMBERS:
        return {}
    parts = sorted({part for curve in curves for part in curve})
    return {part: float(np.median([curve[part] for curve in curves if part in curve])) for part in parts}


def left_at(curve: Curve, medians: Curve) -> int | None:
    """The first part in which the best part so far is under the median; None where there is none.

    It is the rule of Optuna's MedianPruner, with the medians taken before the member began: so it depends on no
    other process, and comes out the same whatever runs beside it. The last part ends the training anyway.
    """
    best = -np.inf
    for part, value in curve.items():
        best = max(best, value)
        if FIRST_PART <= part < PARTS and part in medians and best < medians[part]:
            return part
    return None


def rows_in(run: Path) -> list[dict[str, Any]]:
    """The rows of metrics that a run has written so far; a last line that was half written is none."""
    path = run / METRICS
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith(b"\n")]
