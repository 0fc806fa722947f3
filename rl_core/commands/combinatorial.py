"""What `rl-core walk-forward --scheme cpcv` does: every split trained and judged, then its paths told."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import typer

from rl_core.commands.progress import say
from rl_core.statistics.counts import counted
from trigate.command_line import print_lines
from trigate.errors import ConfigError
from trigate.whole_files import write_whole

if TYPE_CHECKING:
    from rl_core.proofs.combinatorial import CombinatorialRules
    from rl_core.proofs.combinatorial_walk import SplitResult
    from rl_core.proofs.walk_runs import MarketSeen, Train, WalkInputs

RECORD, PAGE = "cpcv.json", "cpcv.html"


def judge_combinations(
    inputs: "WalkInputs", rules: "CombinatorialRules", seen: "MarketSeen", train: "Train", *, as_json: bool
) -> None:
    """Train and judge every split, write page and record and print them; neither where it was asked to stop."""
    from rl_core.bars.card import examine
    from rl_core.proofs.combinatorial import combinatorial_splits
    from rl_core.proofs.combinatorial_page import combinatorial_page
    from rl_core.proofs.combinatorial_walk import judge_splits, paths_result, record_of_paths
    from rl_core.statistics.criteria import read_criteria

    card = examine(inputs.bars, inputs.source.bars)  # before hours of training, as it may refuse them
    splits = combinatorial_splits(seen.sessions, rules)
    say(
        f"{rules.splits} splits of {rules.groups} groups, {rules.judged} judged at a time: "
        f"{rules.splits * len(inputs.seeds) * len(inputs.phases)} trainings, {counted(rules.paths, 'path')}",
        quiet=as_json,
    )
    done: list[SplitResult] = []
    for result in judge_splits(inputs, splits, seen, train):
        done.append(result)
        say(_line(result), quiet=as_json)
    if len(done) < len(splits):
        say(f"stopped after {len(done)} of {len(splits)} splits; the same command goes on", quiet=as_json)
        return
    found = paths_result(done, rules, seen, inputs, read_criteria().policy)
    record = record_of_paths(found, rules)
    write_whole(inputs.out / PAGE, combinatorial_page(card, found, rules, _how(inputs, rules)))
    write_whole(inputs.out / RECORD, json.dumps(record, indent=1) + "\n")
    if as_json:
        typer.echo(json.dumps(record))
        return
    print_lines(_lines(record))
    typer.echo(f"page: {inputs.out / PAGE}")


def refuse_with_cpcv(given: Mapping[str, object]) -> None:
    """Raise ConfigError where an option was given that says nothing of splits on both sides of what they judge."""
    for option, is_given in given.items():
        if is_given:
            raise ConfigError(f"{option} goes with --scheme anchored or rolling: cpcv judges every session, none first")


def _how(inputs: "WalkInputs", rules: "CombinatorialRules") -> str:
    return (
        f"{rules.splits} splits of {rules.groups} groups, {rules.judged} judged at a time, "
        f"{counted(len(inputs.seeds), 'seed')}, phase {len(inputs.phases)}; {counted(rules.embargo, 'session')} left "
        "out of training on each side of a judged group."
    )


def _line(result: "SplitResult") -> str:
    judged = ", ".join(str(group.number + 1) for group in result.split.test)
    r = [sum(float(each.trades.r.sum()) for each in groups) for groups in result.by_seed.values()]
    trades = sum(len(each.trades.r) for groups in result.by_seed.values() for each in groups)
    return (
        f"split {result.split.number}, group{'' if len(result.split.test) == 1 else 's'} {judged} judged: "
        f"{counted(trades, 'trade')}, R in all by seed {', '.join(f'{each:+.1f}' for each in r)}"
    )


def _lines(record: dict[str, Any]) -> list[str]:
    lines = [f"{'path':>4}  {'R a session':>12}  {'Sharpe a session':>17}  by seed"]
    for number, path in enumerate(record["paths"], 1):
        ratio = "-" if path["sharpe_a_session"] is None else f"{path['sharpe_a_session']:+.3f}"
        each = ", ".join(f"{r:+.3f}" for r in path["by_seed"])
        lines.append(f"{number:>4}  {path['r_a_session']:>+12.3f}  {ratio:>17}  {each}")
    r = record["r_a_session"]
    lines.append(
        f"R a session over {counted(len(record['paths']), 'path')}: {r['worst']:+.3f} to {r['best']:+.3f}, median "
        f"{r['median']:+.3f}; {100 * record['paths_below_zero']:.0f} % of them below zero"
    )
    chosen = record["overfitting"]
    if chosen is not None:
        lines.append(
            f"choosing the best seed by half of a path: below the middle in the other half with a probability of "
            f"{chosen['probability']:.2f} (PBO, mean over paths)"
        )
    mean = record["mean_r"]
    if mean is not None and mean["low"] is not None:
        lines.append(
            f"R a trade, all splits and seeds, sessions resampled: {mean['mean']:+.3f} ({mean['low']:+.3f} to "
            f"{mean['high']:+.3f})"
        )
    return [*lines, f"{record['verdict']}: {'; '.join(record['because'])}"]
