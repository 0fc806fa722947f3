"""Who imports whom in the packages: modules, and the folders that hold them."""

import ast
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("trigate", "rl_core", "llm_gate", "orchestrator")

Sources = Mapping[str, str]
"""Path from the root -> source text."""
Edges = Mapping[str, frozenset[str]]
"""A module or folder -> what it imports."""


def sources() -> dict[str, str]:
    """Every module of the packages."""
    paths = (path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py")))
    return {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in paths}


def imported(source: str) -> set[str]:
    """Dotted names that a module imports, inside functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def module_edges(found: Sources) -> dict[str, frozenset[str]]:
    """Dotted module -> the modules of ``found`` that it imports."""
    names = {path.removesuffix(".py").removesuffix("/__init__").replace("/", "."): path for path in found}
    return {name: frozenset(imported(found[path]) & names.keys() - {name}) for name, path in names.items()}


def folder_edges(found: Sources) -> dict[str, frozenset[str]]:
    """Folder -> the other folders whose modules its own modules import; a package's own top level is no folder."""
    modules = {path.removesuffix(".py").replace("/", ".") for path in found if not path.endswith("/__init__.py")}
    edges: dict[str, set[str]] = {}
    for module, targets in module_edges(found).items():
        folder = folder_of(module)
        if folder is not None and module in modules:
            others = {folder_of(target) for target in targets & modules} - {None, folder}
            edges.setdefault(folder, set()).update(str(other) for other in others)
    return {folder: frozenset(targets) for folder, targets in edges.items()}


def folder_of(module: str) -> str | None:
    """The folder that holds ``module``, None on the top level of a package."""
    folder, _, _ = module.rpartition(".")
    return folder.replace(".", "/") if "." in folder else None


def cycle_in(edges: Edges) -> list[str]:
    """Names that import each other in a circle, [] if there is none."""
    done: set[str] = set()

    def walk(name: str, trail: list[str]) -> list[str]:
        if name in trail:
            return trail[trail.index(name) :]
        if name in done:
            return []
        for following in sorted(edges.get(name, frozenset())):
            if circle := walk(following, [*trail, name]):
                return circle
        done.add(name)
        return []

    return next((circle for name in sorted(edges) if (circle := walk(name, []))), [])
