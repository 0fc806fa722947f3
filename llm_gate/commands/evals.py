"""The commands eval, compare and calibrate: what a gate is worth, which of two is better, what its numbers mean."""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llm_gate.errors import RequestError, or_without_a_model
from trigate.errors import ExitCode
from trigate.toml_config import Given
from trigate.whole_files import write_whole

if TYPE_CHECKING:
    from llm_gate.evals.asking.suite import Suite
    from llm_gate.evals.data.log import Row
    from llm_gate.evals.report.findings import Findings
    from llm_gate.evals.scoring.compare import Comparison
    from llm_gate.evals.scoring.intervals import Figure
    from llm_gate.evals.scoring.scores import Score
    from llm_gate.review.calibrated_verdict import FoldResult

DEFAULT_SUITE = Path("configs/gate_eval.toml")
SplitOf = Annotated[str | None, typer.Option(help="Only rows of tune or of held_out; none: both.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def evaluate(
    suite: Annotated[Path | None, typer.Argument(help="A suite in TOML; none: configs/gate_eval.toml.")] = None,
    engine: Annotated[str | None, typer.Option(help="Only this engine, e.g. rules: needs no model.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of log and report; none: runs/eval-NAME.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Replace a value.")] = None,
    prompts: Annotated[Path | None, typer.Option(help="Folder of your own prompts; then prompts/ here.")] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Ask again where there was no verdict.")] = False,
    export: Annotated[str | None, typer.Option(help="inspect: also write logs that inspect-ai reads.")] = None,
    as_json: AsJson = False,
) -> None:
    """Ask every model, prompt and mode of a suite; score them with intervals. Run again, it asks what is missing.

    Exit code 100 if an assertion of the suite fails, 5 if a model answered none of its questions.
    """
    from llm_gate.evals.asking.run import run_suite
    from llm_gate.evals.report.findings import findings_of, summary_of
    from llm_gate.evals.report.inspect_log import write_inspect_logs
    from llm_gate.evals.report.page import write_report

    if export not in (None, "inspect"):
        raise RequestError(f"--export {export}: there is only inspect")
    given = [] if prompts is None else [Given("prompts_folder", str(prompts), f"--prompts {prompts}")]
    chosen = _suite(suite, [*(settings or ()), *given], engine)
    folder = out or Path("runs") / f"eval-{chosen.name}"
    with asking_steps() as step, or_without_a_model("--engine rules"):
        findings = findings_of(run_suite(chosen, folder, say=_say, step=step, retry=retry))
    write_report(findings, folder)
    if export is not None:
        write_inspect_logs(findings, folder / "inspect")
    if as_json:
        typer.echo(json.dumps({**summary_of(findings), "run": str(folder), "report": str(folder / "report.html")}))
    else:
        print_findings(findings, folder)
    unheard = _unheard(findings.suite_run.rows)
    for model, questions in unheard.items():
        typer.echo(f"llm-gate: {model}: none of {questions} questions got an answer; nothing is known of it", err=True)
    failed = [check for check in findings.checks if not check.holds]
    for check in failed:
        typer.echo(f"llm-gate: assertion failed: {check.text}", err=True)
    if failed:
        sys.exit(ExitCode.ASSERTIONS_FAILED)
    if unheard:
        sys.exit(ExitCode.NOT_READY)


def _unheard(rows: Sequence["Row"]) -> dict[str, int]:
    """The models without a single answer, and how many questions each was asked."""
    asked = Counter(row.model for row in rows)
    answered = {row.model for row in rows if row.answer is not None}
    return {model: count for model, count in asked.items() if model not in answered}


def _suite(path: Path | None, settings: "list[str | Given]", engine: str | None) -> "Suite":
    from llm_gate.evals.asking.suite import read_suite

    whole = read_suite(path or DEFAULT_SUITE, settings)
    return whole if engine is None else whole.with_engine(engine)


def print_findings(findings: "Findings", folder: Path) -> None:
    """What an evaluation came to, a line each, and where its page is."""
    suite_run = findings.suite_run
    causes = Counter(row.error or "no answer" for row in suite_run.rows if row.answer is None)
    typer.echo(
        f"{len(suite_run.cases)} cases, {len(suite_run.rows):,} answers "
        f"({suite_run.newly_asked:,} asked now, {causes.total()} without a verdict)"
    )
    for cause, count in causes.most_common():
        typer.echo(f"{count} without a verdict: {cause}")
    for model, (word, reason) in findings.headlines.items():
        typer.echo(f"{word}: {model}: {reason}")
    for score in findings.money_scores:
        typer.echo(_earned(score))
    for status in findings.promotions:
        typer.echo(f"{status.answerer.name}: {status.promotion.line}")
    for naming in findings.day_namings:
        typer.echo(
            f"{naming.word}: {naming.model}: {naming.score.attribute} of {naming.score.asked} sessions: right "
            f"{_figure(naming.right)}, chance {naming.chance:.3f}, p = {naming.score.p_value:.2g}"
        )
    for check in findings.checks:
        typer.echo(f"{'holds' if check.holds else 'FAILED'}: {check.text}")
    typer.echo(f"report {folder / 'report.html'}")
    typer.echo(str(folder))


def _earned(score: "Score") -> str:
    figures = score.figures
    others = ", ".join(f"{name} {_figure(figures[f'r_{name}'])}" for name in ("always", "random", "rule"))
    uplift = _figure(figures["uplift_random"])
    gate = _figure(figures["r_gate"])
    return f"{score.answerer.name}, {score.split}: {gate} R a proposal; {others}; over random {uplift}"


def _say(text: str) -> None:
    typer.echo(text, err=True)


@contextmanager
def asking_steps() -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar on a terminal, a line every tenth of the way elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    console = Console(stderr=True, highlight=False, markup=False)
    if not console.is_terminal:

        def line(model: str, done: int, total: int) -> None:
            if done == total or done % max(1, total // 10) == 0:
                _say(f"{model}: {done:,} of {total:,} answers")

        yield line
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:,.0f} of {task.total:,.0f}"))
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console) as progress:
        tasks: dict[str, TaskID] = {}

        def bar(model: str, done: int, total: int) -> None:
            if model not in tasks:
                tasks[model] = progress.add_task(model, total=total)
            progress.update(tasks[model], completed=done)

        yield bar


