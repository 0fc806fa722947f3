"""Numbers with their nouns."""

import pytest

from rl_core.statistics.counts import counted


@pytest.mark.parametrize(("number", "told"), [(0, "0 seeds"), (1, "1 seed"), (2, "2 seeds"), (1_000, "1,000 seeds")])
def test_one_takes_no_s(number: int, told: str) -> None:
    assert counted(number, "seed") == told
