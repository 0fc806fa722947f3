"""The commands `rl-core selftest` (does the learner learn?) and `rl-core diagnose` (what ails a training run?)."""

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from rl_core.statistics.counts import counted
from trigate.errors import ExitCode
from trigate.toml_config import read_config
from trigate.whole_files import disk_faults, write_whole

FULL, QUICK = Path("configs/selftest.toml"), Path("configs/selftest_quick.toml")
SELFTEST_PAGE, DIAGNOSIS_PAGE = "selftest.html", "diagnosis.html"

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of lines.")]


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    app.command("selftest")(selftest)
    app.command("diagnose")(diagnose)


def selftest(
    quick: Annotated[bool, typer.Option("--quick", help="One strong world, a looser threshold.")] = False,
    config: Annotated[Path | None, typer.Option("--config", help="TOML file.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="A.B=C", help="Replace one value.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the report page and selftest.json.")] = None,
    as_json: AsJson = False,
) -> None:
    """Train on worlds whose optimum is known, and judge on others; exit 100 if an assertion fails."""
    from rl_core.proofs.selftest import run_selftest
    from rl_core.proofs.selftest_config import SelftestConfig

    given = read_config(SelftestConfig, config or (QUICK if quick else FULL), settings or ())
    began = time.perf_counter()
    result = run_selftest(given, lambda line: typer.echo(line, err=True))
    seconds = time.perf_counter() - began
    record = {
        "passed": all(check.passed for check in result.checks),
        "seconds": seconds,
        "checks": [check._asdict() | {"passed": check.passed} for check in result.checks],
        "worlds": [_world(world, given.least_share) for world in result.worlds],
        "no_edge": _control(result.control),
    }
    if out is not None:
        from rl_core.proofs.pages import selftest_page

        _write(out / SELFTEST_PAGE, selftest_page(result, given.least_share, seconds))
        _write(out / "selftest.json", json.dumps(record, indent=1) + "\n")
    if as_json:
        typer.echo(json.dumps(record))
    else:
        _tell(record)
    if not record["passed"]:
        raise typer.Exit(ExitCode.ASSERTIONS_FAILED)


def diagnose(
    run: Annotated[Path, typer.Argument(help="The folder of a training run.")],
    out: Annotated[Path | None, typer.Option(help="Folder for diagnosis.html; default: the run's.")] = None,
    evaluation: Annotated[
        Path | None, typer.Option(help="What `rl-core evaluate RUN --json` printed, to be looked at as well.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Name what ails a training run, with the figures, what to change, and the plot that shows it."""
    from rl_core.proofs.diagnose import diagnose as look
    from rl_core.proofs.pages import diagnosis_page

    diagnosis = look(run, evaluation)
    page = (out or run) / DIAGNOSIS_PAGE
    _write(page, diagnosis_page(run.resolve().name, diagnosis))
    ailments = [ailment._asdict() for ailment in diagnosis.ailments]
    if as_json:
        typer.echo(json.dumps({"run": str(run), "rows": len(diagnosis.rows), "findings": ailments, "page": str(page)}))
        return
    for ailment in diagnosis.ailments:
        typer.echo(ailment.in_words)
    typer.echo(f"{counted(len(diagnosis.ailments), 'finding')} in {counted(len(diagnosis.rows), 'row')}; plots: {page}")


def _world(world: Any, least_share: float) -> dict[str, Any]:
    from rl_core.proofs.selftest import first_reaching

    reached = first_reaching(world.curve, least_share)
    looks = [{"step": look.step, "seconds": look.seconds, **look.share._asdict()} for look in world.curve]
    to_share = None if reached is None else {"step": reached.step, "seconds": reached.seconds}
    record: dict[str, Any] = world._asdict()
    return record | {
        "curve": looks,
        "share": world.curve[-1].share.label,
        "of_rule": world.of_rule.label,
        "never": world.never,
        "managed_share": None if world.managed_share is None else world.managed_share.label,
        "to_least_share": to_share,
    }


def _control(control: Any) -> dict[str, Any]:
    record: dict[str, Any] = control._asdict()
    return record | {"learned": control.learned._asdict(), "random": control.random._asdict()}


def _tell(record: dict[str, Any]) -> None:
    for world in record["worlds"]:
        to_share = world["to_least_share"]
        reached = "not reached" if to_share is None else f"{to_share['step']:,} steps, {to_share['seconds']:.0f} s"
        typer.echo(
            f"{world['name']}: share of the optimum {world['share']} (never entering {world['never']:+.3f}), "
            f"of the rule's R {world['of_rule']}; the least share after {reached}"
        )
    for check in record["checks"]:
        word = "holds" if check["passed"] else "FAILS"
        typer.echo(f"{word}  {check['name']}: {check['figure']:+.3f}, {check['relation']} {check['limit']:+.3f}")
    typer.echo(f"{'passed' if record['passed'] else 'failed'} in {record['seconds']:.0f} s")


def _write(path: Path, text: str) -> None:
    with disk_faults(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text)
