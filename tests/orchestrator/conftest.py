"""Lets these tests, and the processes that they start, import the workers beside them."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from orchestrator.run.folder import RunFolder
    from tests.orchestrator.played_files import FileWorld

HERE = str(Path(__file__).parent)
if HERE not in sys.path:
    sys.path.insert(0, HERE)


@pytest.fixture
def importable_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put this folder on the module path of child processes."""
    monkeypatch.setenv("PYTHONPATH", HERE)


@pytest.fixture(autouse=True)
def own_registry_of_tries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of this test count among themselves alone, and nowhere else."""
    monkeypatch.setenv("TRIGATE_TRIES", str(tmp_path / "tries.jsonl"))


@pytest.fixture(scope="session")
def file_world(tmp_path_factory: pytest.TempPathFactory) -> "FileWorld":
    """Three sessions of the demo world in a file, the last of which is traded, and an untrained policy of phase 1."""
    from rl_core.bars.write import write_bars
    from rl_core.worlds.demo import demo_world
    from tests.orchestrator.played_files import FileWorld
    from tests.processes.conftest import untrained

    folder = tmp_path_factory.mktemp("file_world")
    minutes = demo_world(7, 3).minutes
    path = folder / "NQ_D1M.parquet"
    write_bars(minutes, path)
    return FileWorld(path, untrained(folder, 1, minutes, int(minutes.ts_event_ns[0])))


@pytest.fixture(scope="session")
def won(tmp_path_factory: pytest.TempPathFactory) -> "RunFolder":
    """A run of twelve sessions that wins, whose gate approved everything; nobody changes its journal."""
    from tests.orchestrator.played_runs import winning_run

    return winning_run(tmp_path_factory.mktemp("won"), engine="vllm")


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory, where there is such a place: a kill leaves the same there, and nobody waits for a disk."""
    place = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=place if place.is_dir() else None) as folder:
        yield Path(folder)