def compare(
    a: Annotated[str, typer.Argument(help="A log or its folder; LOG#model/prompt/mode chooses one answerer.")],
    b: Annotated[str, typer.Argument(help="The other; may be the same log with another #NAME.")],
    split: SplitOf = None,
    as_json: AsJson = False,
) -> None:
    """Two answerers on the questions that both were asked: paired intervals, A minus B."""
    from llm_gate.evals.scoring.compare import as_json_of, compare_logs, split_of

    if a == b:
        raise RequestError(f"{a} is named twice, and nothing differs from itself; name another log or another #NAME")
    comparisons = compare_logs(a, b, split=split_of(split))
    if as_json:
        typer.echo(json.dumps([as_json_of(comparison) for comparison in comparisons]))
        return
    for comparison in comparisons:
        typer.echo(f"A {comparison.a}\nB {comparison.b}")
        typer.echo(
            f"questions   {comparison.common} in common, {comparison.only_a} only in A, {comparison.only_b} only in B"
        )
        typer.echo(f"same answer {_figure(comparison.agreement)}")
        _print_accuracies(comparison)
        if comparison.r_difference.rows:
            typer.echo(f"R a proposal, A - B  {_figure(comparison.r_difference)}")


def _print_accuracies(comparison: "Comparison") -> None:
    """Nothing where no case has a label."""
    if not comparison.accuracy_a.rows:
        return
    p = "-" if comparison.p_value is None else f"{comparison.p_value:.2g}"
    typer.echo(f"accuracy    A {_figure(comparison.accuracy_a)}, B {_figure(comparison.accuracy_b)}")
    right_only = f"right only A {comparison.right_only_a}, B {comparison.right_only_b}"
    typer.echo(f"  A - B     {_figure(comparison.accuracy_difference)}; {right_only}")
    typer.echo(f"  McNemar   p = {p}")


def calibrate(
    logs: Annotated[list[str], typer.Argument(help="Logs or their folders; LOG#model/prompt/mode chooses.")],
    method: Annotated[str, typer.Option(help="isotonic or temperature")] = "isotonic",
    max_veto_rate: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Veto at most this share, and shrink the rest.")
    ] = 0.5,
    split: SplitOf = None,
    folds: Annotated[int, typer.Option(min=2, max=50, help="Parts of the sessions, in order of time.")] = 5,
    trials: Annotated[Path, typer.Option(help="The record of what was tried.")] = Path("runs/gate_trials.jsonl"),
    out: Annotated[Path, typer.Option(help="Where the calibration goes.")] = Path("gate_calibration.json"),
) -> None:
    """Fit what P(approve) means and where to draw the line, on the past; every threshold tried is counted."""
    from llm_gate.evals.data.trials import Trial, count_trials
    from llm_gate.evals.scoring.compare import answerers_of, split_of
    from llm_gate.evals.scoring.fit_calibration import calibrate_rows, method_of

    answerer_rows = [
        side for log in logs for side in answerers_of(log, split=split_of(split)) if side.answerer.task == "entry"
    ]
    answerers = sorted({side.answerer.name for side in answerer_rows})
    if len(answerers) != 1:
        raise RequestError(f"a calibration is of one answerer; choose one with LOG#NAME from {', '.join(answerers)}")
    rows = [row for side in answerer_rows for row in side.rows]
    if {row.split for row in rows if row.source == "recorded"} == {"tune", "held_out"}:
        _say("fitted on held-out sessions too, so these can no longer judge it; --split tune leaves them out")
    fitted = calibrate_rows(rows, method=method_of(method), max_veto_rate=max_veto_rate, folds=folds)
    tried = [
        Trial("threshold", fitted.prompt_digest, fitted.model_digest, fitted.mode, f"{value!r} on {fitted.data_digest}")
        for value in fitted.thresholds_tried
    ]
    count = count_trials(trials, tried)
    write_whole(out, fitted.model_copy(update={"trials": count}).model_dump_json(indent=1) + "\n")
    for fold in fitted.folds:
        typer.echo(_fold(fold))
    typer.echo(f"{len(fitted.thresholds_tried)} thresholds tried here, {count} trials on record")
    if fitted.threshold == 0.0:
        typer.echo("approving all earned most, so a gate refuses this calibration: it could not veto")
    typer.echo(str(out))


def _fold(fold: "FoldResult") -> str:
    text = f"fold {fold.fold}: {fold.rows} rows, Brier {fold.brier_said:.4f} as said, {fold.brier_mapped:.4f} mapped"
    if fold.threshold is None:
        return text
    shrunk = f", shrink rate {fold.shrink_rate:.2f}" if fold.shrink_rate else ""
    earned = f"{fold.r_gate:+.3f} R a proposal, {fold.r_always:+.3f} without, veto rate {fold.veto_rate:.2f}{shrunk}"
    return f"{text}; approving from {fold.threshold:.3f}: {earned}"


def _figure(figure: "Figure") -> str:
    if figure.value is None:
        return "-"
    return f"{figure.value:.3f}" + ("" if figure.low is None else f" ({figure.low:.3f} to {figure.high:.3f})")
