"""Whoever enters is played by one engine: a policy bar by bar as all at once, a list of entries as its rule would."""

import numpy as np
import pytest

from rl_core.evaluation.accounts import play_account
from rl_core.evaluation.carried import FRESH, play_carried
from rl_core.evaluation.entrants import Signals, Trained, channel_breakout, known_rule
from rl_core.evaluation.evaluate import evaluate
from rl_core.evaluation.inputs import EvaluationInputs
from rl_core.evaluation.span import Span, span_of
from rl_core.evaluation.trades import Trades
from rl_core.market.types import INTRADAY, NEVER_LOCKS, Rules
from rl_core.trading.hours import EntryHours
from rl_core.trading.setup import Trading
from tests.rl_core.evaluation.test_evaluate import always
from tests.rl_core.markets import MNQ, legacy_pack, mnq_limits, mnq_venue, small_view
from trigate.errors import ConfigError

TIGHT = Rules(5_000_000, 60_000, 100_000, INTRADAY, NEVER_LOCKS)


def trading(rules: Rules | None = None) -> Trading:
    return Trading(legacy_pack(), MNQ, mnq_venue(rules=rules), mnq_limits(), EntryHours())


def whole() -> Span:
    return span_of(small_view().located.session, 0)


def assert_same_trades(one: Trades, other: Trades) -> None:
    """All but the number of the account, which counts sessions that can be entered in one and all in the other."""
    for name in set(Trades._fields) - {"attempt"}:
        np.testing.assert_array_equal(getattr(one, name)[np.argsort(one.decided)], getattr(other, name), name)


@pytest.mark.parametrize("rules", [None, TIGHT])
def test_a_fresh_account_bar_by_bar_trades_as_all_sessions_at_once(rules: Rules | None) -> None:
    """Under the tight rules accounts fail and pass within their session."""
    view = small_view(0, 6)
    span = span_of(view.located.session, 0)

    at_once = evaluate(always(1), view, trading(rules), span.first, span.stop)
    bar_by_bar = play_carried(Trained(always(1)), view, trading(rules), span, accounts=FRESH)

    assert_same_trades(at_once.trades, bar_by_bar.trades)
    ends = [ended.status for ended in bar_by_bar.ended]
    assert at_once.failed_sessions == ends.count("failed")
    assert rules is None or {"failed", "passed"} <= set(ends)


def test_a_list_of_entries_trades_as_the_policy_that_made_them() -> None:
    view, span = small_view(), whole()
    bought = evaluate(always(1), view, trading(), span.first, span.stop).trades
    side = np.zeros(len(view.bars), np.int8)
    side[bought.decided] = 1

    again = play_account("fresh", EvaluationInputs(Signals("list", side), view, trading(), span))

    assert_same_trades(bought, again.trades)
    assert again.summary()["entries_given"] == again.summary()["entries_traded"] == len(bought.r)


def test_the_written_rules_trade_as_they_say() -> None:
    """Flat never, long never short, breakout with the move and both ways."""
    view, span = small_view(), whole()
    played = {
        name: play_account("fresh", EvaluationInputs(known_rule(name, view), view, trading(), span)).trades
        for name in ("flat", "long", "breakout")
    }

    assert len(played["flat"].r) == 0 and set(played["long"].side) == {1} and set(played["breakout"].side) == {1, -1}
    with pytest.raises(ConfigError, match="flat, long, breakout"):
        known_rule("sideways", view)


def test_a_breakout_is_a_close_far_from_the_mean_of_twenty() -> None:
    """Against the definition, bar by bar in floats."""
    view = small_view()
    close, atr = view.bars.close.astype(float), view.features.true_range_sum / 14

    side = channel_breakout(view).side

    for bar in range(19, 1500):
        away = close[bar] - close[bar - 19 : bar + 1].mean()
        assert side[bar] == (0 if abs(away) <= 2 * atr[bar] else np.sign(away)), bar
    assert not side[:19].any() and 0.01 < (side != 0).mean() < 0.6
