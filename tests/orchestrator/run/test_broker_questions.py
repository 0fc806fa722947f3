"""A run whose orders go through a broker adapter: the same trades, and the same bytes wherever it is killed."""

from pathlib import Path
from typing import Any

import pytest

from orchestrator.trader.state import Standing
from tests.orchestrator.played_runs import walk
from tests.orchestrator.sent_runs import SentWorld, few_bars, ours, play_sent, records, wild

DAYS = ("2024-06-03", "2024-06-04", "2024-06-05")
PACKS = "configs/rules"
BOLD = {"risk_dollars": 900, "at_target": "trade_on"}
BRACKET = {"stop", "target"}
ACCOUNTS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "intraday floor": (BOLD, {*BRACKET, "liquidation"}),
    "static floor": ({"rules": f"{PACKS}/plain_static.toml", **BOLD}, BRACKET),
    "floor at the day's close": ({"rules": f"{PACKS}/apex_4_0.toml#50k-eod-pa", **BOLD}, BRACKET),
    "by seconds": ({"resolution": "seconds", **BOLD}, {*BRACKET, "liquidation"}),
    "adaptive": ({"resolution": "adaptive", **BOLD}, {*BRACKET, "liquidation"}),
    "thin market": ({"costs": {"volume_share": "0.02"}}, BRACKET),
    "slippage by volatility": ({"costs": {"slippage_atr_share": "0.1"}, **BOLD}, {*BRACKET, "liquidation"}),
}
"""Over the account of `played_runs` -> why its trades end, all of it met."""


@pytest.mark.parametrize("account", ACCOUNTS)
def test_trades_are_those_of_the_run_without_an_adapter(tmp_path: Path, account: str) -> None:
    """Every record but the broker's own inputs: fills, trades, floors, marks, days and attempts, to the cent."""
    given, reasons = ACCOUNTS[account]
    world = SentWorld(wild(walk(DAYS)), **given)

    play_sent(world, tmp_path / "computed", sends=False)
    play_sent(world, tmp_path / "sent")

    expected = ours(tmp_path / "computed")
    assert ours(tmp_path / "sent") == expected
    assert {content["reason"] for kind, content in expected if kind == "trade"} == reasons
    assert sum(kind == "cancelled" for kind, _ in expected) > 100 or account != "thin market"


def standing(last_bar: int) -> Standing:
    """Halted and flat for a while, at bars at which an order works or is open."""
    if last_bar % 100 in range(30, 45):
        return "halted"
    return "flat" if last_bar % 100 in range(70, 80) else "trading"


def test_sessions_that_break_off_and_a_persons_word_come_to_the_same(tmp_path: Path) -> None:
    """What is open when a session ends without a bar leaves at the last price, by the broker's word too."""
    left = [bar for bar in walk(DAYS) if bar.seq % 450 <= 266]
    world = SentWorld([bar.model_copy(update={"seq": seq}) for seq, bar in enumerate(left)])

    play_sent(world, tmp_path / "computed", sends=False, operator=standing)
    play_sent(world, tmp_path / "sent", operator=standing)

    expected = ours(tmp_path / "computed")
    assert ours(tmp_path / "sent") == expected
    assert {content["reason"] for kind, content in expected if kind == "trade"} >= {"flatten", "session_end"}
    assert "operator" in {content["code"] for kind, content in expected if kind == "cancelled"}


def test_the_broker_is_asked_while_something_is_open_or_works(tmp_path: Path) -> None:
    """Its word stands in the record before what follows from it: intent, answer, bar, executions, fill."""
    play_sent(SentWorld(few_bars()), tmp_path)

    kinds = [record.type for record in records(tmp_path)]
    first = kinds.index("intent")
    assert kinds[first : first + 5] == ["intent", "order", "bar", "executions", "fill"]
    assert all(kinds[n - 1] in ("executions", "fill", "trade") for n, kind in enumerate(kinds) if kind == "fill")
    unsynced = [each for each in records(tmp_path) if each.type in ("intent", "order") and not each.synced]
    told = [each for each in records(tmp_path) if each.type == "executions"]
    assert unsynced == [] and all(each.synced == bool(each.payload["executions"]) for each in told)
