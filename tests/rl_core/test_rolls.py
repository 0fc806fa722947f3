"""A roll inside a file: features see one contract's prices, fills see the real ones, no position goes through."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from rl_core.bars.bars import Bars
from rl_core.contract import HOLD
from rl_core.envs.env import Env, EnvState
from rl_core.envs.market_arrays import make_market
from rl_core.features.features import LONG_BARS, FeatureStream, StreamedBar, true_ranges
from rl_core.features.market_view import MarketView
from rl_core.market.types import EXIT_NAMES, SESSION_END, Account, Position
from rl_core.regimes.labels import RegimeStream, compute_regimes
from rl_core.trading.hours import opens_too_late
from tests.rl_core.envs.episodes import params_for, step
from tests.rl_core.markets import closing_at, mnq_venue, random_bars, seen, session_minutes, small_view

GAP = 850  # ticks, a roll of NQ in 2024
ONE, TWO = 1380 + 700, 2 * 1380  # in the middle of the second session, at the start of the third
PRICES = ("open", "high", "low", "close")


def joined(bars: Bars, *rolls: int) -> Bars:
    """The same bars, each of ``rolls`` opening where the bar before closed: nothing happens between them."""
    columns = {name: getattr(bars, name).astype(np.int64) for name in PRICES}
    for at in rolls:
        shift = columns["close"][at - 1] - columns["open"][at]
        for column in columns.values():
            column[at:] += shift
    return replace(bars, **{name: column.astype(np.int32) for name, column in columns.items()}, digest="")


def rolled(bars: Bars, *rolls: int) -> Bars:
    """The same bars, 850 ticks higher and of another contract from each of ``rolls`` on."""
    count = np.searchsorted(np.array(rolls), np.arange(len(bars)), side="right").astype(np.int32)
    prices = {name: (getattr(bars, name) + GAP * count).astype(np.int32) for name in PRICES}
    return replace(bars, **prices, contract=count, digest="")


def smooth() -> Bars:
    return joined(random_bars(3, session_minutes(3)), ONE, TWO)


def streamed(view: MarketView, start: int = 0) -> list[tuple[np.ndarray, int, bool]]:
    """What a stream that starts at bar ``start`` says of every bar from there on."""
    stream = FeatureStream()
    return [stream.push(bar) for bar in streamed_bars(view, start)]


def streamed_bars(view: MarketView, start: int) -> list[StreamedBar]:
    bars, hours = view.bars, view.hours
    columns = (bars.high, bars.low, bars.close, bars.volume, view.located.session, view.located.minute_et)
    columns += (hours.decision_minute, hours.minutes_to_flat, bars.open, bars.contract)
    return [StreamedBar(*row) for row in zip(*(column[start:].tolist() for column in columns), strict=True)]


def test_features_over_a_roll_are_those_of_one_contract() -> None:
    """Where the new contract opens at the old one's close plus 850, a market without the 850 has the same features."""
    plain, with_rolls = seen(smooth()), seen(rolled(smooth(), ONE, TWO))

    np.testing.assert_array_equal(with_rolls.features.true_range_sum, plain.features.true_range_sum)
    np.testing.assert_allclose(with_rolls.features.values, plain.features.values, rtol=2e-6, atol=2e-6)
    unmarked = seen(replace(with_rolls.bars, contract=np.zeros(len(plain.bars), np.int32), digest=""))
    assert np.abs(unmarked.features.values[ONE] - plain.features.values[ONE]).max() > 1


def test_only_the_past_is_moved_and_only_from_the_roll_on() -> None:
    """Bars before a roll have the bits that they have without it; so the roll tells nothing in advance."""
    with_rolls = seen(rolled(smooth(), ONE, TWO))
    before = seen(with_rolls.bars.slice(0, ONE))

    np.testing.assert_array_equal(with_rolls.features.values[:ONE], before.features.values)
    np.testing.assert_array_equal(with_rolls.features.true_range_sum[:ONE], before.features.true_range_sum)


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_a_stream_gives_the_batch_bit_for_bit_over_rolls(missing: float) -> None:
    """The bars jump at the rolls by more than the 850, so the moved past differs from any smooth one."""
    view = seen(rolled(random_bars(5, session_minutes(3), missing=missing), 1500, 1507, 2200))

    rows = streamed(view)

    np.testing.assert_array_equal(np.stack([row for row, _, _ in rows]), view.features.values)
    assert [total for _, total, _ in rows] == view.features.true_range_sum.tolist()


