"""Lines broken on purpose, one at a time: does one of the tests that guard them fail?

    python -m tests.campaigns.mutants [--list mutants] [--only TEXT] [--out FILE]

`mutants.toml` beside this file lists them; `planted.toml` those that only a kill, a loss of power or a stranger would
show. Each is broken in a copy of the repository, so that whatever ends this program leaves the working tree as it is. A
line counts once for each text of its file and its tests: an interrupted campaign goes on where it was, and a later one
runs what has changed. Exit code 0 if at least 95 % are caught, else 1; 2 if an entry fits its file no longer, or its
tests fail without any fault.
"""

import argparse
import hashlib
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
import traceback
import warnings
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
LISTS = ("mutants", "planted")  # beside this file, as toml
LEAST_CAUGHT = 0.95
DEADLINE_S = 900
FAILED_CODES = (1, 2)  # of pytest: a test failed, or the module does not even load
# Loaded once and inherited by every fork; nothing of this repository, and nothing that starts a thread.
LIBRARIES = ("jax", "jax.numpy", "flax", "optax", "numpy", "pandas", "pyarrow", "scipy.stats", "pydantic")


class Mutant(NamedTuple):
    """One line and its broken form, both without indentation."""

    file: str
    line: str
    broken: str
    tests: tuple[str, ...]
    process: bool = False
    """Whether those of its tests that start processes run too."""

    def key(self, root: Path) -> str:
        """The same as long as neither the file, nor its tests, nor the entry change."""
        texts = [(root / name.partition("::")[0]).read_text() for name in (self.file, *self.tests)]
        # Without the mark, as outcomes were kept before there was one.
        entry = self if self.process else self[:-1]
        return hashlib.sha256(json.dumps([*entry, *texts]).encode()).hexdigest()[:16]

    def text(self, root: Path) -> str:
        """The file with the line broken.

        Raises:
            ValueError: the line does not stand in the file exactly once.
        """
        lines = (root / self.file).read_text().splitlines(keepends=True)
        at = [number for number, line in enumerate(lines) if line.strip() == self.line]
        if len(at) != 1:
            raise ValueError(f"{self.file}: {len(at)} lines are {self.line!r}")
        lines[at[0]] = lines[at[0]].replace(self.line, self.broken)
        return "".join(lines)


def mutants(only: str, name: str = LISTS[0]) -> list[Mutant]:
    """The entries of the list ``name`` whose file or line contains ``only``."""
    guards = tomllib.loads(Path(__file__).with_name(f"{name}.toml").read_text())["guard"]
    every = [
        Mutant(g["file"], line, broken, tuple(g["tests"]), g.get("process", False))
        for g in guards
        for line, broken in g["lines"]
    ]
    return [mutant for mutant in every if only in mutant.file or only in mutant.line]


def copied(folder: Path) -> Path:
    """The files of the working tree that git knows, copied to ``folder``."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True).stdout
    for name in names.decode().split("\0"):
        if name and (ROOT / name).is_file():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)
    return folder


def exit_code(root: Path, mutant: Mutant, log: Path) -> int:
    """What pytest ends with over its tests in ``root``, in a process of its own; -9 if it had to be killed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # JAX warns of any fork; it has started no thread yet
        child = os.fork()
    if child == 0:
        _become_pytest(root, mutant, log)
    end_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < end_s:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -9


def _become_pytest(root: Path, mutant: Mutant, log: Path) -> None:
    code = 70
    try:
        os.setsid()
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.chdir(root)
        # Two breaks of one length within a second would share one compiled file.
        sys.dont_write_bytecode = True
        os.environ |= {"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
        for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
            del sys.modules[name]
        sys.path.insert(0, str(root))
        import pytest

        marks = "not model" if mutant.process else "not process and not model"
        options = ["-x", "-q", "-p", "no:cacheprovider", "-m", marks, "--order-seed", "0"]
        code = int(pytest.main([*options, *mutant.tests]))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


class Campaign:
    """Runs mutants in a copy and keeps what came out."""

    def __init__(self, root: Path, results: Path) -> None:
        """``results`` holds one JSON object a line."""
        self._root, self._results = root, results
        results.parent.mkdir(parents=True, exist_ok=True)
        known = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
        self._known: dict[str, dict[str, Any]] = {row["key"]: row for row in known}
        self._log = root.parent / "pytest.log"

    def outcome(self, mutant: Mutant) -> str:
        """``caught`` or ``survived``, from an earlier campaign if nothing has changed."""
        key, path = mutant.key(self._root), self._root / mutant.file
        if key in self._known:
            return str(self._known[key]["outcome"])
        whole = path.read_text()
        path.write_text(mutant.text(self._root))
        began_s = time.monotonic()
        try:
            code = exit_code(self._root, mutant, self._log)
        finally:
            path.write_text(whole)
        assert code in (0, -9, *FAILED_CODES), f"pytest ended with {code}: {self._log.read_text()[-2000:]}"
        outcome = "survived" if code == 0 else "caught"
        self._keep(key, mutant, outcome, time.monotonic() - began_s)
        return outcome

    def fault_of_the_whole(self, guarded: list[Mutant]) -> str | None:
        """The log of tests that fail although nothing is broken: with them every break would count as caught."""
        if all(mutant.key(self._root) in self._known for mutant in guarded):
            return None
        if exit_code(self._root, guarded[0], self._log) == 0:
            return None
        return f"{' '.join(guarded[0].tests)} fail without a fault:\n{self._log.read_text()[-2000:]}"

    def _keep(self, key: str, mutant: Mutant, outcome: str, spent_s: float) -> None:
        row = {"key": key, "outcome": outcome, "seconds": round(spent_s, 1), **mutant._asdict()}
        self._known[key] = row
        with self._results.open("a") as file:
            file.write(json.dumps(row) + "\n")


def main() -> int:
    """Run the list; print each line and the share that was caught."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--list", choices=LISTS, default=LISTS[0])
    parser.add_argument("--only", default="", help="a part of the file's name or of the line")
    parser.add_argument("--out", type=Path, default=ROOT / ".cache" / "mutants.jsonl")
    given = parser.parse_args()
    every = mutants(given.only, given.list)
    for library in LIBRARIES:
        importlib.import_module(library)
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        root = copied(Path(folder) / "copy")
        campaign = Campaign(root, given.out)
        if unfit := [fault for mutant in every if (fault := stale(mutant, root))]:
            print("\n".join(unfit))
            return 2
        caught, faults = [], []
        for _, group in groupby(every, key=lambda mutant: (mutant.tests, mutant.process)):
            guarded = list(group)
            if fault := campaign.fault_of_the_whole(guarded):
                print(fault, flush=True)
                faults.append(fault)
                continue
            caught += [_told(campaign, mutant) for mutant in guarded]
    print(f"{sum(caught)} of {len(caught)} caught")
    if faults:
        return 2
    return 0 if sum(caught) >= LEAST_CAUGHT * len(caught) else 1


def stale(mutant: Mutant, root: Path) -> str | None:
    """Why an entry does not fit the files in ``root`` any more; None where it does."""
    try:
        mutant.text(root)
    except (OSError, ValueError) as error:
        return str(error)
    missing = [name for name in mutant.tests if not (root / name.partition("::")[0]).exists()]
    return f"{mutant.file}: no tests {missing}" if missing else None


def _told(campaign: Campaign, mutant: Mutant) -> bool:
    outcome = campaign.outcome(mutant)
    print(f"{outcome:9}{mutant.file}: {mutant.line}  ->  {mutant.broken}", flush=True)
    return outcome == "caught"


if __name__ == "__main__":
    sys.exit(main())
