"""What is said before a run begins: an old pack, a market that was assumed, and one that the policy never saw."""

import shutil
from pathlib import Path

import pytest

from orchestrator.run.config import RunConfig
from orchestrator.run.plan import plan_run, warn_of_old_rules
from rl_core.rules.pack import read_rule_pack
from tests.orchestrator.played_files import FileWorld
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


def test_a_run_says_which_market_it_assumed_and_which_its_policy_never_saw(
    file_world: FileWorld, tmp_path: Path
) -> None:
    """By a name without a market it is NQ, on which the policy was trained; ES has its tick, so no price would tell."""
    bars = Path(shutil.copy(file_world.bars, tmp_path / "minutes.parquet"))
    given = {"bars": bars, "checkpoint": file_world.checkpoint, "runs": tmp_path / "runs", "gate": {"engine": "rules"}}

    def notices(**settings: str) -> str:
        return "\n".join(plan_run(RunConfig.model_validate({**given, "sessions": 1, **settings})).notices)

    foreign = "the policy was trained on NQ, and these are bars of ES, which it never saw"
    assumed, named, other = notices(), notices(market="NQ"), notices(market="ES")
    assert "states no market: NQ assumed" in assumed and foreign not in assumed
    assert "assumed" not in named and foreign not in named
    assert foreign in other and "assumed" not in other
