"""What ends with a session or a contract: entries are counted anew, and a position goes at the last price."""

from driven_trader import QUIET, entered, settings_for, types

from llm_gate.contract import Approve
from rl_core.contract import BUY


def test_entries_are_counted_anew_in_a_new_session() -> None:
    drive = entered(Approve(), settings_for(max_entries_per_session=1))
    drive.play(QUIET)

    drive.play(QUIET._replace(session_break=True, action=BUY))

    assert types(drive).count("intent") == 2 and drive.state.entries_this_session == 1


def test_a_position_ends_with_its_contract_at_the_last_price_and_fills_in_no_other() -> None:
    """The next bar is of another contract, 500 ticks away: nothing of that distance is earned."""
    drive = entered(Approve())
    drive.play(QUIET)
    drive.contract = 1

    drive.play(QUIET._replace(gap=500))

    (trade,) = [record.payload for record in drive.records if record.type == "trade"]
    assert drive.state.broker.position.quantity == 0
    assert abs(trade["gross"]) <= 12 * 2 * 50, "two slippages of 12 contracts at most"
