"""Metrics are rates of what was counted, and say None where nothing was."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from rl_core.ppo.entropy import EntropyAdjustment
from rl_core.ppo.losses import Losses
from rl_core.ppo.metrics import UpdateMetrics, mean_max_drawdown, summarise
from rl_core.ppo.rollout import Counts


def one_update(**counted: float) -> UpdateMetrics:
    """Metrics of an update in which only ``counted`` happened."""
    counts = dict.fromkeys(Counts._fields, np.int32(0)) | {name: np.asarray(n) for name, n in counted.items()}
    losses = Losses(*(np.float32(0.5) for _ in Losses._fields))
    kept = EntropyAdjustment(np.float32(0.01), np.float32(np.nan))  # type: ignore[arg-type]
    rest = (np.float32(0.25), np.float32(1e-3), np.int32(0), kept, np.float32(2.0))
    return UpdateMetrics(Counts(**counts), losses, *rest)  # type: ignore[arg-type]


def test_rates_are_per_trade_and_per_episode_over_all_updates() -> None:
    """3 trades then 1: 1 win of 4, 300 - 500 cents, 2 - 6 R; not the mean of two updates' means."""
    rows = [
        one_update(trades=3, wins=1, pnl_cents=300, r=2.0, episodes=1, episode_return=2.0),
        one_update(trades=1, wins=0, pnl_cents=-500, r=-6.0, episodes=3, episode_return=-6.0),
    ]

    row = summarise(rows)

    assert (row["trades"], row["pnl_cents"]) == (4, -200)
    assert row["win_rate"] == 0.25
    assert row["mean_r"] == -1.0
    assert row["mean_pnl_cents"] == -50.0
    assert row["episode_return"] == -1.0


def test_nothing_to_measure_is_none_and_json_takes_it() -> None:
    """No trade has no win rate; zero would be a lie and NaN no JSON."""
    row = summarise([one_update()])

    assert row["win_rate"] is None and row["long_share"] is None and row["p_entry_flat"] is None
    assert json.loads(json.dumps(row, allow_nan=False))["entropy_choice"] == 0.5


def test_money_is_summed_beyond_32_bits() -> None:
    """Two updates of 2e9 cents."""
    row = summarise([one_update(trades=1, pnl_cents=2_000_000_000)] * 2)

    assert row["pnl_cents"] == 4_000_000_000
    assert row["mean_pnl_cents"] == pytest.approx(2e9)


def test_a_drawdown_is_the_deepest_fall_from_the_best_of_each_account() -> None:
    """+2, -3, +1, -1 falls 3 from its best; -1, +5, 0, 0 fell 1 from where it began: 2 on average."""
    reward = jnp.array([[2.0, -1.0], [-3.0, 5.0], [1.0, 0.0], [-1.0, 0.0]])

    assert float(mean_max_drawdown(reward)) == 2.0
    assert summarise([one_update()])["drawdown_r"] == 2.0
