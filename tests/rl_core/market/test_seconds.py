"""Minutes by their seconds: by hand, against the tick-by-tick walk, and climbed by rungs in a batch."""

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rl_core.bars.bars import Bars
from rl_core.bars.rungs import Ladder, ladder_of
from rl_core.envs.climb import Rungs, play_minute
from rl_core.exchange.calendar import NS_PER_MINUTE
from rl_core.exchange.instruments import instrument
from rl_core.market.fills import Venue, play_bar
from rl_core.market.seconds import add_up, play_seconds
from rl_core.market.seconds import play_minute as play_one_minute
from rl_core.market.types import (
    DAILY_LOSS,
    EXIT_NAMES,
    FLAT,
    INTRADAY,
    LIQUIDATION,
    NEVER_LOCKS,
    NO_EXIT,
    NO_ORDER,
    SECONDS,
    STATIC,
    STOP,
    TARGET,
    Account,
    BarOutcome,
    BarPrices,
    Order,
    PlainIntegers,
    Position,
    Rules,
    Terms,
)
from tests.rl_core.market.cases import Case, Minute, draw_minute_case, mirrored
from tests.rl_core.market.oracle import Outcome, outcome

XP = PlainIntegers()
MNQ = Terms(tick_value=50, commission=60, slippage_ticks=1)
ROOMY = Rules(start=5_000_000, target=300_000, max_loss=250_000, ratchet=STATIC, floor_cap=NEVER_LOCKS)
ACCOUNT = Account(cash=5_000_000, floor=4_750_000)
LONG = Position(quantity=2, entry=1000, stop=970, target=1090, stop_ticks=30, trailing=0, bars_held=4)
SHORT = Position(quantity=-2, entry=1000, stop=1030, target=910, stop_ticks=30, trailing=0, bars_held=4)


def minute_of(seconds: Sequence[BarPrices]) -> BarPrices:
    high, low = max(s.high for s in seconds), min(s.low for s in seconds)
    return BarPrices(seconds[0].open, high, low, seconds[-1].close)


def flats(*prices: int) -> list[BarPrices]:
    """One trade a second."""
    return [BarPrices(p, p, p, p) for p in prices]


def play(
    position: Position,
    seconds: Sequence[BarPrices],
    *,
    order: Order = NO_ORDER,
    account: Account = ACCOUNT,
    rules: Rules = ROOMY,
) -> BarOutcome:
    return play_seconds(position, account, order, minute_of(seconds), seconds, Venue(MNQ, rules, SECONDS))


def test_seconds_that_are_not_the_whole_minute_are_not_used() -> None:
    """The minute trades through the target and at the stop, and the one second that is there saw the target alone."""
    minute, some = BarPrices(1050, 1100, 960, 1000), flats(1091)
    venue = Venue(MNQ, ROOMY, SECONDS)

    played = play_one_minute(LONG, ACCOUNT, NO_ORDER, minute, some, venue)

    assert played == play_bar(XP, LONG, ACCOUNT, NO_ORDER, minute, venue)
    assert played.exit_reason == STOP
    assert play_seconds(LONG, ACCOUNT, NO_ORDER, minute, some, venue).exit_reason == TARGET


def test_seconds_say_which_came_first() -> None:
    """1091 before 960 is the target at 1090; 970 before 1091 is the stop at 969. No minute bar can tell them apart."""
    target_first, stop_first = flats(1050, 1091, 960), flats(1050, 970, 1091, 960)

    assert minute_of(target_first) == minute_of(stop_first)
    assert play(LONG, target_first)[4:6] == (1090, TARGET)
    assert play(LONG, stop_first)[4:6] == (969, STOP)
    assert not play(LONG, target_first).ambiguous


def test_both_levels_within_one_second_stop_and_say_so() -> None:
    played = play(LONG, [*flats(1050), BarPrices(1050, 1091, 970, 1060)])

    assert (played.exit_reason, played.exit_price, played.ambiguous) == (STOP, 969, True)


def test_a_second_that_opens_beyond_the_stop_fills_at_its_open() -> None:
    """1000, then 950 after silent seconds: 970 never traded, so 949; a short's 1030 likewise."""
    assert play(LONG, flats(1000, 950, 1000)).exit_price == 949
    assert play(SHORT, flats(1000, 1050, 1000)).exit_price == 1051
    assert play_bar(XP, LONG, ACCOUNT, NO_ORDER, BarPrices(1000, 1000, 950, 1000), Venue(MNQ, ROOMY, 0))[4] == 969


