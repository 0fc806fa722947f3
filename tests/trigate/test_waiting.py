"""A terminal is told what a command does while it says nothing else; nothing of that stays, or goes anywhere else."""

import contextlib
import io
from pathlib import Path

import pytest
import typer
from rich.console import Console

from tests.processes.commands import call_here
from trigate.command_line import waiting

FORGET_LINE = "\x1b[2K"
ROW = "2025-01-02T14:{minute}:00Z,21000,21001,20999,21000.5,{minute}\n"


def terminal() -> tuple[Console, io.StringIO]:
    file = io.StringIO()
    return Console(file=file, force_terminal=True, width=80, highlight=False), file


def test_a_terminal_sees_what_is_done_and_keeps_none_of_it() -> None:
    console, file = terminal()

    with waiting("reading the bars [bold]", console=console) as told:
        console.print("a line that stays")
        told("fitting the regimes")

    shown = file.getvalue()
    assert "reading the bars [bold]" in shown and "0:00:00" in shown
    assert "fitting the regimes" in shown
    assert "a line that stays" in shown
    assert shown.rindex("fitting the regimes") < shown.rindex(FORGET_LINE)


def test_what_is_printed_for_a_program_goes_where_it_was_sent() -> None:
    console, file = terminal()
    out = io.StringIO()

    with contextlib.redirect_stdout(out), waiting("reading the bars", console=console):
        typer.echo("a result")

    assert out.getvalue() == "a result\n"
    assert "a result" not in file.getvalue()


@pytest.mark.parametrize("quiet", [True, False])
def test_a_pipe_and_a_quiet_command_see_nothing(quiet: bool) -> None:
    file = io.StringIO()

    with waiting("reading", console=Console(file=file, force_terminal=quiet), quiet=quiet) as told:
        told("writing")

    assert file.getvalue() == ""


def test_commands_tell_a_terminal_what_they_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``FORCE_COLOR`` makes any file a terminal for rich."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    bars = tmp_path / "NQ_D1M.csv"
    bars.write_text("datetime,open,high,low,close,volume\n" + "".join(ROW.format(minute=m) for m in range(30, 40)))

    made = call_here("rl-core", "data", "world", "--kind", "no_edge", "--sessions", 2, "--out", tmp_path / "world")
    checked = call_here("rl-core", "data", "check", bars)
    quiet = call_here("rl-core", "data", "check", bars, "--json")
    evaluated = call_here("rl-core", "evaluate", tmp_path / "none")

    assert "drawing the market" in made.stderr and "writing the bars" in made.stderr
    assert "reading every row" in checked.stderr
    assert "reading the bars" in evaluated.stderr
    assert quiet.stderr == ""
