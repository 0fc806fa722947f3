"""The commit of the code that runs, read from git's own files, as git itself need not be installed."""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


def code_commit(checkout: Path = CHECKOUT) -> str:
    """40 hex digits; "" where the code does not lie in a git checkout, as in a wheel, or no commit was made yet."""
    try:
        git = _git_folder(checkout)
        head = (git / "HEAD").read_text().strip()
        return _resolved(git, head.removeprefix("ref: ")) if head.startswith("ref: ") else head
    except OSError:
        return ""


def _git_folder(checkout: Path) -> Path:
    """The folder of git's files: ``.git``, or the one that a worktree's file ``.git`` names."""
    git = checkout / ".git"
    if git.is_dir():
        return git
    return checkout / git.read_text().strip().removeprefix("gitdir: ")


def _resolved(git: Path, reference: str) -> str:
    """What a branch points at: its own file if it has moved since ``git pack-refs``, else the packed line."""
    # A worktree has a HEAD of its own and shares the branches with the checkout that it was made from.
    shared = git / (git / "commondir").read_text().strip() if (git / "commondir").is_file() else git
    if (shared / reference).is_file():
        return (shared / reference).read_text().strip()
    if not (shared / "packed-refs").is_file():
        return ""
    rows = [line.split(" ", 1) for line in (shared / "packed-refs").read_text().splitlines() if line[:1] not in "#^"]
    return next((commit for commit, name in rows if name == reference), "")
