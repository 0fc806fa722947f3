"""The command `llm-gate tune`: teach a gate on what recorded proposals earned."""

from pathlib import Path
from typing import Annotated

import typer

from llm_gate.errors import RequestError
from trigate.whole_files import write_whole

METHODS = ("logistic",)


def tune(
    cases: Annotated[list[Path], typer.Argument(help="Files of cases, as orchestrator cases writes them.")],
    out: Annotated[Path, typer.Option(help="Where the result goes: a JSON file.")],
    method: Annotated[str, typer.Option(help="logistic: a regression on the facts as numbers.")] = "logistic",
    accept_in_sample: Annotated[
        bool,
        typer.Option("--accept-cases-the-policy-was-trained-on", help="Their entries look better than they are."),
    ] = False,
) -> None:
    """Teach a gate on the cases to tune, and save it; cases that are held out are left to judge it by."""
    from llm_gate.evals.data.cases import read_cases
    from llm_gate.teaching.fit_logistic import fit_logistic
    from llm_gate.teaching.lessons import lessons_of

    if method not in METHODS:
        raise RequestError(f"no method {method!r}; there are: {', '.join(METHODS)}")
    lessons = lessons_of([case for path in cases for case in read_cases(path)], accept_in_sample=accept_in_sample)
    fitted = fit_logistic(lessons)
    write_whole(out, fitted.model_dump_json(indent=1) + "\n")
    typer.echo(f"{fitted.cases} cases of {fitted.sessions} sessions, penalty {fitted.penalty:g} of the folds")
    for number, fold in enumerate(fitted.folds, start=1):
        typer.echo(f"fold {number}: {fold.cases} cases of {fold.sessions} sessions, log loss {fold.loss:.4f}")
    typer.echo(f"approves from a chance of a win of {fitted.threshold:.3f} on")
    typer.echo(str(out))
