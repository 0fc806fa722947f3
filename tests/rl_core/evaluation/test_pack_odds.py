"""What becomes of an attempt under a pack: by hand on sessions that all end alike, and what the table says."""

from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

import numpy as np
import pytest

from rl_core.evaluation.attempts_at_once import ENDINGS, Setting, play_packs
from rl_core.evaluation.pack_odds import (
    AccountValue,
    NamedPack,
    PackOdds,
    calendar_days,
    chosen_packs,
    odds_lines,
    odds_under,
    orders,
    orders_of_others,
    suiting,
    suiting_line,
)
from rl_core.evaluation.tapes import UNSEEN, Tape
from rl_core.market.types import ANY_MINIS, Limits, Terms
from rl_core.rules.fields import Fees
from rl_core.rules.pack import RulePack
from tests.rl_core.markets import legacy_pack
from trigate.errors import ConfigError

TERMS = Terms(tick_value=50, commission=0, slippage_ticks=1)
LIMITS = Limits(risk_budget=50_000, max_quantity=ANY_MINIS, per_mini=10)


def tape(gains: list[int]) -> Tape:
    """One trade a session of ten contracts, $5 a tick in all, with a stop of 100 ticks; losses fall straight down."""
    count = len(gains)
    gain, ones = np.array(gains), np.ones(count, np.int64)
    worst, best = np.maximum(-gain, 0), np.maximum(gain, 0)
    return Tape(
        session=np.arange(count),
        first=np.arange(count),
        trades=ones,
        stop_cents=5_000 * ones,
        stop_percent=34 * ones,
        fills=ones << 30,
        halved=np.zeros(count, np.bool_),
        gain=gain,
        worst=worst,
        best=best,
        best_held=UNSEEN * ones,
        drop=worst[:, None],
        loss=worst[:, None],
    )


def pack(**changed: object) -> RulePack:
    return legacy_pack().model_copy(update=changed)


def odds(gains: list[int], given: RulePack | None = None, draws: int = 400) -> PackOdds:
    named = NamedPack("one", given or pack())
    rules = named.pack.compiled()._replace(min_days=0)
    return odds_under([named], tape(gains), [Setting(rules, LIMITS, TERMS)], orders(len(gains), draws=draws))[0]


def test_sessions_that_all_win_pass_and_those_that_all_lose_leave_no_room() -> None:
    """The target of $3,000 is six times $500; the fourth loss leaves $500 of $2,500, which no trade may lose."""
    won, lost = odds([100] * 12), odds([-100] * 12)

    assert (won.passes, won.median_sessions, won.shares["passed"]) == (1.0, 6.0, 1.0)
    assert (lost.passes, lost.median_sessions, lost.shares["no_room"]) == (0.0, None, 1.0)
    assert won.interval == pytest.approx((1 / (1 + 3.8415 / 2), 1.0), abs=1e-3), "twelve sessions hold two attempts"


def test_a_fair_coin_passes_as_a_random_walk_does() -> None:
    """$500 up or down, from 0 to +6 before -4: probability 4 / 10; the floor that follows the best makes it less."""
    rng = np.random.default_rng(0)
    gains = (100 * rng.permutation(np.repeat([1, -1], 300))).tolist()
    named = NamedPack("one", pack())
    still = named.pack.compiled()._replace(min_days=0, ratchet=0)
    order = rng.integers(0, 600, (4_000, 250))

    settings = [Setting(still._replace(ratchet=ratchet), LIMITS, TERMS) for ratchet in (0, 3)]
    found, following = odds_under([named, named], tape(gains), settings, order)

    assert found.passes == pytest.approx(0.4, abs=0.03)
    assert following.passes is not None and following.passes < 0.3


def test_under_ten_sessions_there_is_no_interval() -> None:
    assert odds([100] * 9).interval is None and odds([100] * 10).interval is not None


def test_a_pack_without_a_target_has_nothing_to_pass() -> None:
    found = odds([1] * 12, pack(target=None))

    assert (found.passes, found.interval, found.shares["open"]) == (None, None, 1.0)


def test_orders_keep_weeks_together_and_use_every_session() -> None:
    order = orders(12, draws=500, horizon=23, block=5)

    assert order.shape == (500, 23) and set(np.unique(order)) == set(range(12))
    steps = np.diff(order, axis=1) % 12
    inside = np.arange(22) % 5 != 4
    assert (steps[:, inside] == 1).all() and (steps[:, ~inside] != 1).any()


def test_other_sessions_are_as_many_drawn_again_in_weeks() -> None:
    """Each set leaves some out and holds some twice; attempts and funded accounts meet the same sets."""
    first, second = (orders_of_others(40, sets=3, of_each=200, seed=seed, horizon=20) for seed in (2, 3))

    sets = [set(np.unique(each).tolist()) for each in first.reshape(3, -1)]
    assert [set(np.unique(each).tolist()) for each in second.reshape(3, -1)] == sets
    assert (first != second).any() and all(5 <= len(each) < 40 for each in sets) and sets[0] != sets[1]


