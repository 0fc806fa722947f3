"""Where files are found: in the current folder first, then those that ship with trigate, `configs/` and `prompts/`."""

from importlib.resources import files
from pathlib import Path

FOLDERS = ("configs", "prompts")


def shipped_root() -> Path:
    """The folder in which `configs/` and `prompts/` lie: the repository, or inside the installed package."""
    package = Path(str(files("trigate")))
    installed = package / "shipped"
    return installed if installed.is_dir() else package.parent


def found_file(path: Path) -> Path:
    """``path`` where it is there, else what ships under that name; ``path`` itself where there is neither.

    A relative path is taken from the current folder, so that a person's own file comes before a shipped one.
    """
    shipped = shipped_root() / path
    return shipped if _ships(path) and not path.exists() and shipped.exists() else path


def found_files(folder: Path, pattern: str) -> list[Path]:
    """The files of ``folder`` that match, and the shipped ones whose names are not among them, by name."""
    places = [folder, shipped_root() / folder] if _ships(folder) else [folder]
    by_name = {path.name: path for place in reversed(places) for path in place.glob(pattern)}
    return [by_name[name] for name in sorted(by_name)]


def _ships(path: Path) -> bool:
    """Whether a path is named as those that ship are."""
    return not path.is_absolute() and path.parts[:1] in [(folder,) for folder in FOLDERS]
