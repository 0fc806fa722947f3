"""The command `orchestrator replay`: a run derived again from its journal, compared, its damage set aside."""

from pathlib import Path
from typing import Annotated, Any

import typer

from trigate.command_line import AsJson, print_result, waiting
from trigate.errors import DataError
from trigate.whole_files import write_whole

Run = Annotated[Path, typer.Argument(help="A run's folder.")]


def replay(
    run: Run,
    verify: Annotated[bool, typer.Option("--verify", help="Exit 3 at the first record that differs.")] = False,
    quarantine: Annotated[
        bool, typer.Option("--quarantine", help="Set what follows the last whole record aside, beside the journal.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Write the journal there as it came out again.")] = None,
    bars: Annotated[Path | None, typer.Option(help="Where the bars of the run lie today.")] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="Where the checkpoint of the run lies today.")] = None,
    as_json: AsJson = False,
) -> None:
    """Derive every record of a run again from the inputs in its journal; no worker starts and no model is asked."""
    from orchestrator.run.folder import run_at
    from orchestrator.run.found_again import Sources
    from orchestrator.run.replay import replay_run
    from orchestrator.run.set_aside import set_aside

    folder = run_at(run)
    moved = set_aside(folder) if quarantine else None
    with waiting("deriving every record again", quiet=as_json):
        found = replay_run(folder, Sources(bars, checkpoint))
    if out is not None:
        write_whole(out, found.derived, mode=0o600)
    said: dict[str, Any] = {
        "records": found.records,
        "bars": found.bars,
        "trades": found.trades,
        "reaches": "the end of the run" if found.ended else "as far as the run went",
        "head": found.head,
        "torn": found.torn,
        "difference": found.difference,
        "set_aside": "" if moved is None else str(moved),
        "run": str(run),
    }
    print_result({**said, "reaches": found.ended} if as_json else _in_words(said), as_json=as_json)
    if verify and found.difference:
        raise DataError(f"{folder.journal}: {found.difference}")


def _in_words(said: dict[str, Any]) -> dict[str, Any]:
    shown = dict(said)
    shown["records"] = f"{said['records']:,} came out byte for byte"
    shown["torn"] = f"{said['torn']:,} bytes follow the last whole record" if said["torn"] else "no"
    shown["difference"] = said["difference"] or "none"
    if not said["set_aside"]:
        del shown["set_aside"]
    return {name.replace("_", " "): value for name, value in shown.items()}
