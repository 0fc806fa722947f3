"""What the table of outcomes says about the bars of the window: found where it lies, and nothing where nothing is."""

from functools import cache
from itertools import permutations

import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import pytest

from rl_core.envs.env import Env
from rl_core.envs.market_arrays import EntryOutcomes, MarketArrays, make_market
from rl_core.envs.window_weights import BOUND, window_weights
from rl_core.ppo.config import PPOConfig
from rl_core.ppo.environment import EnvArrays
from rl_core.ppo.normaliser import initial_normaliser
from rl_core.ppo.train import initial_state
from tests.rl_core.envs.episodes import params_for
from tests.rl_core.markets import small_view

WINDOW, SESSION_BARS = 20, 40
Table = npt.NDArray[np.float32]


@cache
def market_of(age: int | None, noise: float = 1.0) -> MarketArrays:
    """Random inputs; a long earns more than a short where input 3 was large ``age`` bars before (None: by chance).

    Its sessions are short, so that there are many pairs of them.
    """
    market, random = make_market(small_view()), np.random.default_rng(5)
    features = random.normal(size=market.features.shape).astype(np.float32)
    better = noise * random.normal(size=len(features))
    if age is not None:
        better += np.roll(features[:, 3], age)
    known = np.zeros(len(features), bool)
    known[np.asarray(market.starts)] = True
    credit = np.where(known[:, None], np.stack([better, np.zeros_like(better)], -1), 0).astype(np.float32)
    bars = np.repeat(known[:, None], 2, 1).astype(np.int32)
    entries = EntryOutcomes(jnp.asarray(credit), jnp.asarray(credit), jnp.asarray(bars))
    last = jnp.arange(len(features)) % SESSION_BARS == SESSION_BARS - 1
    return market._replace(features=jnp.asarray(features), entries=entries, last_in_session=last)


def weights_of(market: MarketArrays) -> Table:
    weights = window_weights(market, WINDOW)
    assert weights is not None
    return np.asarray(weights)


def evidence_by_pairs(market: MarketArrays, age: int) -> tuple[float, float]:
    """Of one bar, over all pairs of different sessions one by one, and what chance would give it."""
    assert market.entries is not None
    bars, credit = np.asarray(market.entries.bars), np.asarray(market.entries.credit, float)
    known = np.flatnonzero((bars > 0).all(-1))
    last = np.asarray(market.last_in_session)
    session = (np.cumsum(last) - last)[known]

    def standardised(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.clip((values - values.mean(0)) / values.std(0), -BOUND, BOUND)

    better = standardised(credit[known, 0] - credit[known, 1])
    products = standardised(np.asarray(market.features, float)[known - age]) * better[:, None] / len(known)
    each = [products[session == one].sum(0) for one in np.unique(session)]
    pairs = [float(a @ b) for a, b in permutations(each, 2)]
    return sum(pairs), float(np.sqrt(2 * np.square(pairs).sum()))


@pytest.mark.parametrize("age", [0, 7, 19])
def test_the_bar_that_tells_of_outcomes_weighs_most_wherever_it_lies(age: int) -> None:
    """Whether it is the newest, one in between or the oldest."""
    weights = weights_of(market_of(age))

    assert weights[WINDOW - 1 - age] == pytest.approx(1, abs=1e-6)
    assert np.delete(weights, WINDOW - 1 - age).max() < 0.25


def test_it_is_the_evidence_of_every_pair_of_sessions() -> None:
    """A weight is the evidence, if positive, plus that of chance, as a share of the largest."""
    market = market_of(7)
    each = [evidence_by_pairs(market, age) for age in range(WINDOW - 1, -1, -1)]
    total = np.array([max(found, 0.0) + chance for found, chance in each])

    np.testing.assert_allclose(weights_of(market), total / total.max(), atol=1e-5)


def test_where_nothing_can_be_seen_all_bars_weigh_about_alike() -> None:
    assert weights_of(market_of(None)).min() > 0.2


def test_nothing_behind_the_table_is_read() -> None:
    """As what is held out lies there."""
    market = market_of(7)
    end = int(np.asarray(market.starts).max()) + 1
    other = market._replace(features=market.features.at[end:].set(jnp.nan))

    assert end < len(market.features)
    assert weights_of(other).tolist() == weights_of(market).tolist()


def test_without_known_entries_there_are_no_weights() -> None:
    assert window_weights(make_market(small_view()), WINDOW) is None


def test_a_learner_that_is_asked_to_begins_with_them_times_what_it_assumes_of_age() -> None:
    """And one that is not, with what it assumes alone."""
    market, env = market_of(7), Env(1)
    config = PPOConfig(num_envs=4, rollout_length=8, total_steps=32, hidden=(4,), window_decay=0.0)

    def gain(config: PPOConfig, market: MarketArrays) -> list[float]:
        state = initial_state(config, env, EnvArrays(market, params_for()))
        values: list[float] = state.normaliser.gain.tolist()
        return values

    weights = np.array([*np.repeat(weights_of(market), 11).tolist(), *[1.0] * 5])
    by_age = np.asarray(initial_normaliser(225, window_decay=1.0).gain)
    assert gain(config, market) == pytest.approx(weights, abs=1e-6)
    assert gain(config.model_copy(update={"window_evidence": False}), market) == [1.0] * 225
    aged = config.model_copy(update={"window_decay": 1.0, "window_evidence": True})
    assert gain(aged, market) == pytest.approx(weights * by_age, abs=1e-6)
    assert gain(aged.model_copy(update={"window_evidence": None}), market) == by_age.tolist(), "by age alone"
