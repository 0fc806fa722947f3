"""`orchestrator world-cases`: the signals of a gated world as cases to teach and judge a gate with."""

from pathlib import Path
from typing import Annotated

import typer

from rl_core.worlds.gated import STRONGER_DRIFT_ATR


def world_cases(
    out: Annotated[Path, typer.Option(help="The file of cases; what there is to find lies beside it.")],
    kind: Annotated[str, typer.Option(help="gated, or gated_twin in which there is nothing to find.")] = "gated",
    form: Annotated[str, typer.Option(help="one_fact or two_facts.")] = "one_fact",
    drift: Annotated[float, typer.Option(help="After a signal that pays, in ATR.")] = STRONGER_DRIFT_ATR,
    sessions: Annotated[int, typer.Option(min=2, help="Some three signals each.")] = 320,
    seed: Annotated[int, typer.Option(min=0)] = 7,
    tune_share: Annotated[float, typer.Option(min=0.0, max=1.0, help="Of the sessions, from the first on.")] = 0.5,
) -> None:
    """Write every signal of a gated world with what it earned: what the best policy would propose, without one."""
    from llm_gate.evals.data.cases import write_cases
    from llm_gate.evals.data.planted_cases import planted_path, write_planted
    from orchestrator.report import world_cases as recorded

    found = recorded.world_cases(kind, seed, sessions, drift_atr=drift, form=form, tune_share=tune_share)
    write_cases(found.cases, out)
    write_planted(found.world, out)
    tune = sum(case.split == "tune" for case in found.cases)
    typer.echo(found.world.declaration)
    typer.echo(f"{len(found.cases)} cases of {sessions} sessions: {tune} to tune, {len(found.cases) - tune} held out")
    typer.echo(f"best gate: {found.world.uplift_r:+.3f} R a proposal over random vetoes as often; {planted_path(out)}")
    typer.echo(str(out))
