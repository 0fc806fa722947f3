"""What is installed works from any folder: the wheel is built, unpacked, and each command run from an empty folder."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.import_graph import PACKAGES, ROOT

WITHOUT_METADATA = """
import importlib.metadata as metadata, runpy, sys
real = metadata.version
def version(name):
    if name == "trigate":
        raise metadata.PackageNotFoundError(name)
    return real(name)
metadata.version = version
module, *sys.argv[1:] = sys.argv[1:]
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""
"""Runs a module as in a tree that was never installed, although this environment has an installed trigate."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = folder.glob("trigate-*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's files in a folder of their own."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def bare_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources without git and without metadata of an installation."""
    folder = tmp_path_factory.mktemp("bare") / "trigate-main"
    folder.mkdir()
    for name in (*PACKAGES, "configs", "prompts"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def run(home: Path, cwd: Path, *line: str) -> subprocess.CompletedProcess[str]:
    """``python line...`` in ``cwd``, with the packages of ``home`` before any others."""
    environment = {**os.environ, "PYTHONPATH": str(home), "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, *line], cwd=cwd, env=environment, capture_output=True, text=True, timeout=120
    )


def said(home: Path, cwd: Path, *line: str) -> str:
    """What ``python -m line...`` prints on standard output, if it ends well."""
    done = run(home, cwd, "-m", *line)
    assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
    return done.stdout


def test_the_wheel_holds_what_the_commands_read(wheel: Path) -> None:
    """Settings, rule packs, prompts, templates and tables: every file of the sources but Python's own caches."""
    held = set(zipfile.ZipFile(wheel).namelist())
    beside = {f"trigate/shipped/{path.relative_to(ROOT)}" for name in ("configs", "prompts") for path in _files(name)}
    within = {str(path.relative_to(ROOT)) for name in PACKAGES for path in _files(name)}

    assert beside | within <= held
    assert any(name.endswith(".j2") for name in held) and "trigate/shipped/configs/phase1_nq.toml" in held
    assert not any(name.startswith(("tests/", "bench/", "docs/")) for name in held)


def test_rl_core_works_from_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    """It took other defaults without a word, as its settings lay in the clone alone."""
    assert "--install-completion" in said(installed, tmp_path, "rl_core", "--help")
    shown = json.loads(said(installed, tmp_path, "rl_core", "show-config", "--json"))
    said(installed, tmp_path, "rl_core", "data", "demo", "--sessions", "3", "--out", "world")

    assert shown["ppo.total_steps"] == {"value": 1_048_576, "origin": "file configs/phase1_nq.toml"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["world"]


def test_orchestrator_works_from_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    packs = said(installed, tmp_path, "orchestrator", "rules", "list")
    pack = said(installed, tmp_path, "orchestrator", "rules", "show", "apex_legacy#50k-eval-rithmic")
    shown = json.loads(
        said(installed, tmp_path, "orchestrator", "show-config", "--config", "configs/sim.toml", "--json")
    )
    no_pack = run(installed, tmp_path, "-m", "orchestrator", "run", "--set", "trading.rules=x")
    no_bars = run(installed, tmp_path, "-m", "orchestrator", "run")

    assert len(packs.splitlines()) > 50 and "apex_legacy.toml#50k-eval-rithmic" in packs
    assert "intraday_unrealized" in pack
    assert shown["name"] == {"value": "demo", "origin": "file configs/sim.toml"}
    assert no_pack.returncode == 2 and "x: cannot be read: there is no such rule pack" in no_pack.stderr
    assert no_bars.returncode == 2 and "run what? give --bars FILE and --checkpoint RUN" in no_bars.stderr
    assert list(tmp_path.iterdir()) == []


def test_llm_gate_works_from_an_empty_folder_and_finds_own_prompts(installed: Path, tmp_path: Path) -> None:
    own = tmp_path / "prompts"
    own.mkdir()
    text = (ROOT / "prompts/entry_facts.v1.md").read_text(encoding="utf-8")
    (own / "mine.v1.md").write_text(text, encoding="utf-8")

    listed = [line.split()[0] for line in said(installed, tmp_path, "llm_gate", "prompts", "list").splitlines()]
    elsewhere = said(installed, own.parent.parent, "llm_gate", "prompts", "list", "--prompts", str(own))

    assert {"entry_review.v1", "mine.v1"} <= set(listed) and "mine.v1" in elsewhere


@pytest.mark.parametrize("module", ["rl_core", "llm_gate", "orchestrator"])
def test_a_bare_source_tree_says_its_version(bare_tree: Path, tmp_path: Path, module: str) -> None:
    """Neither git nor an installation is needed."""
    done = run(bare_tree, tmp_path, "-c", WITHOUT_METADATA, module, "--version")

    assert (done.stdout, done.returncode) == ("trigate 0.1.0\n", 0), done.stderr


def test_a_bare_source_tree_makes_a_world(bare_tree: Path, tmp_path: Path) -> None:
    done = run(bare_tree, tmp_path, "-c", WITHOUT_METADATA, "rl_core", "data", "demo", "--sessions", "3", "--out", "w")

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "w/NQ_D1M.parquet").is_file()


def _files(folder: str) -> list[Path]:
    paths = (ROOT / folder).rglob("*")
    return [path for path in paths if path.is_file() and "__pycache__" not in path.parts]
