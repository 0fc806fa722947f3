"""`orchestrator run --accounts`: one command plays many accounts, and each has the run that it has alone."""

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.run.folder import RunFolder
from orchestrator.run.replay import replay_run
from tests.processes.commands import Started, call_here, wait_until
from tests.processes.conftest import DemoWorld

pytestmark = pytest.mark.process

SMALL = ["--set", "sessions=1"]


def line(world: DemoWorld, runs: Path, *more: object) -> list[str]:
    """The arguments of `orchestrator`."""
    words = ["run", "--bars", world.minutes, "--checkpoint", world.phase1, "--gate", "rules", *SMALL]
    return [str(word) for word in [*words, "--set", f'runs="{runs}"', *more]]


def journals(folder: Path) -> dict[str, bytes]:
    """The journal of each account that has one."""
    return {path.parent.name.split("-")[1]: path.read_bytes() for path in folder.glob("*/*/journal.jsonl")}


def rows(ended: Any) -> dict[str, dict[str, Any]]:
    """What was told of each account."""
    return {row["account"]: row for row in json.loads(ended.stdout)["accounts"]}


def test_accounts_of_one_command_that_was_killed_have_the_journals_of_runs_alone(
    demo_world: DemoWorld, tmp_path: Path
) -> None:
    """Two policies, packs and spans, one gate, and a file that is not there; killed with everything half done."""
    file, runs = tmp_path / "accounts.toml", tmp_path / "runs"
    file.write_text(
        f'[accounts.first]\ntrading.rules = "plain_static"\n\n'
        f'[accounts.second]\ncheckpoint = "{demo_world.phase2}"\npart = "all"\n'
        'gate.on_failure = "approve"\ngate.i_understand_unprotected_approve = true\n\n'
        f'[accounts.broken]\nbars = "{tmp_path / "nowhere.parquet"}"\n'
    )
    command = line(demo_world, runs, "--accounts", file)

    with Started(tmp_path / "output", "orchestrator", *command) as run:
        run.until(lambda: sum(map(len, journals(runs).values())) > 200_000)
        workers = sorted(text.split("orchestrator.workers.")[-1].strip() for text in run.family().values())
        run.kill()
        wait_until(lambda: not run.family())
        left = journals(runs)
    assert workers.count("feed") == 1 and workers.count("gate") == 1 and workers.count("policy") == 2
    ended = call_here("orchestrator", *command, "--json")

    told = rows(ended)
    assert (ended.returncode, {name: row["became"] for name, row in told.items()}) == (
        3,
        {"first": "ended", "second": "ended", "broken": "failed"},
    )
    assert "nowhere.parquet: not_a_file" in told["broken"]["word"]
    for name in ("first", "second"):
        folder = Path(told[name]["run"])
        content = (folder / "journal.jsonl").read_bytes()
        assert content.startswith(left[name][: left[name].rfind(b"\n") + 1]) and left[name]
        assert replay_run(RunFolder(folder)).difference == ""
        assert (folder / "report.html").exists() and told[name]["verdict"] and told[name]["trades"] is not None

    page = Path(json.loads(ended.stdout)["page"]).read_text()
    assert "2 of 3 ended" in page and all(f"<dt>{name}, " in page for name in told)

    said = ended.stderr.splitlines()
    assert "second: the gate's fail mode is approve: entries go through unprotected while it is down" in said
    assert sum(line.startswith("first, second: ") for line in said) == 1, "the world is synthetic, told once"

    own = ["--set", "name=second", "--set", "part=all", "--set", "gate.on_failure=approve"]
    own += ["--set", "gate.i_understand_unprotected_approve=true", "--checkpoint", str(demo_world.phase2)]
    assert call_here("orchestrator", *line(demo_world, tmp_path / "alone", *own)).returncode == 0
    (alone,) = (tmp_path / "alone").glob("*/journal.jsonl")
    assert Path(told["second"]["run"], "journal.jsonl").read_bytes() == alone.read_bytes()

    # What has ended is not played again while another account is not done; and a person reads the same in a table.
    again = call_here("orchestrator", *command)
    assert again.returncode == 3 and "2 of 3 accounts have ended; the same command continues the others" in again.stdout
    assert len(list(runs.glob("*/*/journal.jsonl"))) == 2
