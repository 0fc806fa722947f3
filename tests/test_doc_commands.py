"""Every block of commands and settings in README and docs is parsed by the real command line, or run, or excused."""

import gzip
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from pydantic import BaseModel
from typer.core import TyperGroup

from llm_gate.evals.asking.suite import Suite
from orchestrator.run.accounts_file import TABLE
from orchestrator.run.config import RunConfig
from rl_core.bars.choices import ExcludeList, RollSchedule
from rl_core.bars.write import write_bars
from rl_core.trading.setup import TradingConfig
from rl_core.training.config import TrainConfig
from rl_core.worlds.demo import demo_world
from tests.import_graph import ROOT
from tests.processes.commands import call_here
from tests.rl_core.bars.test_ingest import vendor_rows, write_vendor
from tests.test_papers import COMMANDS
from trigate.errors import ConfigError
from trigate.toml_config import read_config, validated

DOCS = ("README.md", "CONTRIBUTING.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))
FENCED = re.compile(r"^```(\w*)\n(.*?)^```|((?:^ {4}[^\n]+\n)+)", re.DOTALL | re.MULTILINE)
NO_COMMANDS = {
    ("docs/operating.md", "podman build"): "podman's commands",
    ("docs/operating.md", "cp deploy/trigate-paper@.service"): "systemd's commands",
    ("README.md", "rl_core/"): "the tree; tests/test_papers.py compares it with the folders",
    ("docs/architecture.md", "rl-core train  "): "a picture of processes",
    ("docs/architecture.md", "orchestrator"): "the floors; tests/test_papers.py compares them with the layering",
    ("docs/extending.md", "[project.entry-points"): "a package's own pyproject.toml; test_live.py installs it",
    ("docs/gate.md", "--- outside text"): "how text from outside is framed",
    ("docs/gate.md", "+++"): "a prompt file; tests/llm_gate/prompts/test_prompt_files.py reads such ones",
    ("docs/operating.md", "PLAN   "): "what a command printed",
    ("docs/quick_start.md", "file   "): "what a command printed",
    ("docs/quick_start.md", "sessions   "): "what a command printed",
    ("docs/quick_start.md", "verdict   "): "what a command printed",
    ("docs/verdict.md", "beside what"): "what a command printed",
    ("docs/verdict.md", "best of 20"): "what a command printed",
}
"""Page and beginning of each block that holds no command -> why it is there."""
SHELL = ("kill", "cd", "ln", "pip")
MODELS: dict[tuple[str, str], type[BaseModel]] = {
    ("rl-core", "train"): TrainConfig,
    ("rl-core", "walk-forward"): TrainConfig,
    ("rl-core", "sweep"): TrainConfig,
    ("rl-core", "evaluate"): TrainConfig,
    ("rl-core", "show-config"): TrainConfig,
    ("rl-core", "check-leak"): TradingConfig,
    ("orchestrator", "run"): RunConfig,
    ("orchestrator", "teach"): RunConfig,
    ("orchestrator", "show-config"): RunConfig,
    ("llm-gate", "eval"): Suite,
    ("llm-gate", "show-config"): Suite,
}
"""Program and command -> what its ``--set`` and ``--config`` fill."""
SETTINGS = (RunConfig, TrainConfig, Suite, RollSchedule, ExcludeList)


class Block(NamedTuple):
    """A block of a page that is not prose."""

    page: str
    language: str
    text: str

    @property
    def excuse(self) -> str:
        """Why it holds no command; empty where it has to."""
        return next((why for (page, start), why in NO_COMMANDS.items() if self._is(page, start)), "")

    def _is(self, page: str, start: str) -> bool:
        return self.page == page and self.text.lstrip().startswith(start)

    def lines(self) -> list[str]:
        """Its lines, with what a backslash broke put together."""
        return [line.strip() for line in self.text.replace("\\\n", " ").splitlines() if line.strip()]


def blocks_of(page: str, text: str) -> Iterator[Block]:
    """The fenced and indented blocks of a page."""
    for language, fenced, indented in FENCED.findall(text):
        yield Block(page, language, fenced or indented)


def faults_of(block: Block) -> list[str]:
    """What is wrong with the commands of a block, or with its settings."""
    if block.language == "python":  # imports: tests/test_papers.py; what it does: tests/test_extending.py and others
        compile(block.text, block.page, "exec")
        return []
    if block.language == "toml":
        return _unfit_settings(block.text)
    return [f"{line}: {fault}" for line in block.lines() for fault in faults_of_line(line)]


def faults_of_line(line: str) -> list[str]:
    """What the real command line says to one line of a shell; ``a && b`` is two, what follows ``>`` is the shell's."""
    try:
        words = shlex.split(re.sub(r"\[(-[^\]]*)\]", r"\1", line), comments=True)
    except ValueError as error:
        return [str(error)]
    faults: list[str] = []
    for part in " ".join(shlex.quote(word) for word in words).split(" '&&' "):
        faults += _faults_of_call([word for word in shlex.split(part.partition(" '>' ")[0]) if word != "&"])
    return faults


def _faults_of_call(words: list[str]) -> list[str]:
    if not words or words[0] in SHELL:
        return []
    program, *arguments = words
    if program == "make":
        return [] if arguments and re.fullmatch(r"[a-z]+", arguments[0]) else ["make what?"]  # the target: test_papers
    if Path(program).name == "python":
        return [] if arguments[0] == "-m" or (ROOT / arguments[0]).exists() else [f"{arguments[0]} is not there"]
    if Path(program).name not in COMMANDS:
        return [f"{program} is no command of ours, and nothing that a page may need"]
    return _refused(Path(program).name, arguments)


def _refused(program: str, arguments: list[str]) -> list[str]:
    """What the program's own parser says, and what its settings would."""
    command: Any = COMMANDS[program]
    name = ""
    while isinstance(command, TyperGroup):
        name = arguments.pop(0) if arguments else ""
        if name not in command.commands:
            return [f"{program} has no command {name!r}"]
        command = command.commands[name]
    try:
        given = command.make_context(name, arguments).params
    except Exception as error:  # of the parser's own many kinds, each a fault of the page
        return [str(getattr(error, "message", "") or f"{type(error).__name__} {error}")]
    model = MODELS.get((program, name))
    try:
        if model is not None:
            read_config(model, given.get("config"), given.get("settings") or ())
    except ConfigError as error:
        return [str(error)]
    return []


def _unfit_settings(text: str) -> list[str]:
    """Nothing where one of our files may look so; of many accounts each table is a run's."""
    tables = tomllib.loads(text)
    if tables.keys() == {TABLE}:
        return [fault for account in tables[TABLE].values() for fault in _unfit_run(account)]
    said = []
    for model in SETTINGS:
        try:
            validated(model, tables, model.__name__)
        except ConfigError as error:
            said.append(str(error))
    return said if len(said) == len(SETTINGS) else []


def _unfit_run(table: dict[str, Any]) -> list[str]:
    try:
        validated(RunConfig, table, "RunConfig")
    except ConfigError as error:
        return [str(error)]
    return []


@pytest.mark.parametrize("page", DOCS)
def test_the_real_command_line_takes_what_a_page_tells_to_type(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    blocks = list(blocks_of(page, (ROOT / page).read_text("utf-8")))

    assert {block.text: faults for block in blocks if not block.excuse and (faults := faults_of(block))} == {}


def test_every_excuse_is_of_a_block_that_is_there() -> None:
    blocks = [block for page in DOCS for block in blocks_of(page, (ROOT / page).read_text("utf-8"))]

    unused = {place for place in NO_COMMANDS if not any(block._is(*place) for block in blocks)}
    assert unused == set()


@pytest.mark.parametrize(
    ("block", "fault"),
    [
        ("rl-core train --faze 1 --out runs/a", "--faze"),
        ("rl-core trian --out runs/a", "no command 'trian'"),
        ("rl-core train --phase 1", "MissingParameter"),
        ("rl-core walk-forward --bars a.csv --out w --folds many", "many"),
        ("rl-core train --out a --set ppo.totalsteps=5", "did you mean 'ppo.total_steps'"),
        ("orchestrator run --set gate.engin=off", "did you mean 'gate.engine'"),
        ("orchestrator compare RUN", "MissingParameter"),
        ("orchestrator list && orchestrator lst", "no command 'lst'"),
        ("orchestrator run --config configs/gone.toml", "configs/gone.toml"),
        ("python bench/gone.py", "bench/gone.py is not there"),
        ("wget http://example.org", "no command of ours"),
    ],
)
def test_a_planted_fault_is_found(block: str, fault: str) -> None:
    (found,) = faults_of(Block("x.md", "", block))

    assert fault in found


def test_settings_that_no_file_may_hold_are_found() -> None:
    assert faults_of(Block("x.md", "toml", '[gate]\nengine = "rules"\n')) == []
    assert len(faults_of(Block("x.md", "toml", '[gate]\nengin = "rules"\n'))) == len(SETTINGS)


def test_the_quick_starts_data_steps_do_what_the_page_says(tmp_path: Path) -> None:
    """Its own lines, in a folder that holds nothing but a newcomer's files."""
    page = (ROOT / "docs/quick_start.md").read_text("utf-8")
    blocks = list(blocks_of("docs/quick_start.md", page))
    _newcomers_files(tmp_path, next(block.text for block in blocks if block.language == "toml"))
    lines = [shlex.split(line, comments=True) for block in blocks if not block.excuse for line in block.lines()]
    first = [line for line in lines if line[:3] in (["rl-core", "data", "check"], ["rl-core", "data", "ingest"])]

    told = [call_here(*line, cwd=tmp_path) for line in first]
    listed = call_here("orchestrator", "list", cwd=tmp_path)

    assert len(first) == 3 and [each.returncode for each in told] == [0, 0, 0]
    assert all("written     " in each.stdout and "bars/NQ_D1M.parquet" in each.stdout for each in told)
    assert (tmp_path / "bars" / "data.html").exists() and (tmp_path / "bars" / "rolls.toml").exists()
    assert listed.returncode == 2 and "orchestrator run makes one" in listed.stderr


def _newcomers_files(folder: Path, rolls: str) -> None:
    """A series that was joined, its rolls, and a vendor's file of every expiry."""
    write_bars(demo_world(7, 3).minutes, folder / "NQ_D1M.csv")
    (folder / "NQ_D1M.csv.gz").write_bytes(gzip.compress((folder / "NQ_D1M.csv").read_bytes()))
    (folder / "rolls.toml").write_text(rolls)
    write_vendor(folder / "glbx-mdp3.ohlcv-1m.csv", vendor_rows(fronts=(0, 0, 0, 1, 1, 1)).rows)