def test_an_entry_meets_the_minutes_open_and_its_bracket_lives_in_the_same_second() -> None:
    """Open 1000: bought at 1001, stop 971; the first second's low of 971 stops at 970. A flatten leaves at 999."""
    bought = play(FLAT, [BarPrices(1000, 1001, 971, 980), *flats(1200)], order=Order(2, 30, 90, False))
    flat = play(LONG, flats(1000, 1200), order=Order(0, 1, 3, True))

    assert (bought.entry_price, bought.exit_price, bought.risk) == (1001, 970, 3_000)
    assert EXIT_NAMES[flat.exit_reason] == "flatten" and flat.exit_price == 999


def test_the_bars_held_are_minutes_and_the_stop_stays_until_the_close() -> None:
    played = play(LONG._replace(trailing=1), flats(*range(1000, 1060)))

    assert played.position == LONG._replace(trailing=1, bars_held=5)


def test_an_intraday_floor_follows_the_best_price_so_far_and_not_the_one_to_come() -> None:
    """2 x 50 cents, max loss 5,000: the floor is 50 ticks below the best. 1040 then 990 liquidates, 990 first not."""
    rules, account = ROOMY._replace(max_loss=5_000, ratchet=INTRADAY), Account(5_000_000, 4_995_000)

    after = play(LONG, flats(1000, 1040, 990), account=account, rules=rules)
    before = play(LONG, flats(1000, 990, 1040), account=account, rules=rules)

    assert (after.exit_reason, after.exit_price, after.account.floor, after.failed) == (
        LIQUIDATION,
        989,
        4_999_000,
        True,
    )
    assert (before.exit_reason, before.account.floor, before.failed) == (NO_EXIT, 4_999_000, False)


def test_a_low_that_is_not_the_minutes_lowest_touches_a_floor_that_followed_the_best_price() -> None:
    """Max loss 2,500 is 25 ticks: from 1040 the floor is touched at 1015, though 1000 traded before; out at 1009."""
    rules, account = ROOMY._replace(max_loss=2_500, ratchet=INTRADAY), Account(5_000_000, 4_997_500)
    seconds = tuple(flats(1000, 1040, 1010, 1012))
    case = Case(LONG, account, NO_ORDER, minute_of(seconds), Venue(MNQ, rules, SECONDS))

    played = play(LONG, seconds, account=account, rules=rules)
    assert_rungs_agree([case], [Minute(case.bar, (0, 1, 2, 3), seconds)])

    assert (played.exit_reason, played.exit_price) == (LIQUIDATION, 1009)


def test_a_daily_loss_counts_between_the_seconds_and_on_the_rungs() -> None:
    """2 x 50 cents and 2,000 for the day: touched at 980, above the stop; a target that came first pauses nothing."""
    account = ACCOUNT._replace(day_floor=5_000_000 - 2_000)
    limit_first, target_first = tuple(flats(1050, 980, 1091, 1000)), tuple(flats(1050, 1091, 980, 1000))

    limited, earned = (play(LONG, seconds, account=account) for seconds in (limit_first, target_first))
    for seconds in (limit_first, target_first):
        case = Case(LONG, account, NO_ORDER, minute_of(seconds), Venue(MNQ, ROOMY, SECONDS))
        assert_rungs_agree([case], [Minute(case.bar, (0, 1, 2, 3), seconds)])

    assert (limited.exit_reason, limited.exit_price, limited.account.paused, limited.failed) == (
        DAILY_LOSS,
        979,
        1,
        False,
    )
    assert (earned.exit_reason, earned.exit_price, earned.account.paused) == (TARGET, 1090, 0)


def test_seconds_are_used_only_where_they_add_up_to_the_minute() -> None:
    seconds = [BarPrices(10, 12, 9, 11), BarPrices(11, 15, 11, 14)]

    assert add_up(seconds, BarPrices(10, 15, 9, 14))
    assert not add_up((), BarPrices(10, 15, 9, 14))
    for wrong in ((11, 15, 9, 14), (10, 16, 9, 14), (10, 15, 8, 14), (10, 15, 9, 13)):
        assert not add_up(seconds, BarPrices(*wrong))


def in_short(played: BarOutcome) -> Outcome:
    price = played.exit_price if played.exit_reason else None
    account, reason = played.account, EXIT_NAMES[played.exit_reason]
    failed, paused = bool(played.failed), bool(account.paused)
    return Outcome(played.position.quantity, account.cash, account.floor, reason, price, failed, paused)


