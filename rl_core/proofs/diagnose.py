"""Finds what ails a training run in its rows of metrics: each ailment with its figure, threshold and remedy.

Most checks judge the second half of the rows: what a run does at first is not yet a fault. What an evaluation
played is looked at as well, where it is at hand: a policy may draw both sides while it learns, and be served on one.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from math import log
from pathlib import Path
from typing import Any, NamedTuple

from rl_core.proofs.ailment import LEAST_ENTRIES, MOST_EARNED, MOST_ONE_SIDE, Ailment, Row, earned_late, side_of
from rl_core.proofs.played import ailments_of_play, read_play
from trigate.errors import ConfigError, DataError

METRICS = "metrics.jsonl"
LEAST_ROWS = 4

LEAST_ENTRY_CHANCE = 0.003  # a signal an hour is 0.017
MOST_EVEN, LEAST_EVEN_ENTRIES = 0.9, 0.6  # of ln 3, and of a third each for BUY and SELL
LEAST_CHOICES = 0.1  # of the transitions
LEAST_SERVED, LEAST_SAMPLED = 0.001, 0.02  # closes at which an entry is served, and is drawn
LEAST_EXPLAINED = 0.0  # no better than a constant
LOW_RATE, MOST_LOW_ROWS = 0.01, 0.3  # of the highest rate; a straight line to zero spends 1 % of its rows there
LEAST_KL = 1e-7
MOST_KL, MOST_CLIPPED = 0.04, 0.4


class Diagnosis(NamedTuple):
    """The rows of a run and the ailments that they show."""

    rows: list[Row]
    ailments: list[Ailment]


def diagnose(run: Path, evaluation: Path | None = None) -> Diagnosis:
    """Diagnose the run in folder ``run``, and what ``evaluation`` says of it: what `rl-core evaluate --json` printed.

    Raises:
        ConfigError: there are no metrics, or too few to judge.
        DataError: they, or the evaluation, cannot be read.
    """
    rows = read_rows(run)
    played = [] if evaluation is None else ailments_of_play(read_play(evaluation), rows)
    if len(rows) < LEAST_ROWS:
        raise ConfigError(f"{run}: {len(rows)} rows of metrics are too few to judge, {LEAST_ROWS} are needed")
    return Diagnosis(rows, ailments_in(rows) + played)


def rows_beside(run: Path) -> list[Row]:
    """The rows of the training that made ``run``, a run or one of its checkpoints; empty where they were not kept.

    Raises:
        DataError: they cannot be read.
    """
    kept = [folder for folder in (run, run.parent.parent) if (folder / METRICS).is_file()]
    return read_rows(kept[0]) if kept else []


def read_rows(run: Path) -> list[Row]:
    """Read `metrics.jsonl` of a run, or its `training_metrics_<MARKET>.json`; a half-written last line is left out."""
    lines = run / METRICS
    whole = sorted(run.glob("training_metrics_*.json"))
    try:
        if lines.is_file():
            content = lines.read_text(encoding="utf-8").splitlines(keepends=True)
            return _rows(json.loads(line) for line in content if line.endswith("\n"))
        if whole:
            return _rows(json.loads(whole[0].read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError) as error:
        raise DataError(f"{run}: its metrics cannot be read: {error}; restore the file from a copy") from error
    raise ConfigError(f"{run}: holds no metrics; give the folder of a training run")


def _rows(decoded: Iterable[Any]) -> list[Row]:
    """Check that every decoded row is a mapping of names to numbers with a step; ValueError otherwise."""
    rows = list(decoded)
    for number, row in enumerate(rows, start=1):
        named = isinstance(row, dict) and row.get("step") is not None
        if not named or not all(value is None or isinstance(value, int | float) for value in row.values()):
            raise ValueError(f"row {number} is no row of metrics")
    return rows


def ailments_in(rows: Sequence[Row]) -> list[Ailment]:
    """Every ailment that the rows show, the worst kind first."""
    return [ailment for check in CHECKS if (ailment := check(rows)) is not None]


def _skipped(rows: Sequence[Row]) -> Ailment | None:
    total = sum(row.get("skipped_steps") or 0 for row in rows)
    return _ailment_if(
        total > 0,
        Ailment(
            name="skipped_steps",
            says=f"{total} optimiser steps were skipped: a loss or gradient was not finite",
            figure=total,
            relation="above",
            threshold=0,
            change="lower it",
            key="ppo.learning_rate",
            plot="skipped_steps",
        ),
    )


def _exploding(rows: Sequence[Row]) -> Ailment | None:
    kl, clipped = _late_mean(rows, "kl"), _late_mean(rows, "clip_fraction")
    if kl is not None and kl > MOST_KL:
        says = f"an update moves the policy by {kl:.3g} nats on average"
        return Ailment(
            name="exploding_updates",
            says=says,
            figure=kl,
            relation="above",
            threshold=MOST_KL,
            change="lower it",
            key="ppo.learning_rate",
            plot="kl",
        )
    return _ailment_if(
        clipped is not None and clipped > MOST_CLIPPED,
        Ailment(
            name="exploding_updates",
            says=f"{100 * (clipped or 0):.0f} % of the ratios are clipped",
            figure=clipped or 0.0,
            relation="above",
            threshold=MOST_CLIPPED,
            change="lower it, or use fewer epochs",
            key="ppo.learning_rate",
            plot="clip_fraction",
        ),
    )


def _frozen_schedule(rows: Sequence[Row]) -> Ailment | None:
    rates = [float(row["learning_rate"]) for row in rows if row.get("learning_rate") is not None]
    top = max(rates, default=0.0)
    share = sum(rate <= LOW_RATE * top for rate in rates) / max(1, len(rates))
    return _ailment_if(
        share > MOST_LOW_ROWS,
        Ailment(
            name="frozen_schedule",
            says=f"the learning rate stands at 1 % of its highest value or less in {100 * share:.0f} % of the rows: "
            "the schedule ended long before the run",
            figure=share,
            relation="above",
            threshold=MOST_LOW_ROWS,
            change="let it end with the run",
            key="ppo.total_steps",
            plot="learning_rate",
        ),
    )


def _one_sided(rows: Sequence[Row]) -> Ailment | None:
    late = [row for row in rows[len(rows) // 2 :] if None not in (row.get("long_share"), row.get("entries"))]
    entries = sum(row["entries"] for row in late)
    if entries < LEAST_ENTRIES:
        return None
    share, side = side_of(sum(row["long_share"] * row["entries"] for row in late) / entries)
    return _ailment_if(
        share > MOST_ONE_SIDE,
        Ailment(
            name="one_sided",
            says=f"{100 * share:.0f} % of {entries:,} late entries are {side}: it has learned the market's direction",
            figure=share,
            relation="above",
            threshold=MOST_ONE_SIDE,
            change="train on bars that rise and fall, or explore more",
            key="ppo.entropy_coefficient",
            plot="long_share",
        ),
    )


class _TooLow(NamedTuple):
    """A check that the mean of a column over the second half of the rows is not below ``least``."""

    name: str
    column: str
    least: float
    says: str  # with a place for the mean
    change: str
    key: str

    def look(self, rows: Sequence[Row]) -> Ailment | None:
        """The fault, if the mean was measured and is too low."""
        mean = _late_mean(rows, self.column)
        if mean is None or mean >= self.least:
            return None
        return Ailment(
            name=self.name,
            says=self.says.format(mean),
            figure=mean,
            relation="below",
            threshold=self.least,
            change=self.change,
            key=self.key,
            plot=self.column,
        )


FROZEN_POLICY = _TooLow(
    name="frozen_policy",
    column="kl",
    least=LEAST_KL,
    says="an update moves the policy by {:.1e} nats: it learns nothing",
    change="raise it, or max_grad_norm if that is tiny",
    key="ppo.learning_rate",
)
HOLD_TRAP = _TooLow(
    name="hold_trap",
    column="p_entry_flat",
    least=LEAST_ENTRY_CHANCE,
    says="where an entry is legal the policy takes it with {:.2g} on average: too few trades to learn from",
    change="lower it, or raise ppo.entropy_coefficient",
    key="ppo.hold_bias",
)
DEAD_CRITIC = _TooLow(
    name="dead_critic",
    column="explained_variance",
    least=LEAST_EXPLAINED,
    says="the critic explains {:.1%} of the variance of its targets",
    change="raise it; a discount nearer to 0.9 is easier to predict. Phase 1 does without it where entries are known",
    key="ppo.value_coefficient",
)


def _hold_trap(rows: Sequence[Row]) -> Ailment | None:
    """Too few entries: a trap where those that the policy prefers earn something, and rightly nothing where not."""
    trap = HOLD_TRAP.look(rows)
    preferred, by_chance = _late_mean(rows, "known_entry_r"), _late_mean(rows, "known_random_r")
    if trap is None or preferred is None or by_chance is None:
        return trap
    if preferred > 0:
        return trap._replace(says=f"{trap.says}, although the entries that it prefers earn {preferred:+.3f} R")
    return Ailment(
        name="nothing_to_enter",
        says=f"the policy hardly enters, and rightly: the entries that it prefers earn {preferred:+.3f} R after costs, "
        f"and random ones {by_chance:+.3f} R. It has found no edge in these bars",
        figure=preferred,
        relation="below",
        threshold=0.0,
        change="other bars, inputs or brackets, not another learner",
        key="trading",
        plot="known_entry_r",
    )


def _still_uniform(rows: Sequence[Row]) -> Ailment | None:
    entropy, entry = _late_mean(rows, "entropy_choice"), _late_mean(rows, "p_entry_flat")
    if entropy is None or entry is None:
        return None
    share = entropy / log(3)
    return _ailment_if(
        share > MOST_EVEN and entry > LEAST_EVEN_ENTRIES,
        Ailment(
            name="still_uniform",
            says=f"the policy still draws evenly: entropy is {100 * share:.0f} % of ln 3, and it enters at "
            f"{100 * entry:.0f} % of the closes (67 % is chance)",
            figure=share,
            relation="above",
            threshold=MOST_EVEN,
            change="raise it; and start with ppo.hold_bias above 0, so that trades do not take all the time there is",
            key="ppo.learning_rate",
            plot="entropy_choice",
        ),
    )


def _few_choices(rows: Sequence[Row]) -> Ailment | None:
    late = rows[len(rows) // 2 - 1 :]
    bars = late[-1]["step"] - late[0]["step"]
    if _late_mean(rows, "known_entry_r") is not None or bars <= 0 or any(row.get("choices") is None for row in late):
        return None
    share = sum(row["choices"] for row in late[1:]) / bars
    return _ailment_if(
        share < LEAST_CHOICES,
        Ailment(
            name="few_choices",
            says=f"{100 * share:.0f} % of the transitions hold a choice: the account is in a position all the time",
            figure=share,
            relation="below",
            threshold=LEAST_CHOICES,
            change="true: phase 1 then learns from every bar; else raise ppo.hold_bias",
            key="ppo.known_entries",
            plot="choices",
        ),
    )


def _served_otherwise(rows: Sequence[Row]) -> Ailment | None:
    """The likeliest action is what is served; training draws, and the two can differ altogether."""
    served, drawn = _late_mean(rows, "known_served_entries"), _late_mean(rows, "p_entry_flat")
    longs = _late_mean(rows, "known_served_longs")
    if served is None or drawn is None or longs is None:
        return None
    if served < LEAST_SERVED:
        return _ailment_if(
            drawn > LEAST_SAMPLED,
            Ailment(
                name="served_never",
                says=f"it draws an entry at {100 * drawn:.0f} % of the closes, but entering is the likeliest action at "
                f"{100 * served:.2g} %: served, it does nothing",
                figure=served,
                relation="below",
                threshold=LEAST_SERVED,
                change="train longer, or lower ppo.entropy_coefficient",
                key="ppo.total_steps",
                plot="known_served_entries",
            ),
        )
    share, side = side_of(longs)
    return _ailment_if(
        share > MOST_ONE_SIDE,
        Ailment(
            name="served_one_sided",
            says=f"{100 * share:.0f} % of the entries that would be served are {side}",
            figure=share,
            relation="above",
            threshold=MOST_ONE_SIDE,
            change="true shows it every market upside down as well",
            key="mirror",
            plot="known_served_longs",
        ),
    )


def _known_by_heart(rows: Sequence[Row]) -> Ailment | None:
    """More than any market pays: the network is large enough to remember some dozen sessions, minute by minute."""
    trades, earned = earned_late(rows)
    return _ailment_if(
        trades >= LEAST_ENTRIES and earned > MOST_EARNED,
        Ailment(
            name="known_by_heart",
            says=f"{trades:,} late trades of training earn {earned:+.2f} R each: no market pays that, so the policy "
            "knows its training bars by heart, and nothing here tells what it earns elsewhere",
            figure=earned,
            relation="above",
            threshold=MOST_EARNED,
            change="train on more sessions; with few of them, lower it",
            key="ppo.total_steps",
            plot="mean_r",
        ),
    )


CHECKS: tuple[Callable[[Sequence[Row]], Ailment | None], ...] = (
    _skipped,
    _exploding,
    _known_by_heart,
    _frozen_schedule,
    FROZEN_POLICY.look,
    _still_uniform,
    _few_choices,
    _hold_trap,
    _one_sided,
    _served_otherwise,
    DEAD_CRITIC.look,
)


def _late_mean(rows: Sequence[Row], column: str) -> float | None:
    """Mean of a column over the second half of the rows; None where it was never measured."""
    values = [float(row[column]) for row in rows[len(rows) // 2 :] if row.get(column) is not None]
    return sum(values) / len(values) if values else None


def _ailment_if(holds: bool, ailment: Ailment) -> Ailment | None:
    return ailment if holds else None