def test_the_table_says_what_is_not_known() -> None:
    unknown, known = odds([100] * 12), replace(odds([100] * 12), pack=pack(fees=Fees(evaluation=Decimal(167))))

    assert odds_lines([unknown], 12)[-1].startswith("no expected value for 1 packs: configs/account_prices.toml has no")
    assert unknown.row()["expected_value"] == {"unknown": "no price of one in configs/account_prices.toml"}
    assert known.row()["fees_dollars"] == {"evaluation": 167.0}
    assert unknown.row()["fees_dollars"] is None
    assert "100.0%" in odds_lines([unknown], 12)[3]


def test_the_table_fits_eighty_columns_and_says_how_the_others_end() -> None:
    """The longest name of a pack that ships, and dollars of five digits."""
    shares = dict.fromkeys(ENDINGS, 0.0) | {"floor": 0.464, "no_room": 0.532, "open": 0.004}
    value = AccountValue(attempt=-12_345.6, lifetime=-23_456.7, payouts=0.0, fees=9_876.5, attempts=5.0)
    found = replace(
        odds([100] * 12),
        name="apex_4_0#150k-intraday-eval-tradovate",
        shares=shares,
        value=value,
        lifetime_between=(-23_456.0, -9_876.0),
    )

    lines = odds_lines([found], 12)

    assert lines[3] == "apex_4_0#150k-intraday-eval-tradovate   0.0%  34 to 100     6  53 room, 46 floor"
    assert lines[7] == "apex_4_0#150k-intraday-eval-tradovate  -12,346  -23,457 -23,456 to -9,876  9,876"
    assert max(len(line) for line in [*lines[2:4], *lines[6:]]) == 80


def test_an_account_suits_where_even_the_lower_bound_is_above_what_luck_can_reach() -> None:
    """A fair coin passes 2,500 / (2,500 + 3,000) = 45 % at most; 600 sessions that all win hold a hundred attempts."""
    sure, unsure = odds([100] * 600), odds([100] * 12)

    assert sure.luck == pytest.approx(2_500 / 5_500)
    assert suiting([sure]) == [sure] and suiting([unsure]) == []
    assert suiting_line([sure]) == "one: even the lower bound, widened for 1 packs, is above what luck can reach"
    assert suiting_line([unsure]) == (
        "none: the best, one, passes in 100% of attempts, of which 34% are sure as the best of 1 packs; luck without "
        "edge or cost reaches up to 45%"
    )
    assert suiting_line([odds([100] * 9)]).startswith("none can be named: under 10 sessions with trades")
    assert suiting_line([odds([1] * 12, pack(target=None))]) == "none: no pack has a target to pass"


def test_the_best_of_more_packs_has_to_be_surer() -> None:
    found = odds([100] * 40)

    bounds = [found.surely_passes(among) for among in (1, 10, 51)]
    assert all(a is not None and b is not None and a > b for a, b in pairwise(bounds))


def test_packs_played_beside_each_other_end_as_each_would_alone() -> None:
    """Every pack there is, in batches of a kind, against one at a time."""
    gains = np.random.default_rng(2).normal(10, 150, 40).astype(int).tolist()
    packs = chosen_packs("all")
    settings = [Setting(named.pack.compiled(), LIMITS, TERMS) for named in packs]
    order = orders(40, draws=50, horizon=60)

    together = odds_under(packs, tape(gains), settings, order)
    alone = [odds_under([p], tape(gains), [s], order)[0] for p, s in zip(packs, settings, strict=True)]

    assert together == alone and len({tuple(each.shares.values()) for each in together}) > 10


def test_attempts_that_wait_for_a_lane_end_as_if_all_began_together() -> None:
    """Nine lanes for the attempts of each kind: one begins where others have ended, so their days are not the same."""
    gains = np.random.default_rng(2).normal(10, 150, 40).astype(int).tolist()
    settings = [Setting(named.pack.compiled(), LIMITS, TERMS) for named in chosen_packs("all")][:9]
    order, days = orders(40, draws=50, horizon=60), calendar_days(60)

    few, many = (play_packs(tape(gains), settings, order, days, width=width) for width in (9, 10_000))

    for waited, at_once in zip(few, many, strict=True):
        assert waited.ending.tolist() == at_once.ending.tolist()
        assert waited.sessions.tolist() == at_once.sessions.tolist()
    assert len({int(took) for ended in few for took in ended.sessions}) > 10


def test_packs_are_named_as_elsewhere() -> None:
    assert len(chosen_packs("all")) >= 51
    assert [named.name for named in chosen_packs("plain_static, topstep_combine#50k")] == [
        "plain_static",
        "topstep_combine#50k",
    ]
    with pytest.raises(ConfigError, match="there is no such rule pack"):
        chosen_packs("plane_static")
