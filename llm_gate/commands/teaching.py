"""The command `llm-gate tune`: teach a gate on what recorded proposals earned."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llm_gate.errors import RequestError
from trigate.whole_files import write_whole

if TYPE_CHECKING:
    from llm_gate.engines.logistic import LogisticModel
    from llm_gate.teaching.lessons import Lessons
    from llm_gate.teaching.taught_folder import TaughtCard

TAUGHT_PROMPT = "entry_taught.v1"
METHODS = ("logistic", "head", "lora")
FOUND_NOTHING = "does not tell entries apart in sessions that it did not see: it approves everything"


def tune(
    cases: Annotated[list[Path], typer.Argument(help="Files of cases, as orchestrator cases writes them.")],
    out: Annotated[Path, typer.Option(help="Where the result goes: a JSON file, or a model folder.")],
    method: Annotated[
        str,
        typer.Option(
            help="logistic: a regression on the facts as numbers. head: the output layer of a model. "
            "lora: its upper layers too."
        ),
    ] = "logistic",
    model: Annotated[str, typer.Option(help="head, lora: 'package', 'tiny' or a model folder.")] = "package",
    prompt: Annotated[
        str, typer.Option(help="head, lora: what the model is shown, and will be shown.")
    ] = TAUGHT_PROMPT,
    seed: Annotated[int, typer.Option(min=0, help="lora: of the adapters and of the order of cases.")] = 0,
    max_veto_rate: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="logistic: veto at most this share, and shrink the rest.")
    ] = 1.0,
    accept_in_sample: Annotated[
        bool,
        typer.Option("--accept-cases-the-policy-was-trained-on", help="Their entries look better than they are."),
    ] = False,
) -> None:
    """Teach a gate on the cases to tune, and save it; cases that are held out are left to judge it by.

    Stopped and given again, it goes on with the hidden states that it kept.
    """
    from llm_gate.evals.data.cases import read_cases
    from llm_gate.teaching.lessons import lessons_of

    if method not in METHODS:
        raise RequestError(f"no method {method!r}; there are: {', '.join(METHODS)}")
    if method != "logistic" and max_veto_rate < 1:
        raise RequestError("--max-veto-rate is for --method logistic; bound a model's vetoes with llm-gate calibrate")
    lessons = lessons_of([case for path in cases for case in read_cases(path)], accept_in_sample=accept_in_sample)
    if method == "logistic":
        _tune_logistic(lessons, out, max_veto_rate)
    elif method == "head":
        _tune_head(lessons, out, model, prompt)
    else:
        _tune_lora(lessons, out, model, prompt, seed)
    typer.echo(str(out))


def _tune_logistic(lessons: "Lessons", out: Path, max_veto_rate: float) -> None:
    from llm_gate.teaching.fit_logistic import fit_logistic

    fitted = fit_logistic(lessons, max_veto_rate=max_veto_rate)
    write_whole(out, fitted.model_dump_json(indent=1) + "\n")
    typer.echo(f"{fitted.cases} cases of {fitted.sessions} sessions, penalty {fitted.penalty:g} of the folds")
    for number, fold in enumerate(fitted.folds, start=1):
        typer.echo(f"fold {number}: {fold.cases} cases of {fold.sessions} sessions, log loss {fold.loss:.4f}")
    typer.echo(threshold_line(fitted))


def threshold_line(fitted: "LogisticModel") -> str:
    """From which chance of a win on a regression approves and shrinks, or that it found nothing."""
    if fitted.threshold == 0.0:
        return "predicts sessions that it did not see no better than the share of wins does: it approves everything"
    shrinks = "" if fitted.veto_below is None else f", shrinks from {fitted.veto_below:.3f}"
    return f"approves from a chance of a win of {fitted.threshold:.3f} on{shrinks}"


def _tune_head(lessons: "Lessons", out: Path, model: str, prompt: str) -> None:
    from llm_gate.prompts.prompt_files import find_prompt
    from llm_gate.serving.model_folders import model_folder
    from llm_gate.teaching.hidden_states import Reader
    from llm_gate.teaching.taught_folder import refuse_taken
    from llm_gate.teaching.tune_head import states_path, tune_head

    refuse_taken(out)
    found = find_prompt(prompt)
    reader = Reader(model_folder(model, progress=_say))
    with steps() as step:
        card = tune_head(lessons, found, reader, out, step=step)
    _tell_lesson(card, "steps", states_path(out))


def _tune_lora(lessons: "Lessons", out: Path, model: str, prompt: str, seed: int) -> None:
    from llm_gate.prompts.prompt_files import find_prompt
    from llm_gate.serving.model_folders import model_folder
    from llm_gate.teaching.hidden_states import Reader
    from llm_gate.teaching.taught_folder import refuse_taken
    from llm_gate.teaching.tune_lora import Progress, lower_states_path, tune_lora
    from llm_gate.teaching.upper_layers import UpperLayers

    refuse_taken(out)
    found = find_prompt(prompt)
    upper = UpperLayers(Reader(model_folder(model, progress=_say)), found, seed)
    with steps() as step:
        progress = Progress(step, lambda what, number, most: _say(f"{what}: pass {number} of at most {most}"))
        card = tune_lora(lessons, found, upper, out, progress=progress)
    _tell_lesson(card, "passes", lower_states_path(out))


def _tell_lesson(card: "TaughtCard", unit: str, kept: Path) -> None:
    """What was taught, with losses; ``unit`` is what ``card.steps`` counts."""
    from llm_gate.teaching.told_apart import LEAST_Z

    typer.echo(f"{card.cases} cases of {card.sessions} sessions, prompt {card.prompt}, model {card.source}")
    typer.echo(
        f"loss on the last fold {card.loss_before:.4f} before, {card.loss_taught:.4f} taught in {card.steps} {unit}, "
        f"{card.loss_same:.4f} by one answer for all; {card.loss_fitted:.4f} on the folds that were fitted"
    )
    if card.apart is not None and card.luck is not None:
        typer.echo(
            f"tells left-out cases apart by {card.apart:.1f} standard errors; found beyond {LEAST_Z:g}; of outcomes "
            f"dealt anew {card.luck:.1%} are told as well"
        )
    if not card.found:
        typer.echo(FOUND_NOTHING)
    typer.echo(f"states {card.seconds_states:.1f} s, kept in {kept}; fit {card.seconds_fit:.1f} s")


def _say(text: str) -> None:
    typer.echo(text, err=True)


@contextmanager
def steps() -> Iterator[Callable[[int, int], None]]:
    """A progress bar on a terminal, a line every tenth of the way elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    if not sys.stderr.isatty():
        yield lambda done, total: _say(f"{done:,} of {total:,} cases") if done % max(1, total // 10) == 0 else None
        return
    columns = (TextColumn("hidden states"), BarColumn(), TextColumn("{task.completed:,.0f} of {task.total:,.0f}"))
    console = Console(stderr=True, highlight=False, markup=False)
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console) as progress:
        task = progress.add_task("cases", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
