"""The first tile of the page: what became of the account that a trader would have bought, and of the last one."""

import json
from pathlib import Path

import pytest
from played_runs import every_tenth_minute, play, text_of, walk

from orchestrator.report.account_book import EquityPoint, Event, account_book
from orchestrator.report.attempts import would_pass
from orchestrator.report.formats import break_even_in_words, passing_in_words, plain_percent
from orchestrator.report.report import report_on
from orchestrator.run.folder import RunFolder
from rl_core.market.types import STATIC, UNLIMITED, Rules
from rl_core.statistics.break_even import BreakEven

DAY = ("2024-06-03",)
RULES = Rules(start=5_000_000, target=300_000, max_loss=250_000, ratchet=STATIC, floor_cap=1 << 60)


def point(equity: int, floor: int = 4_750_000) -> EquityPoint:
    return EquityPoint(9, 1, equity, floor, 0, "mark")


def test_the_first_account_and_the_last_distance_are_told() -> None:
    empty = account_book(())

    still = would_pass(empty, [point(5_100_000)], RULES)
    aimless = would_pass(empty, [point(4_700_000)], RULES._replace(target=UNLIMITED))

    assert still is not None and aimless is not None
    assert (still.word, still.to_target, still.room) == ("not yet", 200_000, 350_000)
    assert (aimless.word, aimless.to_target, aimless.room) == ("nothing to pass", None, 0)
    assert would_pass(empty, [], RULES) is None


def test_an_account_that_its_gate_stranded_is_not_said_to_have_had_no_room() -> None:
    """It had room for a trade, and every entry was vetoed."""
    ended = {"attempt": 1, "status": "stranded"}

    said = [
        would_pass(account_book(())._replace(events=(Event("account_ended", how, 9),)), [point(4_850_000)], RULES)
        for how in (ended, ended | {"refused_sessions": 3})
    ]

    no_room, refused = (passing_in_words(passing) for passing in said if passing is not None)
    assert no_room.startswith("no: the first account had no room left for a trade; ")
    assert refused.startswith("no: the gate vetoed every entry of the first account near its floor; ")


def test_costs_at_which_nothing_is_left_are_told_of_a_profit_and_of_a_loss() -> None:
    """A loss has no profit that could be gone."""
    assert (
        break_even_in_words(BreakEven(5.84, 4.99, 2.495)) == "more a fill, or $2.50 more a side, and the profit is gone"
    )
    assert break_even_in_words(BreakEven(-27.74, -26.5, -13.25)) == (
        "so much better each fill had to be, or commissions $13.25 a side lower, to lose nothing"
    )
    assert break_even_in_words(None) == "no trade"


def test_a_page_answers_would_i_have_passed_and_which_account_suits(won: RunFolder, tmp_path: Path) -> None:
    bars = walk(DAY)
    short = play(tmp_path / "short", bars, every_tenth_minute(bars))

    summaries = [report_on(folder.path) for folder in (won, short)]

    said = json.loads((won.path / "verdict.json").read_text())
    assert said["would_have_passed"]["word"] == "yes" and said["rule_packs"][0]["pass_probability"] == 1
    assert summaries[0]["would_have_passed"].startswith("yes: the first account passed; the last one has $")
    assert (
        summaries[0]["account_that_suits"] == said["account_that_suits"] and "of 35 packs" in said["account_that_suits"]
    )
    assert "would I have passed?" in text_of(won) and "apex_4_0#150k-eod-eval-rithmic" in text_of(won)
    assert summaries[1]["account_that_suits"] == (
        "none can be named: entries in fewer than 5 sessions, or the run has not ended"
    )
    assert json.loads((short.path / "verdict.json").read_text())["rule_packs"] == []


@pytest.mark.parametrize(
    ("share", "shown"), [(0.0, "0 %"), (0.001, "< 1 %"), (0.5, "50 %"), (0.999, "> 99 %"), (1.0, "100 %")]
)
def test_nearly_all_is_not_rounded_to_all(share: float, shown: str) -> None:
    assert plain_percent(share) == shown
