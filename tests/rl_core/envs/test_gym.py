"""The gymnasium adapter: its checker passes, and an episode is that of the environment below it."""

import warnings

import jax
import numpy as np
import pytest

gymnasium = pytest.importorskip("gymnasium", reason="the extra gym is not installed")

from gymnasium.utils.env_checker import check_env  # noqa: E402

from rl_core.envs.env import Env  # noqa: E402
from rl_core.envs.gym import TradingEnv  # noqa: E402
from rl_core.envs.market_arrays import make_market  # noqa: E402
from tests.rl_core.envs.episodes import act, observe, params_for  # noqa: E402
from tests.rl_core.markets import small_view  # noqa: E402


def adapter(phase: int = 2) -> TradingEnv:
    return TradingEnv(make_market(small_view()), params_for(), phase=phase)


@pytest.mark.parametrize("phase", [1, 2])
def test_the_checker_of_gymnasium_passes_without_a_warning(phase: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(adapter(phase), skip_render_check=True)


def test_the_same_seed_gives_the_same_episode_and_the_next_reset_another() -> None:
    one, two = adapter(), adapter()

    first, second = one.reset(seed=4)[0], two.reset(seed=4)[0]

    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(one.reset()[0], first)


def test_an_episode_of_legal_actions_is_that_of_the_environment_below() -> None:
    env, market, params, generator = adapter(), make_market(small_view()), params_for(), np.random.default_rng(0)
    _, info = env.reset(seed=1)
    state = env._state
    assert state is not None
    trades = 0
    for _ in range(445):
        action = int(generator.choice(np.flatnonzero(info["legal_actions"])))
        values, reward, terminated, truncated, info = env.step(np.int64(action))
        below = act(Env(2), market, state, action, params)
        state = below.state
        seen = observe(Env(2), market, params, state)
        np.testing.assert_array_equal(values, seen.values[0])
        np.testing.assert_array_equal(env.action_masks(), seen.legal_actions[0])
        assert (reward, terminated, truncated) == (
            float(below.reward[0]),
            bool(below.terminated[0]),
            bool(below.truncated[0]),
        )
        assert ("trade" in info) == bool(below.trade.closed[0])
        trades += "trade" in info
        if terminated or truncated:
            break
    assert (terminated or truncated) and trades > 0


def test_an_illegal_action_is_played_as_hold_and_flagged() -> None:
    env, other = adapter(), adapter()
    env.reset(seed=2)
    other.reset(seed=2)
    illegal = int(np.flatnonzero(~env.action_masks())[0])

    values, reward, *_, info = env.step(np.int64(illegal))
    held, same, *_, calm = other.step(np.int64(0))

    assert info["illegal"] and not calm["illegal"] and reward == same
    np.testing.assert_array_equal(values, held)
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), env._state, other._state))
