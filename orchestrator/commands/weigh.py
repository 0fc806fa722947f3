"""The command `orchestrator weigh`: what a run's gate was worth, its whole path played again under other gates."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from trigate.command_line import AsJson, Strict, exit_unless_passed, print_result, waiting

if TYPE_CHECKING:
    from orchestrator.report.gate_reruns import WeighedGate

Run = Annotated[Path, typer.Argument(help="A run's folder.")]
STEP = 50


def weigh(
    run: Run,
    reruns: Annotated[int, typer.Option(min=2, help="Of random vetoes at the gate's own rates.")] = 200,
    bars: Annotated[Path | None, typer.Option(help="Where the bars of the run lie today.")] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="Where the checkpoint of the run lies today.")] = None,
    strict: Strict = False,
    as_json: AsJson = False,
) -> None:
    """Play a run again under its own gate, without one, under three written lines and under chance; then its report."""
    from orchestrator.report.gate_reruns import weigh_gate, write_weighed
    from orchestrator.report.report import report_on
    from orchestrator.run.found_again import Sources

    console = Console(stderr=True, highlight=False)

    with waiting("playing the run again", console=console, quiet=as_json) as told:

        def say(count: int) -> None:
            told(f"playing the run again: {count} of {reruns} reruns")
            if count % STEP == 0 and not console.is_terminal:
                console.print(f"{count} of {reruns} reruns")

        weighed = weigh_gate(run, reruns=reruns, sources=Sources(bars, checkpoint), on_rerun=say)
        told("writing the report")
        write_weighed(run, weighed)
        report_on(run)
    if as_json:
        print_result(weighed.row(), as_json=True)
    else:
        typer.echo("\n".join(lines_of(weighed)))
    exit_unless_passed(weighed.verdict.word, strict=strict)


def lines_of(weighed: "WeighedGate") -> list[str]:
    """The result as a table for the terminal."""
    row = weighed.row()
    counted = "1 session" if row["sessions"] == 1 else f"{row['sessions']} sessions"
    lines = [
        f"{counted}; the gate vetoed {100 * row['vetoed_share']:.1f} % and shrank "
        f"{100 * row['shrunk_share']:.1f} % of what it was asked",
        f"{'whole path':<24}{'trades':>8}{'dollars':>12}{'R':>9}{'accounts':>10}{'at the floor':>14}",
    ]
    for name, path in {**row["paths"], f"random, mean of {row['random']['reruns']}": row["random"]}.items():
        lines.append(_path_line(name, path))
    low, high = row["random"]["r_95"]
    lines.append(f"95 % of the random reruns lie between {low:+.1f} and {high:+.1f} R")
    for each in row["against"]:
        lines.append(_against_line(each))
    lines.append(f"{row['verdict']}: {'; '.join(row['reasons'])}")
    return lines


def _path_line(name: str, path: dict[str, Any]) -> str:
    return (
        f"{name:<24}{path['trades']:>8.0f}{path['dollars']:>12,.0f}{path['r']:>+9.1f}{path['attempts']:>10.1f}"
        f"{path['failed']:>14.1f}"
    )


def _against_line(each: dict[str, Any]) -> str:
    interval, beaten = each["session_r"], each["beaten"]
    bounds = "no interval"
    if interval is not None and interval["low"] is not None:
        bounds = f"{interval['low']:+.3f} to {interval['high']:+.3f} R a session"
    more = "" if beaten is None else f"; more R than {100 * beaten:.0f} % of them"
    return f"gate less {each['other']}: {each['dollars']:+,.0f} dollars, {each['r']:+.1f} R ({bounds}){more}"