def walked_alike(case: Case, minute: Minute) -> str:
    played = play_seconds(case.position, case.account, case.order, case.bar, minute.seconds, case.venue)
    expected = outcome(case.position, case.account, case.order, case.bar, case.venue, minute.seconds)
    assert in_short(played) == expected
    return expected.reason


@settings(max_examples=300, derandomize=True, deadline=None)
@given(st.randoms(use_true_random=False))
def test_seconds_agree_with_the_tick_by_tick_walk(random_: random.Random) -> None:
    assert walked_alike(*draw_minute_case(random_)) in EXIT_NAMES


def bars_of(minutes: Sequence[Minute]) -> tuple[Bars, Bars]:
    """The minutes one after another, and their seconds."""
    start = np.arange(len(minutes), dtype=np.int64) * NS_PER_MINUTE
    at = np.concatenate([first + np.array(m.at, np.int64) * 10**9 for first, m in zip(start, minutes, strict=True)])
    return made(start, [m.bar for m in minutes], 60), made(at, [s for m in minutes for s in m.seconds], 1)


def made(ts_event_ns: np.ndarray, bars: Sequence[BarPrices], interval_s: int) -> Bars:
    columns = np.array(bars, np.int32).reshape(-1, 4).T
    return Bars(instrument("NQ"), interval_s, ts_event_ns, *columns, np.ones(len(bars), np.int64), digest="-")


def stacked(values: Sequence[Any]) -> Any:
    """The same structure with an array [B] for every number."""
    return jax.tree.map(lambda *column: jnp.asarray(np.array(column)), *values)


def batch_of(cases: Sequence[Case]) -> tuple[Any, ...]:
    position, account, order, bar, venue = stacked(cases)
    return (position, account), order, bar, venue


def on_device(ladder: Ladder) -> Rungs:
    """The rungs, padded to as many as there can be, so that every batch of a size has one shape."""
    room = 60 * (len(ladder.offsets) - 1) - len(ladder.rungs)
    return Rungs(jnp.asarray(ladder.offsets), jnp.asarray(np.pad(ladder.rungs, ((0, room), (0, 0)))))


climb = jax.jit(play_minute)


def assert_rungs_agree(cases: Sequence[Case], minutes: Sequence[Minute]) -> Counter[str]:
    """The ladder climbed in one batch equals every second walked in plain integers."""
    ladder = ladder_of(*bars_of(minutes))
    batch = climb(on_device(ladder), jnp.arange(len(cases)), *batch_of(cases))
    columns = [np.asarray(leaf) for leaf in jax.tree.leaves(batch)]
    assert all(column.dtype in (np.int32, np.bool_) for column in columns)
    walked = [
        play_seconds(c.position, c.account, c.order, c.bar, m.seconds, c.venue)
        for c, m in zip(cases, minutes, strict=True)
    ]
    expected = np.array([jax.tree.leaves(played) for played in walked], np.int64)
    climbed = np.stack(columns, axis=-1).astype(np.int64)
    differ = np.flatnonzero((climbed != expected).any(axis=1))
    assert differ.size == 0, (cases[differ[0]], minutes[differ[0]], climbed[differ[0]], expected[differ[0]])
    return Counter(EXIT_NAMES[played.exit_reason] for played in walked)


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.integers(0, 2**32))
def test_climbing_the_rungs_equals_walking_the_seconds(seed: int) -> None:
    random_ = random.Random(seed)
    drawn = [draw_minute_case(random_) for _ in range(64)]
    assert_rungs_agree(*zip(*drawn, strict=True))


def test_thousands_of_climbs_equal_walking_and_every_exit_occurs() -> None:
    random_ = random.Random(31)
    drawn = [draw_minute_case(random_) for _ in range(6_000)]
    cases, minutes = zip(*drawn, strict=True)

    reasons = assert_rungs_agree(cases, minutes)
    assert_rungs_agree([mirrored(case) for case in cases], [turned(minute) for minute in minutes])

    assert all(reasons[name] > 300 for name in EXIT_NAMES if name != "session_end"), reasons


def turned(minute: Minute) -> Minute:
    def negated(b: BarPrices) -> BarPrices:
        return BarPrices(-b.open, -b.low, -b.high, -b.close)

    return Minute(negated(minute.bar), minute.at, tuple(map(negated, minute.seconds)))
