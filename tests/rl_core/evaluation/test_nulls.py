"""Random entries: what they keep of the judged ones, where these stand among them, and that luck is told from skill."""

from functools import cache

import numpy as np
import pytest

from rl_core.evaluation import nulls
from rl_core.evaluation.accounts import play_account
from rl_core.evaluation.entrants import Signals, known_rule
from rl_core.evaluation.inputs import EvaluationInputs
from rl_core.evaluation.nulls import (
    AmongDraws,
    _among,
    _Moved,
    null_lines,
    random_entries,
    shuffled_days,
    written_rules,
)
from rl_core.evaluation.outcomes import Outcomes, outcomes_of
from rl_core.evaluation.span import span_of
from rl_core.evaluation.trades import Trades
from rl_core.features.market_view import MarketView
from rl_core.market.own_bracket import OwnBracket
from rl_core.market.types import Bracket
from rl_core.trading.hours import EntryHours
from rl_core.trading.setup import Trading
from tests.rl_core.markets import MNQ, legacy_pack, mnq_limits, mnq_venue, small_view

VIEW = small_view(0, 6)
TRADING = Trading(legacy_pack(), MNQ, mnq_venue(), mnq_limits(), EntryHours())
SPAN = span_of(VIEW.located.session, 0)
LONG = small_view(0, 14)
"""Days enough to be shuffled."""


def inputs(signals: Signals, view: MarketView = VIEW) -> EvaluationInputs:
    return EvaluationInputs(signals, view, TRADING, span_of(view.located.session, 0))


@cache
def tabulated(*, long: bool = False) -> Outcomes:
    view = LONG if long else VIEW
    return outcomes_of(inputs(known_rule("flat", view), view))


def entries(share: float, *, seed: int = 0, best: bool = False, long: bool = False) -> Signals:
    """Some closes of the span; bought or sold at random, or as it would have been best."""
    table = tabulated(long=long)
    rng, r = np.random.default_rng(seed), table.r
    may = np.flatnonzero(table.bars[:, 0] > 0)
    chosen = np.sort(rng.choice(may, int(share * len(may)), replace=False))
    side = np.zeros(len(table.bars), np.int8)
    side[chosen] = np.where(r[chosen, 0] > r[chosen, 1], 1, -1) if best else rng.choice((-1, 1), len(chosen))
    return Signals("some", side)


def traded(signals: Signals, view: MarketView = VIEW) -> Trades:
    return play_account("fresh", inputs(signals, view)).trades


def shuffled(signals: Signals, draws: int) -> AmongDraws:
    """The comparison of the trades of ``signals`` on the longer market."""
    found = shuffled_days(traded(signals, LONG), inputs(signals, LONG), tabulated(long=True), draws=draws)
    assert found is not None
    return found


def test_a_table_of_both_sides_holds_what_the_engine_trades() -> None:
    """To the cent, where the account is not in the way: the first trade of each session."""
    trades = traded(entries(0.05))
    firsts = np.unique(trades.session, return_index=True)[1]

    r, held = tabulated().usual(trades.decided[firsts], trades.side[firsts])

    np.testing.assert_allclose(r, trades.r[firsts], atol=1e-5)
    np.testing.assert_array_equal(held, trades.bars_held[firsts])


def test_a_bracket_of_ones_own_is_played_as_the_engine_plays_it() -> None:
    some = entries(0.05, seed=3)
    own = {bar: OwnBracket(Bracket(20 + bar % 30, 10 + bar % 50)) for bar in some.bars.tolist()}
    signals = Signals("own", some.side, own)
    trades = traded(signals)
    firsts = np.unique(trades.session, return_index=True)[1]
    at = trades.decided[firsts]

    r, held = tabulated().own(at, trades.side[firsts], Bracket(20 + at % 30, 10 + at % 50))

    np.testing.assert_allclose(r, trades.r[firsts], atol=1e-5)
    np.testing.assert_array_equal(held, trades.bars_held[firsts])


def test_random_entries_keep_count_hours_sides_and_sessions_and_hold_one_position() -> None:
    trades = traded(entries(0.03, seed=1))
    order = np.argsort(trades.session, kind="stable")
    moved = _Moved(trades.decided[order], trades.side[order], inputs(entries(0.03, seed=1)), tabulated())
    rng = np.random.default_rng(0)
    to = rng.integers(0, 4, (moved._group.max() + 1, 50))[moved._group]
    everywhere = np.ones(to.shape, bool)

    bar = moved._drawn(rng, to, everywhere)

    hour = VIEW.hours.decision_minute // 60
    np.testing.assert_array_equal(hour[bar], np.broadcast_to(hour[trades.decided[order]][:, None], bar.shape))
    for group in np.unique(moved._group):
        assert (np.ptp(VIEW.located.session[bar[moved._group == group]], axis=0) == 0).all()
    overlapping = moved._while_open(bar, moved._played(bar, everywhere)[1])
    assert overlapping.any() and not overlapping.all()
    for way in range(50):  # the slow way: each entry against those of its session that begin no later
        held = moved._played(bar, everywhere)[1]
        for one in np.flatnonzero(overlapping[:, way]):
            mates = moved._group == moved._group[one]
            begins, ends = bar[mates, way], (bar + held)[mates, way]
            assert ((begins <= bar[one, way]) & (bar[one, way] < ends)).sum() > 1


