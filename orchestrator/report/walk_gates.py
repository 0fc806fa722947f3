"""The gates of a walk forward: one a policy and fold, taught on the fold's middle span and judged on its last."""

import json
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from llm_gate.evals.data.cases import write_cases
from orchestrator.report.taught_on_span import Policy, Spans, Taught, Teaching, teach_and_judge
from orchestrator.run.config import GateSection
from orchestrator.trader.seen_at_close import CloseViewTable
from rl_core.bars.bars import Bars
from rl_core.bars.read import read_bars
from rl_core.bars.seconds import MinuteSeconds, read_seconds
from rl_core.checkpoints.manifest import find_checkpoint
from rl_core.checkpoints.policy import load_trader
from rl_core.checkpoints.provenance import check_unchanged, trading_of, trained_until_ns, training_worlds, world_traded
from rl_core.evaluation.entrants import Trained
from rl_core.evaluation.gate_worth import APPROVING
from rl_core.evaluation.pooled_gates import PooledGates, pooled
from rl_core.evaluation.span import Span, span_between
from rl_core.proofs.walk_record import Walked, WalkedFold, days_of, fold_folder, read_walked, run_in
from rl_core.regimes.fitted import Frozen, frozen_regimes
from rl_core.statistics.criteria import read_criteria
from rl_core.statistics.gate_verdict import GateEvidence, verdict_on_gate
from rl_core.statistics.verdict import Verdict
from rl_core.trading.setup import Trading, compile_trading, resolved
from rl_core.training.source_file import Source, source_recorded_by
from trigate.errors import ConfigError, DataError
from trigate.whole_files import disk_faults, write_whole

GATES, RECORD = "gates", "walk_gate.json"
RERUNS = 50
SAME_R = 1e-6

Say = Callable[[str], None]


class GatedFold(NamedTuple):
    """What the gates of one fold came to."""

    walked: WalkedFold
    taught: tuple[Taught, ...]  # of each seed


class WalkGates(NamedTuple):
    """All of them, and what is said of them."""

    folds: tuple[GatedFold, ...]
    together: PooledGates
    verdict: Verdict

    def row(self) -> dict[str, Any]:
        """Plain values, as the file keeps them."""
        together = self.together._asdict()
        for name in ("over_approving", "over_random"):
            together[name] = None if together[name] is None else together[name]._asdict()
        for name in ("regimes", "by_rarity"):
            together[name] = [each.row() for each in together[name]]
        return {
            "verdict": self.verdict.word,
            "reasons": list(self.verdict.reasons),
            "folds": [_fold_row(each) for each in self.folds],
            **together,
        }


class _Market(NamedTuple):
    """What was read once for all folds."""

    bars: Bars
    path: Path
    seconds: MinuteSeconds | None


def judge_walk(
    folder: Path, *, reruns: int = RERUNS, max_veto_rate: float = 1.0, bars: Path | None = None, say: Say
) -> WalkGates:
    """Teach and judge the gates of the walk in ``folder``, and write cases, gates and figures below it.

    Args:
        folder: that `rl-core walk-forward --gate-share` wrote to.
        reruns: of random vetoes at each gate's own rates.
        max_veto_rate: veto at most this share of the entries, and shrink the rest.
        bars: where the bars lie today; None: where they lay.
        say: told after each policy.

    Raises:
        ConfigError: nothing was left to a gate, or a bar would be used twice.
        DataError: the bars are not those of the walk.
    """
    walked = read_walked(folder)
    if any(fold.left_to_gate is None for fold in walked.folds):
        raise ConfigError(
            f"{folder}: nothing was left to a gate; walk with --gate-share 0.2, in another --out, as that trains anew"
        )
    market = _market(folder, walked, bars)
    how = Teaching(Fraction(GateSection().review.shrink_factor), reruns, max_veto_rate)
    folds, synthetic = [], False
    for fold in walked.folds:
        taught = []
        for policy, on_world in _policies(folder, walked, fold, market):
            each = teach_and_judge(policy, _spans(fold, policy), how)
            _refuse_other_trades(each, fold, list(map(int, walked.seeds)).index(policy.seed), policy.name)
            _keep(each, folder / GATES / f"fold-{fold.fold}" / f"seed-{policy.seed}")
            synthetic |= on_world
            say(_line(each, policy.name))
            taught.append(each)
        folds.append(GatedFold(fold, tuple(taught)))
    together = pooled([each.gate for fold in folds for each in fold.taught])
    found = WalkGates(tuple(folds), together, _verdict(folds, together, walked, synthetic=synthetic))
    write_whole(folder / RECORD, json.dumps(found.row(), indent=1) + "\n")
    return found


def _market(folder: Path, walked: Walked, bars: Path | None) -> _Market:
    """The bars of the walk, which its first run names."""
    first = run_in(fold_folder(folder, walked.folds[0].fold), int(next(iter(walked.seeds))), walked.phase)
    source = source_recorded_by(first)
    if source is None:
        raise ConfigError(f"{first}: says nothing of its bars; restore it, or walk again")
    path = bars or source.bars
    read = read_bars(path, market=source.market, **source.times._asdict())
    check_unchanged(path, read.digest, source.digest)
    return _Market(read, path, _seconds(source, read))


def _seconds(source: Source, bars: Bars) -> MinuteSeconds | None:
    if source.seconds is None:
        return None
    return MinuteSeconds(bars, read_seconds(source.seconds, bars, **source.times._asdict()))


