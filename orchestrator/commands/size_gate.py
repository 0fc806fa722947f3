"""The command `orchestrator size-gate`: fit a taught regression's size near the account's floor."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trigate.whole_files import write_whole

if TYPE_CHECKING:
    from orchestrator.report.sized_gate import SizedGate


def size_gate(
    run: Annotated[Path, typer.Argument(help="The run whose entries taught the regression.")],
    gate: Annotated[Path, typer.Option(help="What llm-gate tune --method logistic saved.")],
    out: Annotated[Path, typer.Option(help="Where the regression with its size goes.")],
    trials: Annotated[Path, typer.Option(help="The record of what was tried.")] = Path("runs/gate_trials.jsonl"),
    bars: Annotated[Path | None, typer.Option(help="Where the bars of the run lie today.")] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="Where the checkpoint of the run lies today.")] = None,
) -> None:
    """Fit from which room to the floor on entries are halved, by how many attempts pass the account's rules."""
    from llm_gate.engines.logistic import NearFloor, read_logistic
    from llm_gate.evals.data.trials import Trial, count_trials
    from orchestrator.report.sized_gate import fit_size
    from orchestrator.run.found_again import Sources

    file = read_logistic(gate)
    sized = fit_size(run, file.saved, Sources(bars, checkpoint))
    fit = sized.fit
    tried = [Trial("threshold", "", file.name, "logistic", f"halved under {line} of {run.name}") for line in fit.tried]
    count = count_trials(trials, tried)
    near = None
    if fit.halve_under:
        near = NearFloor(
            halve_under=fit.halve_under,
            passes=fit.passes[fit.halve_under],
            passes_without=fit.passes[0],
            tried=fit.tried,
            trials=count,
        )
    write_whole(out, file.saved.model_copy(update={"near_floor": near}).model_dump_json(indent=1) + "\n")
    typer.echo("\n".join(lines_of(sized)))
    typer.echo(f"{len(fit.tried)} lines tried here, {count} trials on record")
    typer.echo(str(out))


def lines_of(sized: "SizedGate") -> list[str]:
    """The fit as lines for the terminal, and what became of later sessions."""
    fit = sized.fit
    lines = [f"{fit.r:+.3f} R a trade at full size; share of attempts that pass:"]
    lines += [f"  {_line(line)}: {100 * share:.1f} %" for line, share in fit.passes.items()]
    gains = ", ".join(f"{100 * gain:+.1f}" for gain in fit.gains)
    lines.append(f"gain on each fold by what the others chose, percentage points: {gains}")
    chosen = "left-out folds do not say that a smaller size helps: full size everywhere"
    lines.append(_line(fit.halve_under) if fit.halve_under else chosen)
    if fit.halve_under and sized.later:
        full, halved = sized.later[0], sized.later[fit.halve_under]
        lines.append(
            f"on {sized.later_sessions} later sessions, which chose nothing: {100 * halved:.1f} % of attempts pass, "
            f"{100 * full:.1f} % at full size"
        )
    return lines


def _line(halve_under: int) -> str:
    return f"halved under {halve_under / 1000:g} risks of room" if halve_under else "full size everywhere"
