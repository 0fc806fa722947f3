"""Trains and judges every split of a combinatorial cross-validation, and says what its paths came to."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rl_core.checkpoints.manifest import find_checkpoint
from rl_core.checkpoints.policy import load_trader
from rl_core.checkpoints.provenance import trained_in, training_worlds
from rl_core.evaluation.evaluate import Evaluation, evaluate
from rl_core.evaluation.tries import tries_of
from rl_core.features.market_view import MarketView
from rl_core.proofs.combinatorial import CombinatorialRules, JudgedGroup, Split, paths_over
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
from rl_core.statistics.overfitting import BLOCKS, overfitting
from rl_core.statistics.sharpe import sharpe_of, sharpe_ratio
from rl_core.statistics.verdict import Tries, Verdict, verdict_on

BOTH_SIDES = (
    "policies were trained on sessions after the judged ones too: paths show how much hangs on the sessions, and what "
    "could have been traded is shown by a walk forward alone"
)

Floats = npt.NDArray[np.float64]


class SplitResult(NamedTuple):
    """What every seed earned in the judged groups of one split."""

    split: Split
    by_seed: dict[int, tuple[Evaluation, ...]]  # one a group, in their order
    in_sample: bool
    trained_on_world: bool


class PathOverfitting(NamedTuple):
    """Whether the seed that earns best in one half of a path earns above the middle in the other; means over paths."""

    probability: float  # that it does not
    median_rank: float  # of the best inside, outside: 0 worst, 1 best
    paths: int
    each: tuple[float, ...]  # the probability on each path


class PathsResult(NamedTuple):
    """All paths, and what is said of them."""

    done: list[SplitResult]
    paths: Floats  # [P, S] R a session of each path and seed
    sharpe: list[float | None]  # [P] of a session's R, mean over seeds; None: it never changed
    overfitting: PathOverfitting | None  # of choosing among seeds; None: one seed, or too few sessions
    expectancy: Interval | None  # mean R a trade of all splits and seeds, with sessions as the blocks
    verdict: Verdict
    tries: Tries
    days: npt.NDArray[np.int32]  # [T] that were judged
    by_session: Floats  # [P, T, S] R of each


def judge_splits(inputs: WalkInputs, splits: Sequence[Split], seen: MarketSeen, train: Train) -> Iterator[SplitResult]:
    """Train and judge each of ``splits``; ends early where ``train`` was asked to stop."""
    places = [
        Place(inputs.out / f"split-{split.number}", f"split {split.number}", tuple(split.train)) for split in splits
    ]
    for split, runs in zip(splits, trained_runs(inputs, places, train), strict=False):
        by_seed, in_sample, on_world = {}, False, False
        for seed, run in runs.items():
            checkpoint = find_checkpoint(run)
            policy = load_trader(checkpoint)
            assert policy.identity is not None, "it was loaded from a checkpoint"
            spans = [group.sessions for group in split.test]
            by_seed[seed] = tuple(
                evaluate(policy, seen.view, seen.trading, *bars_of(seen.view, span), inputs.ladder) for span in spans
            )
            in_sample |= any(trained_in(policy.identity, span.first, span.last) for span in spans)
            on_world |= bool(training_worlds(checkpoint))
        yield SplitResult(split, by_seed, in_sample, on_world)


def paths_result(
    done: Sequence[SplitResult],
    rules: CombinatorialRules,
    seen: MarketSeen,
    inputs: WalkInputs,
    criteria: PolicyCriteria,
) -> PathsResult:
    """The paths through ``done``, which holds every split.

    A session is judged by the policies of several splits and by every seed of each; the interval takes a session with
    all of their trades as one block, so its width is the luck of the market.
    """
    days = enterable_days(seen.view)
    by_session = path_matrices(done, rules, days)  # [P, T, S]
    trades = [played.trades for result in done for groups in result.by_seed.values() for played in groups]
    r, session = np.concatenate([each.r for each in trades]), np.concatenate([each.session for each in trades])
    expectancy = session_block_bootstrap(r, session)
    made = count_look(inputs, "cpcv", int(days[0]), int(days[-1]))
    judgements = rules.paths * len(inputs.seeds)  # of each session
    tries = tries_of(made, sharpe_of(session, r / judgements, len(days)))
    evidence = walk_evidence(done, inputs, expectancy, tries, (BOTH_SIDES,))
    ratios = [sharpe_ratio(path.mean(axis=1)) for path in by_session]
    return PathsResult(
        done=list(done),
        paths=by_session.mean(axis=1),
        sharpe=[None if ratio is None else ratio.ratio for ratio in ratios],
        overfitting=_overfitting(by_session),
        expectancy=expectancy,
        verdict=verdict_on(evidence, criteria),
        tries=evidence.tries,
        days=days,
        by_session=by_session,
    )


def enterable_days(view: MarketView) -> npt.NDArray[np.int32]:
    """[T] sessions in which an entry may be decided: those that an evaluation counts."""
    return np.unique(view.located.session[view.hours.entry_open & view.features.warm & ~view.last_in_session])


def path_matrices(done: Sequence[SplitResult], rules: CombinatorialRules, days: npt.NDArray[np.int32]) -> Floats:
    """[P, T, S] R of each session on each path, by seed."""
    seeds = list(done[0].by_seed)
    found = np.zeros((rules.paths, len(days), len(seeds)))
    for path, chosen in enumerate(paths_over([result.split for result in done], rules)):
        for group, place in enumerate(chosen):
            result = done[place]
            at = [each.number for each in result.split.test].index(group)
            for column, seed in enumerate(seeds):
                trades = result.by_seed[seed][at].trades
                np.add.at(found[path, :, column], np.searchsorted(days, trades.session), trades.r)
    return found


def _overfitting(by_session: Floats) -> PathOverfitting | None:
    """PBO of choosing one seed among them, of each path [P, T, S]."""
    _, sessions, seeds = by_session.shape
    blocks = min(BLOCKS, sessions // 2 // 2 * 2)
    if seeds < 2 or blocks < 2:
        return None
    found = [overfitting(path, blocks=blocks) for path in by_session]
    return PathOverfitting(
        probability=float(np.mean([each.probability for each in found])),
        median_rank=float(np.mean([each.median_rank for each in found])),
        paths=len(found),
        each=tuple(each.probability for each in found),
    )


def record_of_paths(result: PathsResult, rules: CombinatorialRules) -> dict[str, Any]:
    """Every figure, for a file or a program."""
    over_seeds = result.paths.mean(axis=1)
    return {
        "scheme": "cpcv",
        "groups": rules.groups,
        "judged_groups": rules.judged,
        "embargo": rules.embargo,
        "splits": [_split_record(each) for each in result.done],
        "paths": [
            {"r_a_session": float(mean), "by_seed": [float(r) for r in seeds], "sharpe_a_session": ratio}
            for mean, seeds, ratio in zip(over_seeds, result.paths, result.sharpe, strict=True)
        ],
        "r_a_session": {
            "worst": float(over_seeds.min()),
            "median": float(np.median(over_seeds)),
            "best": float(over_seeds.max()),
            "spread": float(over_seeds.std(ddof=1)) if len(over_seeds) > 1 else None,
        },
        "paths_below_zero": float((over_seeds < 0).mean()),
        "overfitting": None if result.overfitting is None else result.overfitting._asdict(),
        "mean_r": None if result.expectancy is None else result.expectancy._asdict(),
        "tries": result.tries.made,
        "sharpe_above_luck": result.tries.deflated,
        "verdict": result.verdict.word,
        "because": list(result.verdict.reasons),
    }


def _split_record(result: SplitResult) -> dict[str, Any]:
    return {
        "split": result.split.number,
        "trained_on": [run.label for run in result.split.train],
        "judged": [
            _group_record(group, [groups[at] for groups in result.by_seed.values()])
            for at, group in enumerate(result.split.test)
        ],
    }


def _group_record(group: JudgedGroup, by_seed: Sequence[Evaluation]) -> dict[str, Any]:
    return {
        "group": group.number + 1,
        "sessions": group.sessions.label,
        "trades": [len(played.trades.r) for played in by_seed],
        "r_a_session": [float(played.trades.r.sum()) / played.sessions for played in by_seed],
    }
