"""The judgement takes what the registry counts and where the bars come from; a backtest in sample proves nothing."""

import numpy as np
import pytest

from rl_core.evaluation.evaluate import Evaluation
from rl_core.evaluation.judgement import Circumstances, judge
from rl_core.evaluation.seen_until import NOBODY_SAID
from rl_core.evaluation.trades import Trades
from rl_core.statistics.bootstrap import session_block_bootstrap
from rl_core.statistics.criteria import PolicyCriteria

CLEAN = Circumstances(in_sample=False, synthetic=False, trained_on_world=False, training_ended=True)
TRADES, WINNERS, NET, DRAWDOWN = 301, 191, 43_718_400, 1_866_500  # cents
LOSS = DRAWDOWN // 5  # five in a row, once


def evaluation_of(pnl: np.ndarray, sessions: int) -> Evaluation:
    """Trades of one risk, spread evenly over the sessions."""
    none = np.zeros(len(pnl), np.int64)
    columns = dict.fromkeys(Trades._fields, none) | {
        "session": np.arange(len(pnl)) * sessions // len(pnl),
        "pnl_cents": pnl.astype(np.int64),
        "risk_cents": none + LOSS,
    }
    trades = Trades(**columns)
    return Evaluation(trades, sessions, 0, session_block_bootstrap(trades.r, trades.session))


@pytest.fixture(scope="module")
def fine_backtest() -> Evaluation:
    """301 trades, 63.5 % winners, $437,184 and a drawdown of $18,665, as a trained system once reported of itself."""
    wins = np.ones(TRADES, bool)
    wins[100:105] = False  # the drawdown; every other loss stands alone
    wins[np.r_[0:99:2, 106:216:2]] = False
    pnl = np.where(wins, (NET + LOSS * (TRADES - WINNERS)) // WINNERS, -LOSS)
    pnl[-1] += NET - pnl.sum()
    return evaluation_of(pnl, 150)


def test_the_backtest_is_the_one_that_was_reported(fine_backtest: Evaluation) -> None:
    pnl = fine_backtest.trades.pnl_cents
    equity = np.append(0, np.cumsum(pnl))

    assert (len(pnl), int((pnl > 0).sum())) == (TRADES, WINNERS) and round(100 * WINNERS / TRADES, 1) == 63.5
    assert pnl.sum() == NET and (np.maximum.accumulate(equity) - equity).max() == DRAWDOWN


def test_a_fine_backtest_on_its_training_bars_is_in_sample_and_says_why(fine_backtest: Evaluation) -> None:
    verdict, tries = judge(fine_backtest, 1, CLEAN._replace(in_sample=True), PolicyCriteria())

    assert verdict.word == "IN SAMPLE" and tries.made == 1
    assert verdict.reasons == (
        "bars that the policy or its phase 1 was trained on, or that had been seen, are included",
    )


def test_without_a_word_on_what_was_seen_it_is_not_proven(fine_backtest: Evaluation) -> None:
    """The same trades as a list of entries of which nobody says where they come from."""
    verdict, _ = judge(fine_backtest, 1, CLEAN._replace(doubts=(NOBODY_SAID,)), PolicyCriteria())

    assert verdict.word == "NOT PROVEN" and "nobody has said which bars" in verdict.reasons[0]
    assert "would be clear without these doubts" in verdict.reasons[-1]


@pytest.mark.parametrize(("tries", "word"), [(1, "PASS"), (40, "NOT PROVEN")])
def test_forty_looks_take_what_one_look_proves(tries: int, word: str) -> None:
    """240 trades at +0.21 R with 3:1 brackets: clear of zero once, and no better than the luckiest of forty."""
    rng = np.random.default_rng(3)
    pnl = np.rint(LOSS * (rng.permutation(np.tile([2.0, -1.0, -1.0], 80)) + 0.21)).astype(np.int64)

    verdict, counted = judge(evaluation_of(pnl, 80), tries, CLEAN, PolicyCriteria())

    assert (verdict.word, counted.made) == (word, tries)
