"""The commit in a manifest: from a branch's file, from packed references, in a worktree, and where there is none."""

import subprocess
from pathlib import Path

import pytest

from orchestrator.run.commit import code_commit


def git(folder: Path, *words: str) -> str:
    """What git prints."""
    author = ("-c", "user.name=a", "-c", "user.email=a@b")
    return subprocess.run(
        ["git", *author, *words], cwd=folder, capture_output=True, text=True, check=True, timeout=60
    ).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository of two commits, so that a stale answer is told from a fresh one."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=trunk/main")
    for text in ("one", "two"):
        git(folder, "commit", "--quiet", "--allow-empty", f"--message={text}")
    return folder


def test_a_branch_has_a_file_of_its_own(checkout: Path) -> None:
    assert code_commit(checkout) == git(checkout, "rev-parse", "HEAD")


def test_a_packed_branch_is_found_and_a_later_commit_comes_before_it(checkout: Path) -> None:
    git(checkout, "tag", "--annotate", "v1", "--message=v1")
    git(checkout, "pack-refs", "--all")
    packed = code_commit(checkout)
    assert packed == git(checkout, "rev-parse", "HEAD")

    git(checkout, "commit", "--quiet", "--allow-empty", "--message=three")

    assert code_commit(checkout) == git(checkout, "rev-parse", "HEAD") != packed


def test_a_detached_head_is_the_commit(checkout: Path) -> None:
    git(checkout, "checkout", "--quiet", "--detach", "HEAD~1")

    assert code_commit(checkout) == git(checkout, "rev-parse", "HEAD")


@pytest.mark.parametrize("packed", [False, True])
def test_a_worktree_shares_the_branches(checkout: Path, tmp_path: Path, packed: bool) -> None:
    git(checkout, "worktree", "add", "--quiet", "-b", "side", str(tmp_path / "side"), "HEAD~1")
    if packed:
        git(checkout, "pack-refs", "--all")

    assert code_commit(tmp_path / "side") == git(checkout, "rev-parse", "HEAD~1")


def test_code_outside_a_checkout_or_before_its_first_commit_has_none(tmp_path: Path) -> None:
    assert code_commit(tmp_path) == ""
    git(tmp_path, "init", "--quiet")

    assert code_commit(tmp_path) == ""
