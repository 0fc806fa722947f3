"""A pack that was read too long ago is said so before a run or a training begins."""

import pytest

from orchestrator.run.plan import warn_of_old_rules
from rl_core.rules.pack import read_rule_pack
from tests.rl_core.markets import RULES_FOLDER

NS = 1_000_000_000
DAY = 86_400 * NS


@pytest.mark.parametrize(("days", "warnings"), [(90, 0), (91, 1)])
def test_a_run_warns_from_the_91st_day_on(days: int, warnings: int) -> None:
    pack = read_rule_pack(RULES_FOLDER / "plain_static.toml")
    said: list[str] = []
    read_ns = (pack.as_of.toordinal() - 719_163) * DAY

    warn_of_old_rules(pack, read_ns + days * DAY, said.append)

    assert len(said) == warnings
    assert all("2026-11-22, 91 days ago" in text for text in said)
