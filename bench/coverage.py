"""How often the intervals hold the truth: zero-edge 3:1 trades in sessions of unequal length, drawn again and again.

python bench/coverage.py [--json] [--repeats 500]
"""

import argparse
import json
import sys
from itertools import product
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a file, the folder beside this one is not on the path

import numpy as np
import numpy.typing as npt

from bench.facts import Row, versions
from rl_core.statistics.bootstrap import session_block_bootstrap
from trigate.intervals import LEAST_BLOCKS

SESSIONS = (1, 3, 5, 10, 12, 15, 19, 20, 40, 60)
WIN_CHANCE, WIN_R, LOSS_R = 0.25, 3.0, -1.0
NOISE_R = 0.02  # costs differ by trade
PERCENTILE_RESAMPLES = 1_000
SAME_COURSE = 0.3  # chance that a trade ends as its session's first one

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def trades_a_session(design: str, sessions: int, random: np.random.Generator) -> Ints:
    """How many trades each session has."""
    if design == "one":
        return np.ones(sessions, np.int64)
    if design == "poisson":
        return 1 + random.poisson(1.5, sessions)
    if design == "geometric":
        return random.geometric(0.25, sessions)
    assert design == "heavy", design
    return np.minimum(40, 1 + (1.5 * random.pareto(1.2, sessions)).astype(np.int64))


def zero_edge_trades(design: str, sessions: int, alike: float, random: np.random.Generator) -> tuple[Floats, Ints]:
    """R [N] and session [N] of trades whose expectation is zero."""
    counts = trades_a_session(design, sessions, random)
    session = np.repeat(np.arange(sessions), counts)
    first = np.cumsum(counts) - counts
    drawn = random.random(len(session))
    drawn = np.where(random.random(len(session)) < alike, drawn[first[session]], drawn)
    r = np.where(drawn < WIN_CHANCE, WIN_R, LOSS_R) + NOISE_R * random.standard_normal(len(session))
    return r, session


def percentile_bounds(r: Floats, session: Ints, random: np.random.Generator) -> tuple[float, float]:
    """The percentile interval of the session bootstrap, to compare with."""
    total, count = np.bincount(session, weights=r), np.bincount(session)
    drawn = random.integers(0, len(total), (PERCENTILE_RESAMPLES, len(total)))
    low, high = np.quantile(total[drawn].sum(axis=1) / count[drawn].sum(axis=1), [0.025, 0.975])
    return float(low), float(high)


def coverage(design: str, sessions: int, alike: float, repeats: int) -> Row:
    """The share of intervals that hold zero, of those that are given at all."""
    random = np.random.default_rng([sessions, len(design), round(100 * alike)])
    given = held = below = held_by_percentile = 0
    for repeat in range(repeats):
        r, session = zero_edge_trades(design, sessions, alike, random)
        low, high = percentile_bounds(r, session, random)
        held_by_percentile += low <= 0 <= high
        interval = session_block_bootstrap(r, session, seed=repeat)
        bounds = None if interval is None else interval.bounds
        if bounds is not None:
            given += 1
            held += bounds[0] <= 0 <= bounds[1]
            below += bounds[1] < 0
    settings: dict[str, Any] = {
        "trades_a_session": design,
        "sessions": sessions,
        "same_course": alike,
        "repeats": repeats,
        "given": given / repeats,
        "below_zero": below / repeats,
    }
    ratio = {"percentile": held_by_percentile / repeats}
    return Row("coverage of 95 % intervals", held / given if given else float("nan"), "share", ratio, settings)


def main() -> None:
    """Print a line for each design and number of sessions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--repeats", type=int, default=500)
    given = parser.parse_args()
    found = versions("numpy")
    for alike, design, sessions in product((0.0, SAME_COURSE), ("one", "poisson", "geometric", "heavy"), SESSIONS):
        row = coverage(design, sessions, alike, given.repeats)
        value = None if sessions < LEAST_BLOCKS else row.value
        if given.json:
            print(json.dumps({**row._asdict(), "value": value, "versions": found}), flush=True)
        else:
            shown = "no interval" if value is None else f"{value:.3f}"
            print(f"{design:<10} {alike:.1f} {sessions:>3}  {shown}  {row.ratio_to} {row.settings}", flush=True)


if __name__ == "__main__":
    main()