def _policies(folder: Path, walked: Walked, fold: WalkedFold, market: _Market) -> Iterator[tuple[Policy, bool]]:
    """Each seed's policy of the fold, and whether its bars or its training are a synthetic world's."""
    views: tuple[Frozen, Trading, CloseViewTable] | None = None
    for seed in map(int, walked.seeds):
        checkpoint = find_checkpoint(run_in(fold_folder(folder, fold.fold), seed, walked.phase), phase=walked.phase)
        policy = load_trader(checkpoint)
        assert policy.identity is not None, "it was loaded from a checkpoint"
        regimes = frozen_regimes(checkpoint, market.bars.instrument.symbol)
        if views is None or views[0] != regimes:  # policies of one fold share account, split and regimes
            account = resolved(trading_of(policy.identity), seconds=market.seconds is not None)
            trading = compile_trading(account, market.bars.instrument)
            table = CloseViewTable(market.bars, 0, trading.pack, trading.hours, regimes, trading.yardstick)
            views = (regimes, trading, table)
        worlds = training_worlds(checkpoint)
        on_world = bool(worlds) or world_traded(market.path, market.bars, worlds) is not None
        until = trained_until_ns(policy.identity)
        yield Policy(fold.fold, seed, Trained(policy), until, views[2], views[1], market.seconds), on_world


def _spans(fold: WalkedFold, policy: Policy) -> Spans:
    assert fold.left_to_gate is not None, "a walk without it was refused"
    session = policy.views.market.located.session
    taught, judged = (span_between(session, *days_of(label)) for label in (fold.left_to_gate, fold.judged_on))
    if not len(range(*taught)) or not len(range(*judged)):
        raise DataError(
            f"{policy.name}: the bars hold no session of {fold.left_to_gate} or {fold.judged_on}; give its own"
        )
    return Spans(Span(*taught), Span(*judged))


def _refuse_other_trades(taught: Taught, fold: WalkedFold, place: int, name: str) -> None:
    """The check on everything here: without a gate the path is what the walk judged, trade by trade in sum."""
    played = taught.gate.worth.paths[APPROVING]
    walked_r = fold.r_a_session[place] * fold.sessions
    if played.trades != fold.trades[place] or abs(played.r.sum() - walked_r) > SAME_R:
        raise DataError(
            f"{name}: without a gate {played.trades} trades earn {played.r.sum():+.3f} R, where the walk had "
            f"{fold.trades[place]} and {walked_r:+.3f} R: it was another version or other files; walk again"
        )


def _keep(taught: Taught, folder: Path) -> None:
    """The cases and the gate of one policy, as `llm-gate tune` and `eval` read them."""
    with disk_faults(folder):
        folder.mkdir(parents=True, exist_ok=True)
    write_cases(taught.cases, folder / "cases.jsonl")
    if taught.model is not None:
        write_whole(folder / "logistic.json", taught.model.model_dump_json(indent=1) + "\n")


def _line(taught: Taught, name: str) -> str:
    gate = taught.gate
    if gate.untaught:
        return f"{name}: nothing could be taught ({gate.untaught}), so everything is approved"
    assert taught.model is not None
    found = "" if taught.model.threshold > 0 else ", in which it found nothing"
    vetoed = 100 * gate.worth.rates.vetoed
    return (
        f"{name}: taught on {taught.model.cases} entries of {taught.model.sessions} sessions{found}; vetoes "
        f"{vetoed:.0f} % of {int(gate.asked.sum())}"
    )


def _verdict(folds: Sequence[GatedFold], together: PooledGates, walked: Walked, *, synthetic: bool) -> Verdict:
    gates = [each.gate for fold in folds for each in fold.taught]
    untaught, opened = sum(bool(gate.untaught) for gate in gates), walked.openings_of_the_locked_fold
    doubts = {
        f"{untaught} of {len(gates)} gates had nothing to be taught on and approve everything": untaught > 0,
        f"the locked fold has been opened {opened} times: it is no unseen market any more": opened > 1,
    }
    evidence = GateEvidence(
        over_random=together.over_random,
        over_approving=together.over_approving,
        beaten=together.beaten,
        in_sample=False,  # such bars are refused before anything is taught
        synthetic=synthetic,
        proposals=sum(int(gate.asked.sum()) for gate in gates),
        without_verdict=0,
        doubts=tuple(doubt for doubt, holds in doubts.items() if holds),
    )
    return verdict_on_gate(evidence, read_criteria().gate)


def _fold_row(fold: GatedFold) -> dict[str, Any]:
    gates = [each.gate for each in fold.taught]
    paths = {name: np.mean([gate.worth.paths[name].r.mean() for gate in gates]) for name in gates[0].worth.paths}
    random = np.mean([[path.r.mean() for path in gate.worth.random] for gate in gates])
    return {
        "fold": fold.walked.fold,
        "locked": fold.walked.locked,
        "policy_trained_on": fold.walked.trained_on,
        "gate_taught_on": fold.walked.left_to_gate,
        "judged_on": fold.walked.judged_on,
        "cases": [int(gate.taught.sum()) for gate in gates],
        "asked": [int(gate.asked.sum()) for gate in gates],
        "stopped": [int(gate.stopped.sum()) for gate in gates],
        "untaught": [gate.untaught for gate in gates],
        "r_a_session": {**{name: float(r) for name, r in paths.items()}, "random": float(random)},
        "gates": [gate.worth.row() for gate in gates],
    }
