"""The shape of the packages, `make shape`: entries of each folder, longest files, arrows between folders, cycles."""

from collections import Counter
from pathlib import PurePosixPath

from tests.import_graph import PACKAGES, Sources, cycle_in, folder_edges, module_edges, sources

MOST_LINES = 400
MOST_ENTRIES = {"trigate": 14, "rl_core": 22, "orchestrator": 12, "llm_gate": 12}


def entries(found: Sources) -> dict[str, int]:
    """Folder -> how many modules and folders it holds, its own `__init__.py` counted."""
    places = {PurePosixPath(path) for path in found}
    places |= {parent for place in places for parent in place.parents if len(parent.parts) > 1}
    return dict(sorted(Counter(str(place.parent) for place in places).items()))


def main() -> None:
    """Print it; exit 1 if a limit is passed."""
    found = sources()
    held, folders = entries(found), folder_edges(found)
    lines = Counter({path: text.count("\n") for path, text in found.items()})
    print(f"{'entries':>7}  folder -> imports from")
    for folder, count in held.items():
        arrows = ", ".join(sorted(folders.get(folder, ())))
        print(f"{count:>7}  {folder}{f' -> {arrows}' if arrows else ''}")
    print(f"\n{'lines':>7}  the longest of {len(found)} files")
    for path, count in lines.most_common(8):
        print(f"{count:>7}  {path}")
    cycles = {"files": cycle_in(module_edges(found)), "folders": cycle_in(folders)}
    print()
    for kind, cycle in cycles.items():
        print(f"cycle between {kind}: {' -> '.join(cycle) or 'none'}")
    too_many = [name for name in PACKAGES if held[name] > MOST_ENTRIES[name]]
    too_long = [path for path, count in lines.items() if count > MOST_LINES]
    if too_many or too_long or any(cycles.values()):
        raise SystemExit(f"past a limit: {', '.join([*too_many, *too_long, *(k for k, c in cycles.items() if c)])}")


if __name__ == "__main__":
    main()