def test_entries_at_random_are_nothing_special_and_those_of_a_clairvoyant_are() -> None:
    """Twenty kinds of luck have p values all over; whoever knows the better side beats every draw."""
    lucky = [traded(entries(0.03, seed=seed)) for seed in range(20)]
    p_values = [random_entries(t, inputs(entries(0.03)), tabulated(), draws=500).p_value for t in lucky]  # type: ignore[union-attr]
    best = random_entries(traded(entries(0.03, best=True)), inputs(entries(0.03)), tabulated(), draws=500)

    assert best is not None and best.p_value == pytest.approx(1 / 501) and best.percentile == 100
    assert 0.3 < np.mean(p_values) < 0.7 and min(p_values) < 0.2 and max(p_values) > 0.8
    assert best.low < best.mean_r < best.high


def test_shuffled_days_keep_minutes_and_sides_and_lose_the_day() -> None:
    """Against loops over entries: the same minute of another day, made where no earlier one of that day is open."""
    trades = traded(entries(0.03, seed=2))  # of five days, which are enough to look at
    order = np.argsort(trades.decided, kind="stable")
    decided, side = trades.decided[order], trades.side[order]

    r, made = _Moved(decided, side, inputs(entries(0.03)), tabulated()).shuffled(np.random.default_rng(4), decided, 3)

    session, minute = VIEW.located.session, VIEW.hours.decision_minute
    days = np.unique(session[SPAN.first : SPAN.stop])
    may = SPAN.first + np.flatnonzero(tabulated().bars[SPAN.first : SPAN.stop, 0] > 0)
    rng = np.random.default_rng(4)
    for way in range(3):
        order_of_days = rng.permutation(len(days))
        free = dict.fromkeys(days.tolist(), 0)
        for row, (bar, s) in enumerate(zip(decided.tolist(), side.tolist(), strict=True)):
            day = int(days[order_of_days[np.searchsorted(days, session[bar])]])
            there = may[(session[may] == day)]
            at = next((b for b in there.tolist() if minute[b] >= minute[bar]), int(there[-1]))
            earned, held = tabulated().usual(np.array(at), np.array(s))
            assert made[row, way] == (at >= free[day])
            if made[row, way]:
                assert r[row, way] == earned
                free[day] = at + int(held)
    assert made.any() and not made.all()


def test_a_clairvoyant_beats_every_shuffle_and_luck_does_not() -> None:
    p_values = [shuffled(entries(0.03, seed=seed, long=True), 200).p_value for seed in range(8)]
    best = shuffled(entries(0.03, best=True, long=True), 200)

    assert best.p_value == pytest.approx(1 / 201) and best.percentile == 100
    assert 0.2 < np.mean(p_values) < 0.8 and best.low < best.mean_r < best.high
    assert "of 200 shuffles of its days" in null_lines(traded(entries(0.03)), None, best, [], 5)[3]


def test_shuffles_of_brackets_of_ones_own_are_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of thirty such brackets three hundred are played, ten shuffles, and never under fifty."""
    some = entries(0.01, seed=3, long=True)
    own = {bar: OwnBracket(Bracket(20, 60)) for bar in some.bars.tolist()}
    monkeypatch.setattr(nulls, "MOST_OWN", 300)

    found = shuffled(Signals("own", some.side, own), 200)

    assert found.draws == 50 and found.low < found.high


def test_few_days_are_not_shuffled() -> None:
    assert shuffled_days(traded(entries(0.03)), inputs(entries(0.03)), tabulated()) is None


def test_without_a_trade_nothing_is_compared() -> None:
    nothing = traded(known_rule("flat", VIEW))

    assert random_entries(nothing, inputs(known_rule("flat", VIEW)), tabulated()) is None
    assert shuffled_days(nothing, inputs(known_rule("flat", VIEW)), tabulated()) is None
    assert "-" in null_lines(nothing, None, None, [], 5)[2]


def test_written_rules_of_the_table_trade_as_the_engine_does() -> None:
    """One entry after another, as a loop over bars picks them."""
    rules = {rule.name: rule for rule in written_rules(inputs(known_rule("flat", VIEW)), tabulated())}

    assert rules["flat"].trades == 0 and rules["flat"].mean_r is None
    side, alone = known_rule("breakout", VIEW).side, []
    free = 0
    for bar in range(SPAN.first, SPAN.stop):
        if side[bar] and bar >= free and tabulated().bars[bar, 0] > 0:
            r, held = tabulated().usual(np.array(bar), np.array(side[bar]))
            alone.append(float(r))
            free = bar + int(held)
    assert rules["breakout"].trades == len(alone) and rules["breakout"].mean_r == pytest.approx(np.mean(alone))


def test_the_same_seed_gives_the_same_comparison() -> None:
    trades = traded(entries(0.02))

    one, again, other = (
        random_entries(trades, inputs(entries(0.02)), tabulated(), draws=200, seed=seed) for seed in (1, 1, 2)
    )

    assert one == again != other


def test_draws_that_earn_the_same_are_as_good_whatever_their_precision() -> None:
    """Draws come in single precision: -1.06 is -1.0599999427795410 there, and 0.7 is 0.699999988079071."""
    for own in (-1.06, 0.7):
        found = _among("random", own, np.full(99, np.float32(own), np.float64))

        assert found.p_value == 1 and found.percentile == 0
