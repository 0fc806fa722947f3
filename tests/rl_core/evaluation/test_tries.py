"""Every try on the same sessions is counted once, whoever forgets it, and lines that cannot be read count too."""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from rl_core.evaluation.tries import ELSEWHERE, TRIES, new_try, note_try, registry_beside, tries_of
from rl_core.statistics.sharpe import sharpe_ratio
from trigate.errors import ResourceError


def test_the_same_try_counts_once_and_another_market_or_time_not_at_all(tmp_path: Path) -> None:
    registry = tmp_path / TRIES

    assert note_try(registry, new_try("a", "NQ", 100, 120)) == 1
    assert note_try(registry, new_try("a", "NQ", 100, 120)) == 1
    assert note_try(registry, new_try("b", "NQ", 120, 130)) == 2, "one session is shared"
    assert note_try(registry, new_try("c", "NQ", 121, 130)) == 2, "of those that it meets: b and itself"
    assert note_try(registry, new_try("d", "ES", 100, 130)) == 1
    assert note_try(registry, new_try("a", "NQ", 90, 140)) == 3, "a is one, however many spans it was judged on"
    assert note_try(registry, new_try("e", "NQ", 80, 90)) == 2, "its last session is a's first"
    assert len(registry.read_text().splitlines()) == 6


def test_what_cannot_be_read_was_a_try(tmp_path: Path) -> None:
    """A kill in the middle of a line leaves half of it; the next try begins a line of its own."""
    registry = tmp_path / TRIES
    note_try(registry, new_try("a", "NQ", 100, 120))
    registry.write_text(registry.read_text()[:-30])

    for _ in range(2):
        assert note_try(registry, new_try("b", "NQ", 100, 120)) == 2
        assert len(registry.read_text().splitlines()) == 2


def test_tries_at_the_same_time_are_all_counted(tmp_path: Path) -> None:
    registry = tmp_path / TRIES

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: note_try(registry, new_try(f"policy {n}", "NQ", 1, 2)), range(40)))

    assert note_try(registry, new_try("last", "NQ", 2, 2)) == 41


def test_a_registry_that_cannot_be_written_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="cannot write"):
        note_try(tmp_path / "no folder" / TRIES, new_try("a", "NQ", 1, 2))


def test_the_registry_lies_beside_the_run_unless_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert registry_beside(tmp_path / "runs/nq1") == tmp_path / "runs" / TRIES
    monkeypatch.setenv(ELSEWHERE, str(tmp_path / "all.jsonl"))
    assert registry_beside(tmp_path / "runs/nq1") == tmp_path / "all.jsonl"


def test_more_tries_leave_less_of_the_same_result() -> None:
    found = sharpe_ratio(np.random.default_rng(3).normal(0.25, 1, 120))

    chances = [tries_of(made, found).deflated for made in (1, 2, 31, 1000)]
    assert all(a is not None and b is not None and a > b for a, b in pairwise(chances))
    assert tries_of(31, None).deflated is None
