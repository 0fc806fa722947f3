"""The adapter of docs/extending.md, installed as ``pip install`` would: a module and a distribution's metadata."""

import re
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.processes.commands import ROOT

NAME, ACCOUNT = "practice", "PRACTICE"
PAGE = ROOT / "docs/extending.md"
PLAIN = (ROOT / "configs/rules/plain_static.toml").read_text()


def install_practice(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *more: str, package: str = "practice_broker"
) -> None:
    """Install the page's adapter for this process and those that it starts, as ``package``; ``more`` of its module."""
    (example,) = [each for each in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL) if "Opening" in each]
    (points,) = re.findall(r"```\n\[project\.entry-points\.(\w+)\]\n(.*?)```", PAGE.read_text(), re.DOTALL)
    metadata = folder / f"{package}-1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(f"[{points[0]}]\n{points[1].replace(chr(34), '')}")
    (folder / "practice_broker.py").write_text("\n".join([example, *more]))
    monkeypatch.delitem(sys.modules, "practice_broker", raising=False)  # that of another folder
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", f"{folder}:{ROOT}")


def pack_that_says(automation: str, folder: Path, as_of: str = "") -> Path:
    """A rule pack whose firm says so of automated trading, read on a day, today unless another is given."""
    path = folder / f"{automation}.toml"
    dated = re.sub(r"as_of = \S+", f"as_of = {as_of or datetime.now(UTC).date()}", PLAIN)
    path.write_text(dated.replace('automation = "allowed"', f'automation = "{automation}"'))
    return path
