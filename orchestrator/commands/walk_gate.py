"""The command `orchestrator walk-gate`: a gate for every policy of a walk forward, taught and judged fold by fold."""

from pathlib import Path
from typing import Annotated, Any

import typer

from trigate.command_line import AsJson, Strict, exit_unless_passed, print_result

FOLD_HEAD = (
    f"{'fold':>4}  {'gate taught on':<24} {'entries':>8}  {'judged on':<24} {'asked':>6} {'stopped':>8} "
    f"{'gate':>8} {'approving':>10} {'random':>8} {'gate less approving':>20}"
)
REGIME_HEAD = f"{'regime':<22} {'taught':>7} {'share':>7} {'asked':>6} {'stopped':>8}  {'uplift, R a session':<36} says"


def walk_gate(
    walk: Annotated[Path, typer.Argument(help="The folder that rl-core walk-forward --gate-share wrote to.")],
    reruns: Annotated[int, typer.Option(min=2, help="Of random vetoes at each gate's own rates.")] = 50,
    max_veto_rate: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Veto at most this share, and shrink the rest.")
    ] = 1.0,
    bars: Annotated[Path | None, typer.Option(help="Where the bars of the walk lie today.")] = None,
    strict: Strict = False,
    as_json: AsJson = False,
) -> None:
    """Teach each policy of a walk a gate on the sessions left to it, and judge it on the sessions that follow."""
    from orchestrator.report.walk_gates import RECORD, judge_walk

    def say(line: str) -> None:
        typer.echo(line, err=True)

    found = judge_walk(walk, reruns=reruns, max_veto_rate=max_veto_rate, bars=bars, say=say)
    if as_json:
        print_result(found.row(), as_json=True)
    else:
        typer.echo("\n".join(lines_of(found.row())))
        typer.echo(f"figures: {walk / RECORD}")
    exit_unless_passed(found.verdict.word, strict=strict)


def lines_of(row: dict[str, Any]) -> list[str]:
    """The folds, all of them together, and the regimes, as tables for the terminal."""
    r = row["r"]
    lines = ["R a session, mean over seeds:", FOLD_HEAD, *(_fold_line(fold) for fold in row["folds"])]
    lines += [
        f"all {row['sessions']} judged sessions, R a session: gate {r['gate']:+.3f}, always approving "
        f"{r['always approving']:+.3f}, random vetoes {r['random']:+.3f}, the three-line rule "
        f"{r['the three-line rule']:+.3f}",
        f"gate less always approving: {_interval(row['over_approving'])}; better in {row['folds_better']} of "
        f"{row['folds_judged']} folds",
        f"gate less random vetoes: {_interval(row['over_random'])}; more R than {100 * row['beaten']:.0f} % of them",
        f"{row['verdict']}: {'; '.join(row['reasons'])}",
        "by regime at the entry; all intervals together hold at 95 %:",
        REGIME_HEAD,
    ]
    return lines + [_regime_line(each) for each in (*row["regimes"], *row["by_rarity"])]


def _fold_line(fold: dict[str, Any]) -> str:
    r = fold["r_a_session"]
    less = r["gate"] - r["always approving"]
    return (
        f"{fold['fold']:>4}  {fold['gate_taught_on']:<24} {sum(fold['cases']):>8,}  {fold['judged_on']:<24} "
        f"{sum(fold['asked']):>6,} {sum(fold['stopped']):>8,} {r['gate']:>+8.3f} {r['always approving']:>+10.3f} "
        f"{r['random']:>+8.3f} {less:>+20.3f}"
    )


def _interval(found: dict[str, Any] | None) -> str:
    if found is None:
        return "no session"
    bounds = "no interval" if found["low"] is None else f"{found['low']:+.3f} to {found['high']:+.3f}"
    return f"{found['mean']:+.3f} ({bounds})"


def _regime_line(each: dict[str, Any]) -> str:
    uplift = _interval(each["uplift"])
    if each["uplift"] is not None:
        uplift = f"{uplift} in {each['uplift']['sessions']}"
    return (
        f"{each['name']:<22} {each['taught']:>7,} {100 * each['share']:>5.1f} % {each['asked']:>6,} "
        f"{each['stopped']:>8,}  {uplift:<36} {each['word']}"
    )
