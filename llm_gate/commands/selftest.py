"""The command `llm-gate selftest`: does a taught gate find what there is, and nothing where there is nothing?"""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llm_gate.commands.teaching import TAUGHT_PROMPT, steps
from trigate.errors import ExitCode

if TYPE_CHECKING:
    from llm_gate.teaching.selftest import Check, KindResult

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def selftest(
    cases: Annotated[list[Path], typer.Argument(help="Files that orchestrator world-cases wrote, twins among them.")],
    quick: Annotated[bool, typer.Option("--quick", help="The tiny model, and lower targets.")] = False,
    model: Annotated[
        str | None, typer.Option(help="'package', 'tiny' or a folder; none: package, quick: tiny.")
    ] = None,
    prompt: Annotated[str, typer.Option(help="What the model is shown.")] = TAUGHT_PROMPT,
    prompts: Annotated[Path | None, typer.Option(help="Folder of your own prompts; then prompts/ here.")] = None,
    keep: Annotated[Path, typer.Option(help="Folder that keeps hidden states.")] = Path("runs/gate-selftest"),
    as_json: AsJson = False,
) -> None:
    """Teach each gate on worlds whose best is computed, and judge it on later sessions; exit 100 if a check fails."""
    from llm_gate.evals.data.cases import read_cases
    from llm_gate.evals.data.planted_cases import read_planted
    from llm_gate.prompts.prompt_files import find_prompt
    from llm_gate.serving.model_folders import model_folder
    from llm_gate.teaching.hidden_states import Reader
    from llm_gate.teaching.selftest import Model, PlantedWorld, checks_of
    from llm_gate.teaching.selftest import selftest as tested
    from llm_gate.teaching.states_file import StatesFile

    worlds = [PlantedWorld(read_planted(path), read_cases(path)) for path in cases]
    found = find_prompt(prompt, prompts)
    reader = Reader(model_folder(model or ("tiny" if quick else "package"), progress=_say))
    kept = StatesFile(keep / f"{reader.model_id}.states", reader.width)
    with kept, steps() as step:
        results = tested(worlds, Model(reader, found, kept, step), _say, quick=quick)
    checks = checks_of(results, quick=quick)
    if as_json:
        typer.echo(json.dumps({"model": reader.model_id, "worlds": _shown(results), "checks": _held(checks)}))
    else:
        _print(results, checks, reader.model_id)
    if not all(check.holds for check in checks):
        sys.exit(ExitCode.ASSERTIONS_FAILED)


def _shown(results: "list[KindResult]") -> list[dict[str, object]]:
    return [
        {
            **result._asdict(),
            "reached": {gate: each._asdict() for gate, each in result.reached.items()},
            "promotions": {gate: each._asdict() for gate, each in result.promotions.items()},
        }
        for result in results
    ]


def _held(checks: "list[Check]") -> list[dict[str, object]]:
    return [check._asdict() for check in checks]


def _print(results: "list[KindResult]", checks: "list[Check]", model_id: str) -> None:
    typer.echo(f"share of the computed uplift reached on later sessions, model {model_id}")
    for result in results:
        typer.echo(
            f"{result.name}: {result.worlds} worlds, {result.taught:,} cases taught, {result.judged:,} judged; "
            f"best gate {result.uplift_r:+.3f} R a proposal"
        )
        for gate, each in result.reached.items():
            typer.echo(
                f"  {gate:<10} {each.share:+.2f} +- {each.noise:.2f}   lets through {100 * each.let_through:3.0f} %   "
                f"earned {each.uplift_r:+.3f} R over random vetoes{_promoted(result, gate)}"
            )
    for check in checks:
        typer.echo(f"{'holds' if check.holds else 'FAILED'}: {check.text}")


def _promoted(result: "KindResult", gate: str) -> str:
    """In how many worlds it was promoted and when, and in how many twins; nothing where that was not counted."""
    found = result.promotions.get(gate)
    if found is None:
        return ""
    promoted = sum(count is not None for count in found.after)
    when = "" if found.median_after is None else f" (in the middle one after {found.median_after:.0f} sessions)"
    return f"   promoted {promoted} of {len(found.after)}{when}, on twins {found.blind} of {found.twins}"


def _say(text: str) -> None:
    typer.echo(text, err=True)
