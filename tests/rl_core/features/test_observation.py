"""What the policy is told of its position, in one batch or one by one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_core.features.observation import (
    ACTION_COUNTS,
    OBSERVATION_SIZES,
    AccountRoom,
    Mark,
    management_features,
    position_features,
)
from rl_core.market.types import FLAT, Position

MARK = Mark(close=1030, true_range_sum=280)  # ATR 20 ticks
LONG = Position(quantity=3, entry=1000, stop=970, target=1090, stop_ticks=30, trailing=0, bars_held=15)
SHORT = Position(quantity=-3, entry=1060, stop=1090, target=970, stop_ticks=30, trailing=1, bars_held=30)


def test_the_sizes_are_225_and_228_with_3_and_6_actions() -> None:
    """20 bars x 11 features + 5; phase 2 adds 3."""
    assert OBSERVATION_SIZES == {1: 20 * 11 + 5, 2: 20 * 11 + 5 + 3} == {1: 225, 2: 228}
    assert ACTION_COUNTS == {1: 3, 2: 6}


def test_a_long_is_described_in_atr() -> None:
    """+30 ticks = 1.5 ATR open profit, 60 = 3 ATR above the stop, 60 = 3 ATR below the target, 15/60 of an hour."""
    assert position_features(np, LONG, MARK).tolist() == [1.0, 1.5, 3.0, 3.0, 0.25]


def test_a_short_is_described_as_its_mirror() -> None:
    """Sold at 1060, now 1030: the same +30, 60 and 60."""
    assert position_features(np, SHORT, MARK).tolist() == [-1.0, 1.5, 3.0, 3.0, 0.5]


def test_flat_is_all_zeros() -> None:
    assert position_features(np, FLAT, MARK).tolist() == [0.0] * 5
    assert position_features(np, FLAT._replace(target=5, bars_held=7), MARK).tolist() == [0.0] * 5


def test_an_atr_below_one_tick_counts_as_one_and_far_prices_are_clipped() -> None:
    still = position_features(np, LONG, Mark(close=1005, true_range_sum=0))

    assert still.tolist() == [1.0, 5.0, 10.0, 10.0, 0.25]


def test_management_tells_entry_trail_and_room() -> None:
    """Equity 50,100 over a floor of 48,100 is 2,000 of 2,500."""
    standing = AccountRoom(equity=5_010_000, floor=4_810_000, max_loss=250_000)

    told = management_features(np, SHORT, standing, False)

    np.testing.assert_array_equal(told, np.float32([0.0, 1.0, 0.8]))
    assert management_features(np, FLAT, standing, True).tolist()[:2] == [1.0, 0.0]


@pytest.mark.parametrize("jitted", [False, True])
def test_numpy_integers_and_device_arrays_tell_the_same_to_the_last_bit_but_one(jitted: bool) -> None:
    """XLA may multiply by a reciprocal: a decision this near a tie is left to the reference policy anyway."""
    generator = np.random.default_rng(0)
    count = 500
    side = generator.integers(-1, 2, count)
    columns = [
        side * 3,
        generator.integers(900, 1100, count),
        generator.integers(900, 1100, count),
        generator.integers(900, 1100, count),
        np.full(count, 30),
        generator.integers(0, 2, count),
        generator.integers(1, 300, count),
    ]
    marks = [generator.integers(900, 1100, count), generator.integers(0, 2000, count)]
    equity, floor = generator.integers(0, 5_300_000, (2, count))

    def tell(position: Position, mark: Mark, standing: AccountRoom, enter: jax.Array) -> tuple[jax.Array, jax.Array]:
        return position_features(jnp, position, mark), management_features(jnp, position, standing, enter)

    position = Position(*(jnp.asarray(c, jnp.int32) for c in columns))
    standing = AccountRoom(jnp.asarray(equity, jnp.int32), jnp.asarray(floor, jnp.int32), jnp.int32(250_000))
    batch = (jax.jit(tell) if jitted else tell)(
        position, Mark(*(jnp.asarray(m, jnp.int32) for m in marks)), standing, jnp.asarray(side == 0)
    )

    for i in range(count):
        one = Position(*(int(c[i]) for c in columns))
        features = position_features(np, one, Mark(*(int(m[i]) for m in marks)))
        managing = management_features(np, one, AccountRoom(int(equity[i]), int(floor[i]), 250_000), bool(side[i] == 0))
        assert features.dtype == managing.dtype == np.float32
        np.testing.assert_array_max_ulp(np.asarray(batch[0][i]), features, 2)
        np.testing.assert_array_max_ulp(np.asarray(batch[1][i]), managing, 2)
