"""The checklist: each line says met, not met or why it cannot be said, and its figures are those of the evaluation."""

import math

import numpy as np
import pytest

from rl_core.evaluation.accounts import play_account
from rl_core.evaluation.checklist import Judged, Line, checklist, drawdown_of
from rl_core.evaluation.choices import Choices, ChoicesSeen, entropy_of
from rl_core.evaluation.entrants import Trained
from rl_core.evaluation.evaluate import Evaluation
from rl_core.evaluation.inputs import EvaluationInputs
from rl_core.evaluation.span import Span
from rl_core.evaluation.trades import trades_from
from rl_core.rules.pack import RulePack
from tests.rl_core.evaluation.test_evaluate import always, trading
from tests.rl_core.markets import legacy_pack, small_view

ALL_SIX = Choices(100, 0.4, {"hold": 50, "buy": 20, "sell": 10, "breakeven": 5, "trail_on": 9, "trail_off": 6})
SHARES = np.array([[math.log(0.5), math.log(0.25), math.log(0.25)]], np.float32)


def evaluation(pnl: list[int], failed: int = 0) -> Evaluation:
    """One trade a session with this many cents, each risking 100 dollars."""
    rows = [(n, n + 1, 1, 10 * n, 0, 10 * n + 5, 0, 1, cents, 10_000) for n, cents in enumerate(pnl)]
    return Evaluation(trades_from(rows), max(1, len(pnl)), failed, None)


def lines(judged: Judged) -> dict[str, Line]:
    return {line.asked: line for line in checklist(judged)}


def judged(pnl: list[int], **changed: object) -> Judged:
    usual = Judged(evaluation(pnl), allowed(), ALL_SIX, "", "", False, evaluation(pnl))
    return usual._replace(**changed)


def allowed() -> RulePack:
    return legacy_pack().model_copy(update={"automation": "allowed", "not_simulated": (), "fees": None})


def test_everything_is_met_where_it_is() -> None:
    """30 sessions of +300 and -100 dollars in turn: payoff 3 needs a quarter of winners, half win."""
    found = lines(judged([30_000, -10_000] * 15))

    assert {line.word for line in found.values()} == {"met"} and len(found) == 8
    assert found["win rate above what its payoff needs"].measured == "50.0 % at payoff 3.00".replace(" %", "%")
    assert found["win rate above what its payoff needs"].why == "which needs 25.0%"
    assert found["drawdown under $2,500"].measured == "$100"


def test_nothing_is_met_where_nothing_is() -> None:
    """300 dollars lost each session: 9,000 of drawdown, below phase 1's 30; a policy that is sure and only holds."""
    sure = Choices(10, 0.01, {**dict.fromkeys(ALL_SIX.actions, 0), "hold": 10})
    loses, banned = [-30_000, 10_000, -30_000] * 10, allowed().model_copy(update={"automation": "banned"})

    found = lines(
        judged(loses, evaluation=evaluation(loses, failed=1), choices=sure, pack=banned, phase1=evaluation([-3_000]))
    )

    assert {line.word for line in found.values()} == {"not met"}
    assert found["all six actions used"].why == "never buy, sell, breakeven, trail_on, trail_off"
    assert found["drawdown no worse than phase 1's"].measured == "$5,000 to $30"


def test_what_cannot_be_said_says_why() -> None:
    found = lines(judged([], choices=None, no_choices="no policy", phase1=None, pack=legacy_pack()))
    whys = {line.asked.split()[0]: line.why for line in found.values() if line.word == "cannot be said"}

    by_hand = lines(judged([30_000, -10_000], by_hand=True))["automated trading allowed"]
    assert by_hand.word == "cannot be said" and "by hand" in by_hand.why
    assert whys["entropy"] == "no policy" and whys["drawdown"] == "no trade was closed"
    assert whys["win"] == "no winner and loser to compare"
    assert whys["out-of-sample"] == "too few sessions with trades for a ratio"
    seen = lines(judged([30_000, -10_000] * 15, out_of_sample="they were seen", phase1=None))
    assert seen["out-of-sample Sharpe ratio above 2 a year"].word == "cannot be said"
    assert "--phase1 RUN" in seen["drawdown no worse than phase 1's"].why


def test_drawdown_is_of_one_account_that_nothing_stops() -> None:
    """+50, -80, +10, -40: the best is 50, the lowest after it -60, so 110; it begins at 0, not at the first trade."""
    assert drawdown_of(evaluation([5_000, -8_000, 1_000, -4_000]).trades) == 11_000
    assert drawdown_of(evaluation([-2_000, 5_000]).trades) == 2_000
    assert drawdown_of(evaluation([]).trades) == 0


def test_entropy_is_of_the_legal_actions_alone() -> None:
    """A half and two quarters: 1.5 bits; without the last action 2/3 and 1/3; alone nothing."""
    legal = np.array([[True, True, True], [True, True, False], [True, False, False]])

    found = entropy_of(np.repeat(SHARES, 3, axis=0), legal)

    thirds = -(2 / 3 * math.log(2 / 3) + 1 / 3 * math.log(1 / 3))
    assert found == pytest.approx([1.5 * math.log(2), thirds, 0.0], abs=1e-6)


def test_choices_are_those_of_the_evaluation_that_is_judged() -> None:
    """Always in: an entry was one of three, with e / (e + 2); with a position whatever is legal is as likely."""
    policy, view = always(1, actions=6), small_view()
    seen, inputs = ChoicesSeen(policy), EvaluationInputs(Trained(policy), view, trading(), Span(0, len(view.bars)))

    trades = play_account("fresh", inputs, seen).trades

    found = seen.so_far
    assert len(trades.r) <= found.actions["buy"] <= len(trades.r) + 2 and found.actions["sell"] == 0
    assert sum(found.actions.values()) == found.closes > found.actions["buy"]
    flat = math.log(math.e + 2) - math.e / (math.e + 2)
    assert found.entropy is not None
    held = (found.closes * found.entropy - found.actions["buy"] * flat) / (found.closes - found.actions["buy"])
    assert math.log(2) - 1e-6 <= held <= math.log(3) + 1e-6
