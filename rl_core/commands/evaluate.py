"""The command `rl-core evaluate`: a policy, or known entries, judged on bars."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from rl_core.commands.beside import Beside
from rl_core.commands.checklist import answered, check_asked
from rl_core.commands.options import Market, Seconds, Stamped, Timezone
from rl_core.commands.progress import READING, say, warn
from trigate.command_line import (
    AsJson,
    ConfigFile,
    Settings,
    Strict,
    exit_unless_passed,
    print_lines,
    print_result,
    waiting,
)
from trigate.errors import ConfigError

if TYPE_CHECKING:
    from rl_core.evaluation.checklist import Line
    from rl_core.evaluation.evaluate import Evaluation
    from rl_core.evaluation.inputs import EvaluationInputs
    from rl_core.evaluation.judgement import Circumstances
    from rl_core.evaluation.outcomes import Outcomes
    from rl_core.evaluation.pack_odds import NamedPack
    from rl_core.statistics.management_verdict import ManagementVerdict
    from rl_core.training.source_file import FileTimes
    from rl_core.training.sources import EvaluationJob

Part = Annotated[str, typer.Option(help="held_out or all.")]
OWN, PACKS = "Entries of your own", "Under rules of a firm"
"""Boxes of the help."""


class Given(NamedTuple):
    """Which bars are asked for, and how their files are to be read."""

    bars: Path | None
    seconds: Path | None
    market: str | None
    part: str
    times: "FileTimes"


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("evaluate")(evaluate)


def evaluate(
    run: Annotated[Path | None, typer.Argument(help="A run or a checkpoint folder; none with --entries.")] = None,
    bars: Annotated[Path | None, typer.Option(help="Minute bars; default: those it was trained on.")] = None,
    entries: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|RULE",
            help="Judge your own entries instead of a policy: a csv or parquet with time and side, perhaps stop and "
            "target (docs/verdict.md); or a written rule: flat, long or breakout.",
            rich_help_panel=OWN,
        ),
    ] = None,
    seen_until: Annotated[
        str | None,
        typer.Option(
            metavar="DATE",
            help="--entries: the last day of bars that you had seen when you made them.",
            rich_help_panel=OWN,
        ),
    ] = None,
    part: Part = "held_out",
    account: Annotated[
        str,
        typer.Option(
            help="fresh: a new account every session; carried: one after another, with days, tiers and attempts, "
            "as `orchestrator run --gate off` plays them.",
            rich_help_panel=PACKS,
        ),
    ] = "fresh",
    rules: Annotated[
        str | None,
        typer.Option(
            metavar="all|PACK,...",
            help="Also say under which rule packs an attempt would pass, and how it would end.",
            rich_help_panel=PACKS,
        ),
    ] = None,
    draws: Annotated[int, typer.Option(min=1, help="--rules: attempts of each pack.", rich_help_panel=PACKS)] = 10_000,
    checklist: Annotated[
        bool,
        typer.Option(
            "--checklist",
            help="Also ask, line by line, what a policy should show before it is trusted, under the pack of --rules.",
            rich_help_panel=PACKS,
        ),
    ] = False,
    phase1: Annotated[
        Path | None,
        typer.Option(help="--checklist: the run of phase 1 whose drawdown is compared with.", rich_help_panel=PACKS),
    ] = None,
    sessions: Annotated[int | None, typer.Option(min=1, help="Play at most so many sessions.")] = None,
    trades: Annotated[Path | None, typer.Option(help="Write the trades to this .parquet or .csv file.")] = None,
    seconds: Seconds = None,
    market: Market = None,
    timezone: Timezone = None,
    stamp: Stamped = None,
    config: ConfigFile = None,
    settings: Settings = None,
    strict: Strict = False,
    as_json: AsJson = False,
) -> None:
    """Play every held-out session and print what was earned, with an interval."""
    from rl_core.evaluation.accounts import account_kind, by_resolution, play_account
    from rl_core.evaluation.certainty import certainty
    from rl_core.evaluation.outcomes import outcomes_of
    from rl_core.evaluation.pack_odds import chosen_packs
    from rl_core.evaluation.played import played_on
    from rl_core.evaluation.trades import check_ending, write_trades
    from rl_core.training.compile_cache import use_compile_cache
    from rl_core.training.source_file import FileTimes

    use_compile_cache()
    kind, times = account_kind(account), FileTimes(timezone, stamp)
    packs = [] if rules is None else chosen_packs(rules)
    check_asked(packs, checklist=checklist, phase1=phase1)
    if trades is not None:
        check_ending(trades)
    given = Given(bars, seconds, market, part, times)
    with waiting(READING, quiet=as_json):
        if entries is None:
            job = _of_run(run, given, config, settings, seen_until)
        else:
            job = _of_entries(entries, run, given, (config, settings), seen_until)
    warn(job.notes)
    with waiting("playing the sessions", quiet=as_json) as told:
        inputs = job.inputs(sessions)
        evaluation = play_account(kind, inputs)
        if trades is not None:
            write_trades(trades, evaluation.trades, job.view.bars)
        readings = {} if job.ladder is None else by_resolution(kind, inputs)
        told("playing what needs no training, and chance" + (", under each rule pack" if packs else ""))
        outcomes = outcomes_of(inputs)
        asked = answered(job, inputs, kind, packs, phase1) if checklist else ([], "")
        beside = _beside(job, inputs, evaluation, outcomes, (packs, draws), asked)
    looks = job.count_look(inputs.span)
    certain = certainty(evaluation, job.trading.venue.terms)
    played = played_on(job.view, job.trading, inputs.span)
    result: dict[str, Any] = {"played": played.row() if as_json else played.in_words}
    result |= {**evaluation.summary(), **certain, **readings, **_judged(job, evaluation, looks)}
    management = _management(job, evaluation, outcomes)
    result |= {} if management is None else {"management": management.row() if as_json else management.in_words}
    result |= {} if run is None else _findings(evaluation, run, in_sample=job.in_sample, as_json=as_json)
    print_result(result | beside.rows() if as_json else result, as_json=as_json)
    for table in [] if as_json else beside.tables():
        print_lines(["", *table])
    if entries is None and not len(evaluation.trades.r):
        say(f"the policy entered nowhere; why, and what to change, says: rl-core diagnose {run}", quiet=as_json)
    exit_unless_passed(result["verdict"], strict=strict)


def _beside(
    job: "EvaluationJob",
    inputs: "EvaluationInputs",
    evaluation: "Evaluation",
    outcomes: "Outcomes",
    under: tuple[list["NamedPack"], int],
    asked: tuple[list["Line"], str],
) -> Beside:
    """What the evaluation is shown beside; ``under`` are packs and draws of each."""
    from rl_core.evaluation.account_value import with_values
    from rl_core.evaluation.accounts import played_tapes
    from rl_core.evaluation.by_regime import by_regime
    from rl_core.evaluation.nulls import random_entries, shuffled_days, written_rules
    from rl_core.evaluation.pack_odds import odds_of, once_a_flat_time
    from rl_core.rules.prices import read_prices

    (packs, draws), tapes = under, once_a_flat_time(played_tapes(inputs))
    odds = odds_of(inputs.trading, packs, tapes, draws=draws)
    lines, pack = asked
    return Beside(
        evaluation=evaluation,
        random=random_entries(evaluation.trades, inputs, outcomes),
        shuffled=shuffled_days(evaluation.trades, inputs, outcomes),
        written=written_rules(inputs, outcomes),
        odds=with_values(odds, read_prices(), inputs.trading, tapes, draws=draws),
        draws=draws,
        checklist=lines,
        checklist_pack=pack,
        groups=by_regime(evaluation.trades, job.view, job.regimes),
        regimes=job.regimes,
    )


def _of_run(
    run: Path | None, given: Given, config: Path | None, settings: list[str] | None, seen_until: str | None
) -> "EvaluationJob":
    """What a checkpoint is judged on; it brings its own settings.

    Raises:
        ConfigError: there is no run, or an option belongs to entries.
    """
    from rl_core.training.sources import prepare_evaluation

    if run is None:
        raise ConfigError("what is judged? give a run or a checkpoint folder, or your own entries with --entries FILE")
    if config is not None or settings or seen_until is not None:
        raise ConfigError("--config, --set and --seen-until belong to --entries: a checkpoint brings its own settings")
    bars, seconds, market, part, times = given
    return prepare_evaluation(run, bars=bars, part=part, market=market, times=times, seconds=seconds)


def _of_entries(
    entries: str,
    run: Path | None,
    given: Given,
    setting: tuple[Path | None, list[str] | None],
    seen_until: str | None,
) -> "EvaluationJob":
    """What known entries are judged on.

    Raises:
        ConfigError: a run is named as well, or as `prepare_entries`.
    """
    from rl_core.evaluation.seen_until import day_of
    from rl_core.training.entries_job import EntriesFiles, prepare_entries
    from rl_core.training.settings import read_train_config

    if run is not None:
        raise ConfigError("give either a run or --entries; two judgements are two commands")
    config, settings = setting
    trading = read_train_config(None, config, settings or ()).config.trading
    bars, seconds, market, part, times = given
    files = EntriesFiles(entries, bars, seconds)
    seen = day_of(seen_until)
    return prepare_entries(files, trading, part=part, market=market, times=times, seen_until=seen)


def _findings(evaluation: "Evaluation", run: Path, *, in_sample: bool, as_json: bool) -> dict[str, Any]:
    """What ails a policy as it was played; a person is shown nothing where nothing does."""
    from rl_core.proofs.diagnose import rows_beside
    from rl_core.proofs.played import ailments_of_play

    ailing = ailments_of_play({**evaluation.summary(), "in_sample": in_sample}, rows_beside(run))
    if as_json:
        return {"findings": [each._asdict() for each in ailing]}
    return {"findings": [each.in_words for each in ailing]} if ailing else {}


def _management(job: "EvaluationJob", evaluation: "Evaluation", outcomes: "Outcomes") -> "ManagementVerdict | None":
    """The verdict on management over fixed brackets; None where nothing was managed."""
    from rl_core.evaluation.management import judge_management
    from rl_core.statistics.criteria import read_criteria

    if job.who.phase == 1:
        return None
    return judge_management(evaluation.trades, outcomes, _circumstances(job), read_criteria().management)


def _circumstances(job: "EvaluationJob") -> "Circumstances":
    from rl_core.evaluation.judgement import Circumstances

    return Circumstances(
        in_sample=job.in_sample,
        synthetic=job.world is not None,
        trained_on_world=job.trained_on_world,
        training_ended=job.training_ended,
        doubts=job.doubts,
    )


def _judged(job: "EvaluationJob", evaluation: "Evaluation", looks: int) -> dict[str, Any]:
    """The verdict, what it rests on, and why."""
    from rl_core.evaluation.judgement import judge
    from rl_core.statistics.criteria import read_criteria
    from rl_core.statistics.sizes import signs_differ

    circumstances = _circumstances(job)
    verdict, tries = judge(evaluation, looks, circumstances, read_criteria().policy)
    note = signs_differ(evaluation.summary()["mean_r"], evaluation.trades.pnl_cents.sum())
    return {
        "in_sample": job.in_sample,
        "synthetic": circumstances.synthetic,
        "trained_on_world": circumstances.trained_on_world,
        "tries": tries.made,
        "sharpe_above_luck": tries.deflated,
        "verdict": verdict.word,
        "because": "; ".join(verdict.reasons),
        **({} if note is None else {"note": note}),
    }
