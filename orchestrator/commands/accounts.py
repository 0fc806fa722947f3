"""`orchestrator run --accounts FILE`: many accounts in one run, and a table of what became of each."""

import json
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import typer

from orchestrator.commands.run_options import typed_options
from orchestrator.commands.while_playing import saying, stop_signals
from orchestrator.run.accounts_file import read_accounts
from orchestrator.run.settings import read_run_config
from trigate.command_line import waiting
from trigate.errors import ExitCode, TrigateError

if TYPE_CHECKING:
    from rich.console import Console

    from orchestrator.run.accounts import Seated

TELL_EVERY_S = 10.0
BARS_STEP = 50
PLAYING = "playing the accounts"


def run_accounts(
    path: Path,
    config: Path | None,
    settings: Sequence[str],
    options: Mapping[str, Any],
    *,
    console: "Console",
    as_json: bool,
) -> None:
    """Play the accounts of ``path`` over the command's own settings; ends with 0 once every one has ended.

    Raises:
        TrigateError: nothing could be played.
        SystemExit: an account failed, with the code of the first in the file's order; or a signal came.
    """
    from orchestrator.report.accounts_page import write_accounts_page
    from orchestrator.run.accounts import play_accounts
    from orchestrator.run.accounts_folder import held_accounts_folder
    from orchestrator.run.simulate import RunHooks

    say = saying(console)
    options = typed_options(options)
    accounts = read_accounts(path, config, settings, options)
    base = read_run_config(config, settings, options).config
    say(f"{len(accounts)} accounts: {', '.join(account.name for account in accounts)}")
    with held_accounts_folder(base.runs, base.name, accounts) as folder, stop_signals() as asked:
        with waiting(PLAYING, console=console) as told:
            on_bar = _so_far(told) if console.is_terminal else _now_and_then(say)
            seated = play_accounts(accounts, folder, RunHooks(say=say, stop_asked=lambda: bool(asked), on_bar=on_bar))
            # Still under the watch, as for a run alone: what has ended gets its report.
            told("writing the reports")
            rows = [_row(seat, say, stop_asked=lambda: bool(asked)) for seat in seated]
        folder.write(rows, done=all(row["became"] == "ended" for row in rows))
        page = write_accounts_page(folder.path, rows)
    _tell(rows, folder.path, page, as_json=as_json)
    if asked:
        raise SystemExit(ExitCode.INTERRUPTED if signal.SIGINT in asked else ExitCode.STOPPED)
    codes = [row["exit_code"] for row in rows if row["exit_code"]]
    raise SystemExit(codes[0] if codes else 0)


def _so_far(told: Callable[[str], None]) -> Callable[[int], None]:
    """Tells a terminal how many bars all accounts together have done."""
    return lambda done: told(f"{PLAYING}: {done:,} bars of them together") if done % BARS_STEP == 0 else None


def _now_and_then(say: Callable[[str], None]) -> Callable[[int], None]:
    """Tells how many bars all accounts together have done, every few seconds."""
    next_s = monotonic() + TELL_EVERY_S

    def on_bar(done: int) -> None:
        nonlocal next_s
        if monotonic() >= next_s:
            next_s = monotonic() + TELL_EVERY_S
            say(f"{done:,} bars, of all accounts together")

    return on_bar


def _row(seat: "Seated", say: Callable[[str], None], *, stop_asked: Callable[[], bool]) -> dict[str, Any]:
    """What became of an account, its report written if it has ended."""
    from orchestrator.report.report import report_on
    from orchestrator.run.folder import REPORT

    state, word, code = seat.became
    row = {"account": seat.name, "became": state, "exit_code": code, "word": word, "verdict": None, "trades": None}
    row["run"] = None if seat.folder is None else str(seat.folder.path)
    if state != "ended" or seat.folder is None:
        return row
    said = seat.folder.path / "verdict.json"
    if not (seat.folder.path / REPORT).exists():
        if stop_asked():
            return {**row, "became": "stopped", "word": "its report is still to be written"}
        say(f"{seat.name}: has ended after {seat.bars:,} bars, and gets its report")
        try:
            report_on(seat.folder.path)
        except TrigateError as error:
            return {**row, "became": "failed", "exit_code": int(error.exit_code), "word": str(error)}
    found = json.loads(said.read_bytes())
    return {**row, "verdict": found.get("verdict"), "trades": found.get("trades")}


def _tell(rows: Sequence[Mapping[str, Any]], folder: Path, page: Path, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"accounts": list(rows), "run": str(folder), "page": str(page)}))
        return
    wide = max(len(row["account"]) for row in rows)
    for row in rows:
        said = row["word"]
        if row["verdict"] is not None:
            said = f"{row['verdict']:<12}  {row['trades']:>6,} trades  {row['run']}"
        typer.echo(f"{row['account']:<{wide}}  {row['became']:<8}  {said}".rstrip())
    ended = sum(row["became"] == "ended" for row in rows)
    go_on = "" if ended == len(rows) else "; the same command continues the others"
    typer.echo(f"{ended} of {len(rows)} accounts have ended{go_on}")
    typer.echo(folder)
    typer.echo(f"page: {page}")
