"""`orchestrator rules`: list, show, compare and verify the rule packs."""

import json
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from orchestrator.clock import wall_time_ns
from rl_core.rules.examples import pack_faults
from rl_core.rules.files import RULES_FOLDER, pack_paths, resolved
from rl_core.rules.pack import RulePack, read_rule_pack
from rl_core.rules.text import differences, kept_by_construction, left_out, rows_of
from trigate.errors import ExitCode

app = typer.Typer(no_args_is_help=True, help="The rule packs of funded accounts.")
NO_TARGET = "-"

Folder = Annotated[Path, typer.Option(help="Where the packs lie.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON value instead of a table.")]
PACK_HELP = "A file, or family.toml#pack; the folder and the ending may be left out."


@app.command("list")
def list_packs(folder: Folder = RULES_FOLDER, as_json: AsJson = False) -> None:
    """Every pack with its size, drawdown, automation, and when its source was read."""
    heads = ("pack", "start", "target", "max loss", "ratchet", "minis", "automation", "as of", "checked")
    _print(heads, [_line(path, read_rule_pack(path)) for path in pack_paths(folder)], as_json=as_json)


@app.command()
def show(
    pack: Annotated[str, typer.Argument(help=PACK_HELP)], folder: Folder = RULES_FOLDER, as_json: AsJson = False
) -> None:
    """Every field of one pack, the integers it is compiled to, and what is kept by construction or left out."""
    read = read_rule_pack(resolved(pack, folder))
    rows = list(rows_of(read).items())
    rows += [(f"compiled.{name}", str(value)) for name, value in read.compiled()._asdict().items() if name != "tiers"]
    rows += [(f"compiled.tier[{n}]", str(tuple(tier))) for n, tier in enumerate(read.compiled().tiers, start=1)]
    rows += [("kept by construction", rule) for rule in kept_by_construction(read)]
    rows += [("not simulated", rule) for rule in left_out(read)]
    _print(("field", "value"), rows, as_json=as_json)


@app.command()
def diff(
    a: Annotated[str, typer.Argument(help=PACK_HELP)],
    b: Annotated[str, typer.Argument(help=PACK_HELP)],
    folder: Folder = RULES_FOLDER,
    as_json: AsJson = False,
) -> None:
    """What two packs say differently."""
    rows = differences(read_rule_pack(resolved(a, folder)), read_rule_pack(resolved(b, folder)))
    _print(("field", a, b), rows, as_json=as_json)


@app.command()
def verify(
    packs: Annotated[list[str] | None, typer.Argument(help="Packs; none: all of the folder.")] = None,
    folder: Folder = RULES_FOLDER,
    as_json: AsJson = False,
) -> None:
    """Check schema, worked examples and arithmetic of packs; a reading older than 90 days is a warning."""
    paths = [resolved(name, folder) for name in packs] if packs else pack_paths(folder)
    rows = []
    for path in paths:
        pack = read_rule_pack(path)
        faults, warning = pack_faults(pack), pack.staleness(_today())
        said = [*faults, *([f"warning: {warning}"] if warning else [])]
        rows.append((path.name, "BROKEN" if faults else "holds", str(len(pack.examples)), "; ".join(said)))
    _print(("pack", "arithmetic", "examples", "said"), rows, as_json=as_json)
    if any(row[1] == "BROKEN" for row in rows):
        sys.exit(ExitCode.ASSERTIONS_FAILED)


def _line(path: Path, pack: RulePack) -> tuple[str, ...]:
    days = (_today() - pack.as_of).days
    return (
        path.name,
        f"{pack.start:,}",
        NO_TARGET if pack.target is None else f"{pack.target:,}",
        f"{pack.max_loss.amount:,}",
        pack.max_loss.ratchet,
        str(pack.contracts.max_mini),
        pack.automation,
        pack.as_of.isoformat(),
        "today" if days == 0 else f"{days} day{'s' if days != 1 else ''} ago",
    )


def _today() -> date:
    return datetime.fromtimestamp(wall_time_ns() / 1e9, UTC).date()


def _print(heads: Sequence[str], rows: Sequence[Sequence[str]], *, as_json: bool) -> None:
    """A table on a terminal, tab-separated lines elsewhere, or JSON."""
    if as_json:
        objects: list[dict[str, Any]] = [dict(zip(heads, row, strict=True)) for row in rows]
        typer.echo(json.dumps(objects))
        return
    if not sys.stdout.isatty():
        for row in (heads, *rows):
            typer.echo("\t".join(row))
        return
    table = Table(*heads)
    for row in rows:
        table.add_row(*row)
    Console().print(table)
