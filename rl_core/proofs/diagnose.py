"""What ails a training run, read off its rows of metrics: each fault with its figure, its threshold and the remedy.

"Late" is the second half of the rows: what a run does at first is not yet a fault.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from trigate.errors import ConfigError, DataError

METRICS = "metrics.jsonl"
LEAST_ROWS = 4

LEAST_ENTRY_CHANCE = 0.003  # a signal an hour is 0.017
MOST_ONE_SIDE, LEAST_ENTRIES = 0.9, 50
LEAST_EXPLAINED = 0.0  # no better than a constant
LOW_RATE, MOST_LOW_ROWS = 0.01, 0.3  # of the highest rate; a straight line to zero spends 1 % of its rows there
LEAST_KL = 1e-7
MOST_KL, MOST_CLIPPED = 0.04, 0.4

Row = Mapping[str, Any]


class Ailment(NamedTuple):
    """One fault."""

    name: str
    says: str
    figure: float
    relation: str  # "below" or "above"
    threshold: float
    change: str
    key: str  # of the configuration
    plot: str  # the column that shows it


class Diagnosis(NamedTuple):
    """A run looked through."""

    rows: list[Row]
    findings: list[Ailment]


def diagnose(run: Path) -> Diagnosis:
    """The faults of the run in folder ``run``.

    Raises:
        ConfigError: there are no metrics, or too few to judge.
        DataError: they cannot be read.
    """
    rows = read_rows(run)
    if len(rows) < LEAST_ROWS:
        raise ConfigError(f"{run}: {len(rows)} rows of metrics are too few to judge, {LEAST_ROWS} are needed")
    return Diagnosis(rows, findings_in(rows))


def read_rows(run: Path) -> list[Row]:
    """`metrics.jsonl` of a run, or its `training_metrics_<MARKET>.json`; a torn last line is left out."""
    lines = run / METRICS
    whole = sorted(run.glob("training_metrics_*.json"))
    try:
        if lines.is_file():
            content = lines.read_text(encoding="utf-8").splitlines(keepends=True)
            return _rows(json.loads(line) for line in content if line.endswith("\n"))
        if whole:
            return _rows(json.loads(whole[0].read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError) as error:
        raise DataError(f"{run}: its metrics cannot be read: {error}") from error
    raise ConfigError(f"{run}: holds no metrics; give the folder of a training run")


def _rows(found: Iterable[Any]) -> list[Row]:
    """What was read, each proved to be named figures with a step; ValueError for anything else."""
    rows = list(found)
    for number, row in enumerate(rows, start=1):
        named = isinstance(row, dict) and row.get("step") is not None
        if not named or not all(value is None or isinstance(value, int | float) for value in row.values()):
            raise ValueError(f"row {number} is no row of metrics")
    return rows


def findings_in(rows: Sequence[Row]) -> list[Ailment]:
    """Every fault that the rows show, the worst kind first."""
    return [found for look in LOOKS if (found := look(rows)) is not None]


def _skipped(rows: Sequence[Row]) -> Ailment | None:
    total = sum(row.get("skipped_steps") or 0 for row in rows)
    return _if(
        total > 0,
        Ailment(
            "skipped_steps",
            f"{total} optimiser steps were skipped: a loss or gradient was not finite",
            total,
            "above",
            0,
            "lower it",
            "ppo.learning_rate",
            "skipped_steps",
        ),
    )


def _exploding(rows: Sequence[Row]) -> Ailment | None:
    kl, clipped = _late(rows, "kl"), _late(rows, "clip_fraction")
    if kl is not None and kl > MOST_KL:
        says = f"an update moves the policy by {kl:.3g} nats on average"
        return Ailment("exploding_updates", says, kl, "above", MOST_KL, "lower it", "ppo.learning_rate", "kl")
    return _if(
        clipped is not None and clipped > MOST_CLIPPED,
        Ailment(
            "exploding_updates",
            f"{100 * (clipped or 0):.0f} % of the ratios are clipped",
            clipped or 0.0,
            "above",
            MOST_CLIPPED,
            "lower it, or use fewer epochs",
            "ppo.learning_rate",
            "clip_fraction",
        ),
    )


def _frozen_schedule(rows: Sequence[Row]) -> Ailment | None:
    rates = [float(row["learning_rate"]) for row in rows if row.get("learning_rate") is not None]
    top = max(rates, default=0.0)
    share = sum(rate <= LOW_RATE * top for rate in rates) / max(1, len(rates))
    return _if(
        share > MOST_LOW_ROWS,
        Ailment(
            "frozen_schedule",
            f"the learning rate stands at 1 % of its highest value or less in {100 * share:.0f} % of the rows: "
            "the schedule ended long before the run",
            share,
            "above",
            MOST_LOW_ROWS,
            "let it end with the run",
            "ppo.total_steps",
            "learning_rate",
        ),
    )


def _one_sided(rows: Sequence[Row]) -> Ailment | None:
    late = [row for row in rows[len(rows) // 2 :] if None not in (row.get("long_share"), row.get("entries"))]
    entries = sum(row["entries"] for row in late)
    if entries < LEAST_ENTRIES:
        return None
    longs = sum(row["long_share"] * row["entries"] for row in late) / entries
    share, side = max(longs, 1 - longs), "long" if longs > 0.5 else "short"
    return _if(
        share > MOST_ONE_SIDE,
        Ailment(
            "one_sided",
            f"{100 * share:.0f} % of {entries:,} late entries are {side}: it has learned the market's direction",
            share,
            "above",
            MOST_ONE_SIDE,
            "train on bars that rise and fall, or explore more",
            "ppo.entropy_coefficient",
            "long_share",
        ),
    )


class _Low(NamedTuple):
    """A column whose late mean must not be below ``least``."""

    name: str
    column: str
    least: float
    says: str  # with a place for the mean
    change: str
    key: str

    def look(self, rows: Sequence[Row]) -> Ailment | None:
        """The fault, if the mean was measured and is too low."""
        mean = _late(rows, self.column)
        if mean is None or mean >= self.least:
            return None
        says = self.says.format(mean)
        return Ailment(self.name, says, mean, "below", self.least, self.change, self.key, self.column)


FROZEN_POLICY = _Low(
    "frozen_policy",
    "kl",
    LEAST_KL,
    "an update moves the policy by {:.1e} nats: it learns nothing",
    "raise it, or max_grad_norm if that is tiny",
    "ppo.learning_rate",
)
HOLD_TRAP = _Low(
    "hold_trap",
    "p_entry_flat",
    LEAST_ENTRY_CHANCE,
    "where an entry is legal the policy takes it with {:.2g} on average: too few trades to learn from. In a market "
    "without an edge that is right",
    "lower it, or raise ppo.entropy_coefficient",
    "ppo.hold_bias",
)
DEAD_CRITIC = _Low(
    "dead_critic",
    "explained_variance",
    LEAST_EXPLAINED,
    "the critic explains {:.1%} of the variance of its targets",
    "raise it; a discount nearer to 0.9 is easier to predict",
    "ppo.value_coefficient",
)
LOOKS: tuple[Callable[[Sequence[Row]], Ailment | None], ...] = (
    _skipped,
    _exploding,
    _frozen_schedule,
    FROZEN_POLICY.look,
    HOLD_TRAP.look,
    _one_sided,
    DEAD_CRITIC.look,
)


def _late(rows: Sequence[Row], column: str) -> float | None:
    """Mean of a column over the second half, None where it was never measured."""
    values = [float(row[column]) for row in rows[len(rows) // 2 :] if row.get(column) is not None]
    return sum(values) / len(values) if values else None


def _if(holds: bool, finding: Ailment) -> Ailment | None:
    return finding if holds else None
