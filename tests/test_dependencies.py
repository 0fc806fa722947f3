"""What is imported is declared in pyproject.toml, and what the packages need at run time is imported by them."""

import re
import sys
import tomllib
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, requires

import pytest

from tests.import_graph import PACKAGES, ROOT, imported, sources

DISTRIBUTIONS = {
    "stable_baselines3": "stable-baselines3",
    "rejax": "rejax",
    "gymnax": "gymnax",
    "overfit_gauntlet": "overfit-gauntlet",
    "vectorbt": "vectorbt",
    "nautilus_trader": "nautilus-trader",
    "peft": "peft",
    "vllm": "vllm",
    "ray": "ray",
}
"""Of modules that need not be installed where the tests run, or that several distributions bring."""
LOCKS = ("cpu.txt", "cuda.txt")
ALONE = {"gym.txt": ("stable-baselines3", "sb3-contrib"), "tune.txt": ("peft",)}
"""Locks of single distributions, resolved without what these depend on."""


@cache
def project() -> dict[str, list[str]]:
    """Group -> the distributions that pyproject.toml asks for; the group "" is always installed."""
    table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = {"": table["dependencies"], **table["optional-dependencies"]}
    return {group: [name_of(requirement) for requirement in asked] for group, asked in groups.items()}


def name_of(requirement: str) -> str:
    """The distribution that a requirement names, in the spelling of the package index."""
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found is not None, requirement
    return normal(found[0])


def normal(name: str) -> str:
    """``Jinja2`` and ``jinja2``, ``tomli_w`` and ``tomli-w`` are one name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def undeclared(texts: Iterable[str], declared: Iterable[str]) -> set[str]:
    """Modules of others that are imported and that no distribution in ``declared`` brings."""
    brought_by = packages_distributions()
    known = set(declared)
    missing = set()
    for module in {name.partition(".")[0] for text in texts for name in imported(text)} - sys.stdlib_module_names:
        names = {normal(name) for name in brought_by.get(module, [])} | {DISTRIBUTIONS.get(module, "")}
        if module not in own_modules() and not names & known:
            missing.add(module)
    return missing


@cache
def own_modules() -> set[str]:
    """The packages and the folders beside them, and the files that tests start or import by name alone."""
    return {"", "tests", "bench", *PACKAGES, *(path.stem for path in (ROOT / "tests").rglob("*.py"))}


def python_files(*folders: str) -> list[str]:
    """The text of every module in ``folders``."""
    return [path.read_text(encoding="utf-8") for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def test_every_import_is_declared() -> None:
    """An import that only another package's dependency brings is lost the day that package drops it."""
    everything = [name for names in project().values() for name in names]

    assert undeclared([*sources().values(), *python_files("tests", "bench")], everything) == set()


def test_an_import_that_nobody_declared_is_found() -> None:
    assert undeclared(["import yaml"], ["jinja2"]) == {"yaml"}
    assert undeclared(["from jinja2 import nodes"], ["jinja2"]) == set()


def test_what_is_always_installed_is_imported_by_a_package() -> None:
    brought_by = packages_distributions()
    used = {name.partition(".")[0] for text in sources().values() for name in imported(text)}
    needed = {normal(name) for module in used for name in brought_by.get(module, [])}

    assert set(project()[""]) - needed == set()


def test_locks_hold_what_is_declared_with_hashes_and_no_addresses() -> None:
    for lock in LOCKS:
        text = (ROOT / "requirements" / lock).read_text(encoding="utf-8")
        locked = {name_of(line) for line in text.splitlines() if re.match(r"[A-Za-z0-9]", line)}

        assert set(project()[""]) - locked == set(), lock
        assert "://" not in text and "--index" not in text
        for entry in re.split(r"\n(?=[A-Za-z0-9])", text.strip()):
            assert "--hash=sha256:" in entry, entry


@pytest.mark.parametrize("lock", sorted(ALONE))
def test_what_is_locked_without_its_dependencies_needs_nothing_that_its_lock_and_the_cpus_lack(lock: str) -> None:
    """requirements/gym.txt and tune.txt are resolved without what they depend on."""
    locked = set()
    for name in ("cpu.txt", lock):
        text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
        locked |= {name_of(line) for line in text.splitlines() if re.match(r"[A-Za-z0-9]", line)}
    for distribution in ALONE[lock]:
        try:
            asked = requires(distribution) or []
        except PackageNotFoundError:
            pytest.skip(f"{distribution} is not installed (requirements/{lock})")
        needed = {name_of(requirement) for requirement in asked if "extra ==" not in requirement}

        assert needed - locked == {"torch"} & needed, "torch has locks of its own"
