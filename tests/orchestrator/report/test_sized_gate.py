"""The sessions that a size is fitted on: what the gate lets through, as if each entry were an account's first."""

from pathlib import Path

import numpy as np
import pytest

from llm_gate.contract import EntryProposal, Label
from orchestrator.report.sized_gate import accounts_of, tape_let_through
from rl_core.evaluation.path_tables import PathTables
from rl_core.evaluation.size_near_floor import Accounts
from rl_core.evaluation.span import Span
from rl_core.evaluation.tapes import Tape
from rl_core.market.types import UNLIMITED
from rl_core.rules.prices import read_prices
from rl_core.trading.setup import TradingConfig, compile_trading
from tests.orchestrator.report.test_taught_on_span import FIRST_TAUGHT, policy
from tests.rl_core.markets import MNQ
from trigate.errors import ConfigError

JUDGED_UNTIL = 12


def let_through(label: Label, told: list[EntryProposal]) -> Tape:
    who, first, _ = policy()

    def judges(proposal: EntryProposal) -> Label:
        told.append(proposal)
        return label if proposal.side == "buy" else "approve"

    tables = PathTables(who.who, who.views.market, who.trading)
    return tape_let_through(tables, who.views, Span(int(first[FIRST_TAUGHT]), int(first[JUDGED_UNTIL])), judges)


def test_it_holds_the_entries_that_the_gate_approves() -> None:
    told: list[EntryProposal] = []
    every, sells = let_through("approve", told), let_through("veto", [])

    assert len(every.session) == len(sells.session) == JUDGED_UNTIL - FIRST_TAUGHT
    buys = sum(proposal.side == "buy" for proposal in told)
    assert 0 < buys < len(told) and every.trades.sum() <= len(told)
    assert every.trades.sum() - sells.trades.sum() >= buys // 2 > 2


def test_what_the_gate_shrinks_is_on_the_tape_whole_and_marked() -> None:
    """A veto frees the account for a later entry and a shrunk one does not, so the trades are those of approving."""
    told: list[EntryProposal] = []
    every, shrunk = let_through("approve", []), let_through("shrink", told)

    buys = sum(proposal.side == "buy" for proposal in told)
    assert (shrunk.gain == every.gain).all() and not every.halved.any()
    assert 0 < shrunk.halved.sum() <= buys < len(told)
    assert len(shrunk.halved) - shrunk.halved.sum() <= len(told) - buys


@pytest.mark.parametrize("name", ["topstep_combine#50k", "apex_4_0#50k-eod-eval-rithmic"])
def test_the_account_of_a_priced_pack_is_followed_by_the_one_that_a_pass_opens(name: str) -> None:
    trading = compile_trading(TradingConfig(rules=Path(f"configs/rules/{name.replace('#', '.toml#')}")), MNQ)

    accounts = accounts_of(trading, read_prices())

    assert accounts.price == read_prices()[name] and accounts.by == "dollars"
    assert accounts.setting.rules.target < UNLIMITED and accounts.funded is not None
    assert accounts.funded.rules.target == UNLIMITED and accounts.funded.limits.risk_budget == 50_000
    assert accounts_of(trading, None) == Accounts(accounts.setting)
    with pytest.raises(ConfigError, match="nobody knows what an attempt is worth"):
        accounts_of(trading, {})


def test_the_gate_is_told_of_a_new_account_each_time() -> None:
    """No account stops a tape, so its room is a billion; a regression that was told that would judge something else."""
    told: list[EntryProposal] = []
    let_through("approve", told)

    rooms = np.array([proposal.context.room_to_floor_risks_milli for proposal in told])
    assert len(rooms) > 10 and rooms.min() > 4_000 and rooms.max() < 20_000
    assert {proposal.context.losing_streak for proposal in told} == {0}
