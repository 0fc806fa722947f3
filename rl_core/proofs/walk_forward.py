"""Walks forward over a market: trains on what lies before each fold, and judges on the fold itself."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rl_core.bars.rungs import Ladder
from rl_core.checkpoints.manifest import find_checkpoint
from rl_core.checkpoints.policy import load_trader
from rl_core.checkpoints.provenance import touches_training, training_worlds
from rl_core.evaluation.evaluate import Evaluation, evaluate
from rl_core.evaluation.tries import tries_of
from rl_core.proofs.ailment import earned_late
from rl_core.proofs.diagnose import rows_beside
from rl_core.proofs.folds import Fold
from rl_core.proofs.walk_record import fold_folder
from rl_core.proofs.walk_runs import (
    MarketSeen,
    Place,
    Train,
    WalkInputs,
    bars_of,
    count_look,
    trained_runs,
    walk_evidence,
)
from rl_core.statistics.bootstrap import Interval, session_block_bootstrap
from rl_core.statistics.criteria import PolicyCriteria
from rl_core.statistics.interquartile import Aggregate, aggregate, aggregate_means
from rl_core.statistics.sharpe import sharpe_of
from rl_core.statistics.verdict import Tries, Verdict, verdict_on
from trigate.whole_files import disk_faults, write_whole

OPENINGS = "openings.jsonl"
"""In the folder of a walk: one line each time the locked fold was judged."""


class FoldResult(NamedTuple):
    """What every seed earned in one fold."""

    fold: Fold
    by_seed: dict[int, Evaluation]
    in_sample: bool
    trained_on_world: bool
    on_gate: dict[int, Evaluation]  # what it earned on the span that is left to a gate; empty where there is none
    in_training: float | None = None  # R a trade of its own sessions, late in training, over all seeds; None: not kept

    @property
    def sessions(self) -> int:
        """That were judged: those in which an entry could be decided."""
        return next(iter(self.by_seed.values())).sessions

    @property
    def r_a_session(self) -> dict[int, float]:
        """Of each seed; a session without a trade counts as 0."""
        return _r_a_session(self.by_seed)

    @property
    def r_on_gate(self) -> dict[int, float]:
        """The same on the span that is left to a gate."""
        return _r_a_session(self.on_gate)


class WalkResult(NamedTuple):
    """A walk as far as it went."""

    folds: list[FoldResult]
    expectancy: Interval | None  # mean R a trade over all folds and seeds, with sessions as the blocks
    by_seed: dict[int, float]  # R a session over all folds
    over_seeds: Aggregate
    verdict: Verdict
    openings: int  # of the locked fold, so far
    tries: Tries  # of this market's sessions


def walk(inputs: WalkInputs, folds: Sequence[Fold], seen: MarketSeen, train: Train) -> Iterator[FoldResult]:
    """Train and judge each of ``folds``; ends early where ``train`` was asked to stop.

    A fold's run is what `rl-core train` makes with its ``train_from`` and ``train_until``, so it is continued or left
    as it is where it has been made before.
    """
    places = [Place(fold_folder(inputs.out, fold.number), f"fold {fold.number}", (fold.train,)) for fold in folds]
    for fold, runs in zip(folds, trained_runs(inputs, places, train), strict=False):
        yield judged(fold, runs, seen, inputs.ladder)


def judged(fold: Fold, runs: dict[int, Path], seen: MarketSeen, ladder: Ladder | None = None) -> FoldResult:
    """What the policy of each run earns in the fold's test sessions, each with a fresh account.

    The same on the span that is left to a gate, where the fold has one: nobody was trained there either.

    Raises:
        DataError: no bar of the fold can start an episode.
    """
    view, trading = seen
    first, stop = bars_of(view, fold.test)
    left_to_gate = None if fold.gate is None else bars_of(view, fold.gate)
    by_seed, on_gate, in_sample, on_world = {}, {}, False, False
    for seed, run in runs.items():
        checkpoint = find_checkpoint(run)
        policy = load_trader(checkpoint)
        assert policy.identity is not None
        by_seed[seed] = evaluate(policy, view, trading, first, stop, ladder)
        if left_to_gate is not None:
            on_gate[seed] = evaluate(policy, view, trading, *left_to_gate, ladder)
        unseen_from = first if left_to_gate is None else left_to_gate[0]
        in_sample |= touches_training(policy.identity, view.bars, unseen_from)
        on_world |= bool(training_worlds(checkpoint))
    return FoldResult(fold, by_seed, in_sample, on_world, on_gate, _late_r(list(runs.values())))


def _late_r(runs: Sequence[Path]) -> float | None:
    """Mean R of the late trades of all trainings; None where none was kept."""
    kept = [earned_late(rows) for run in runs if (rows := rows_beside(run))]
    trades = sum(count for count, _ in kept)
    return sum(count * earned for count, earned in kept) / trades if trades else None


def _r_a_session(by_seed: dict[int, Evaluation]) -> dict[int, float]:
    return {seed: float(played.trades.r.sum()) / played.sessions for seed, played in by_seed.items()}


def result_of(folds: Sequence[FoldResult], inputs: WalkInputs, openings: int, criteria: PolicyCriteria) -> WalkResult:
    """Every fold and seed together.

    Seeds meet the same sessions, so the interval takes a session with the trades of all of them as one block: its
    width is the luck of the market, and its middle what a seed drawn at random earns.
    """
    every = [played.trades for result in folds for played in result.by_seed.values()]
    r, session = np.concatenate([trades.r for trades in every]), np.concatenate([trades.session for trades in every])
    expectancy = session_block_bootstrap(r, session)
    sessions = sum(result.sessions for result in folds)
    by_seed = {
        seed: sum(float(result.by_seed[seed].trades.r.sum()) for result in folds) / sessions
        for seed in folds[0].by_seed
    }
    made = count_look(inputs, "walk", folds[0].fold.test.first, folds[-1].fold.test.last)
    tries = tries_of(made, sharpe_of(session, r / len(by_seed), sessions))
    seen_before = (f"the locked fold has been opened {openings} times: it is no unseen market any more",)
    evidence = walk_evidence(folds, inputs, expectancy, tries, seen_before if openings > 1 else ())
    return WalkResult(
        folds=list(folds),
        expectancy=expectancy,
        by_seed=by_seed,
        over_seeds=aggregate_means(
            [list(result.r_a_session.values()) for result in folds], [result.sessions for result in folds]
        ),
        verdict=verdict_on(evidence, criteria),
        openings=openings,
        tries=tries,
    )


def openings_of(out: Path) -> int:
    """How often the locked fold of the walk in ``out`` has been judged."""
    path = out / OPENINGS
    return len(path.read_text().splitlines()) if path.exists() else 0


def record_opening(out: Path, fold: Fold, seeds: Sequence[int]) -> int:
    """Note that the locked fold is about to be judged, on disk before anything is seen; returns how often it was."""
    line = {"utc": datetime.now(UTC).isoformat(timespec="seconds"), "test": fold.test.label, "seeds": list(seeds)}
    path = out / OPENINGS
    with disk_faults(path):
        out.mkdir(parents=True, exist_ok=True)
        before = path.read_text() if path.exists() else ""
    write_whole(path, f"{before}{json.dumps(line)}\n")
    return openings_of(out)


def record_of(result: WalkResult, phase: int) -> dict[str, Any]:
    """Every figure of the walk, for a file or a program; ``phase`` was judged."""
    return {
        "phase": phase,
        "folds": [_fold_record(each) for each in result.folds],
        "seeds": {str(seed): r for seed, r in result.by_seed.items()},
        "r_a_session": result.over_seeds._asdict(),
        "mean_r": None if result.expectancy is None else result.expectancy._asdict(),
        "tries": result.tries.made,
        "sharpe_above_luck": result.tries.deflated,
        "verdict": result.verdict.word,
        "because": list(result.verdict.reasons),
        "openings_of_the_locked_fold": result.openings,
    }


def _fold_record(result: FoldResult) -> dict[str, Any]:
    fold, each = result.fold, result.r_a_session
    trades = [len(played.trades.r) for played in result.by_seed.values()]
    r = np.concatenate([played.trades.r for played in result.by_seed.values()])
    return {
        "fold": fold.number,
        "locked": fold.locked,
        "trained_on": fold.train.label,
        "training_sessions": fold.train.total,
        "left_to_gate": None if fold.gate is None else fold.gate.label,
        "gate_sessions": 0 if fold.gate is None else fold.gate.total,
        "gate_trades": [len(played.trades.r) for played in result.on_gate.values()],
        "gate_r_a_session": list(result.r_on_gate.values()),
        "judged_on": fold.test.label,
        "sessions": result.sessions,
        "trades": trades,
        "r_a_session": [each[seed] for seed in result.by_seed],
        "iqm_r_a_session": aggregate([list(each.values())])._asdict(),
        "mean_r": float(r.mean()) if len(r) else None,
        "mean_r_in_training": result.in_training,
    }