def test_a_stream_that_starts_late_gives_the_same_bits() -> None:
    view = seen(rolled(random_bars(5, session_minutes(3)), 400, 2200))
    start = 600

    late = streamed(view, start)

    warm = np.arange(start + LONG_BARS, len(view.bars))
    without_volume = [0, *range(2, 11)]  # usual volumes need the sessions before
    rows = np.stack([late[t - start][0] for t in warm])
    np.testing.assert_array_equal(rows[:, without_volume], view.features.values[warm][:, without_volume])


def test_the_first_bar_of_a_contract_has_the_range_of_its_own_prices() -> None:
    bars = rolled(random_bars(3, session_minutes(3)), ONE)
    session = seen(bars).located.session

    assert true_ranges(bars, session)[ONE] == int(bars.high[ONE]) - int(bars.low[ONE])
    unmarked = replace(bars, contract=np.zeros(len(bars), np.int32), digest="")
    assert true_ranges(unmarked, session)[ONE] >= GAP - 200


def test_trends_over_a_roll_are_those_of_one_contract() -> None:
    plain, with_rolls = seen(smooth()), seen(rolled(smooth(), ONE, TWO))
    found = []
    for view in (plain, with_rolls):
        stream, totals = RegimeStream(), view.features.true_range_sum.tolist()
        found.append([stream.push(bar, total) for bar, total in zip(streamed_bars(view, 0), totals, strict=True)])

    assert found[0] == found[1]


def test_regimes_as_arrays_are_those_of_the_stream_over_rolls() -> None:
    view = seen(rolled(smooth(), 2500, 4000))
    stream, totals = RegimeStream(), view.features.true_range_sum.tolist()

    batch = compute_regimes(view)

    for t, (bar, total) in enumerate(zip(streamed_bars(view, 0), totals, strict=True)):
        assert batch.at(t) == stream.push(bar, total)


def test_a_position_leaves_at_the_last_close_before_a_roll_and_never_sees_the_new_contract() -> None:
    """Long 2 from 80,000 at the close of ONE - 2: the next bar is the contract's last, and the day's for us."""
    bars = rolled(random_bars(3, session_minutes(3)), ONE)
    view, params = seen(bars), params_for(mnq_venue())
    far = int(bars.close[ONE - 2])
    position = Position(2, far, far - 5000, far + 5000, 5000, 0, 3)
    fields = [jnp.array([field], jnp.int32) for field in position]
    account = Account(jnp.array([5_000_000], jnp.int32), jnp.array([4_750_000], jnp.int32))
    state = EnvState(jnp.array([ONE - 2], jnp.int32), Position(*fields), account)

    played = step(Env(1), make_market(view), params, state, jnp.array([HOLD], jnp.int32))

    assert view.last_in_session[ONE - 1] and not seen(smooth()).last_in_session[ONE - 1]
    assert bool(played.truncated[0]) and EXIT_NAMES[int(played.trade.reason[0])] == EXIT_NAMES[SESSION_END]
    slipped = int(bars.close[ONE - 1]) - far
    assert abs(int(played.trade.pnl_cents[0]) - 2 * 50 * slipped) <= 2 * (50 + 120)
    assert int(played.state.position.quantity[0]) == 0


def test_prices_that_make_fills_are_never_adjusted() -> None:
    bars = rolled(smooth(), ONE, TWO)
    market = make_market(seen(bars))

    assert market.prices[:, 0].tolist() == bars.open.tolist() and market.prices[:, 3].tolist() == bars.close.tolist()


def test_no_episode_starts_at_the_last_close_of_a_contract() -> None:
    """An entry decided there would fill in the new contract."""
    at = closing_at(small_view(), "12:00")
    view = seen(rolled(small_view().bars, at + 1))

    starts = np.asarray(make_market(view).starts).tolist()

    assert at not in starts and {at - 1, at + 1} <= set(starts)
    assert bool(opens_too_late(0, 60_000_000_000, 100, True)) and not opens_too_late(0, 60_000_000_000, 100)
