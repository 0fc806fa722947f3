"""What the trader knows at a close: a flat one that may not enter is asked for no arithmetic, to the same answer."""

import pytest

from llm_gate.contract import Approve
from orchestrator.trader.at_close import legal_at_close, limits_now, venue_after_close
from rl_core.market.broker import XP
from rl_core.market.decisions import legal_actions
from tests.orchestrator.driven_trader import QUIET, entered, quiet


@pytest.mark.parametrize("entry_open", [True, False])
@pytest.mark.parametrize("flatten_due", [True, False])
@pytest.mark.parametrize("held", [True, False])
def test_what_is_legal_is_what_the_environment_says(entry_open: bool, flatten_due: bool, held: bool) -> None:
    drive = entered(Approve()) if held else quiet()
    drive.play(QUIET)  # at whose open an order fills
    assert drive.state.view is not None and (drive.state.broker.position.quantity != 0) == held
    view = drive.state.view._replace(entry_open=entry_open, flatten_due=flatten_due)
    state, setting = drive.state._replace(view=view), drive.setting

    known, legal = legal_at_close(state, setting)

    terms, limits = venue_after_close(state, setting).terms, limits_now(state, setting)
    assert legal == legal_actions(XP, state.broker.position, state.broker.account, known, terms, limits)
    assert legal.enter == (entry_open and not flatten_due and not held)
