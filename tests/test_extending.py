"""The examples of docs/extending.md run as they stand, and do what their text says."""

import re
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from rl_core.bars.bars import Bars
from rl_core.contract import BUY, HOLD, SELL
from rl_core.evaluation.carried import play_carried
from rl_core.evaluation.entrants import Trained
from rl_core.evaluation.span import span_of
from rl_core.features.market_view import MarketView
from rl_core.ppo.networks import OwnNetwork
from rl_core.proofs.look_ahead import SeenBy, check_leaks

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    """What all examples define, one after the other, as a reader types them."""
    found: dict[str, Any] = {"__name__": "examples"}
    for example in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(compile(example, str(PAGE), "exec", dont_inherit=True), found)
    return found


def test_a_policy_of_ones_own_enters_with_a_move(names: dict[str, Any]) -> None:
    observation, rule = np.zeros(225, np.float32), names["Momentum"]()
    moves = {1.5: BUY, -1.5: SELL, 0.5: HOLD}

    for move, action in moves.items():
        observation[names["MOVE"]] = move
        assert rule.act(observation, np.ones(3, bool)).action == action
    assert len(names["judged"].trades.r) > 20


def test_a_policy_of_ones_own_is_carried_from_account_to_account(names: dict[str, Any]) -> None:
    """The other account of `rl-core evaluate` takes it too."""
    view, rule = names["view"], names["Momentum"]()

    path = play_carried(Trained(rule), view, names["trading"], span_of(view.located.session, 0, 2))

    assert len(path.trades.r) > 5


def test_features_of_ones_own_reach_the_policy_and_nothing_else_changes(names: dict[str, Any]) -> None:
    """20 x 12 + 5: the twelfth of each bar is the own one, the eleven before it are the usual ones."""
    seen, view, env, arrays = names["seen"], names["view"], names["env"], names["arrays"]
    state = env.reset(*arrays, jax.random.key(0), 8)
    shown = np.asarray(env.observe(*arrays, state).values)
    usual = np.asarray(names["Env"](1).observe(names["make_market"](view), arrays.params, state).values)

    assert shown.shape == (8, env.observation_size) == (8, 245)
    window = shown[:, :240].reshape(8, 20, 12)
    np.testing.assert_array_equal(window[:, :, :11].reshape(8, -1), usual[:, :220])
    np.testing.assert_array_equal(window[:, -1, 11], seen.features.values[np.asarray(state.bar), 11])
    np.testing.assert_array_equal(shown[:, 240:], usual[:, 220:])
    t = int(state.bar[0])
    moved = int(view.bars.close[t]) - int(view.bars.close[t - 60])
    assert window[0, -1, 11] == pytest.approx(moved / max(1, view.features.true_range_sum[t] / 14), rel=1e-5)


@pytest.mark.parametrize("ahead", [0, 1])
def test_a_look_ahead_of_features_of_ones_own_is_found(names: dict[str, Any], ahead: int) -> None:
    """As the page's they pass; with the move of the hour that ends one bar later they do not."""

    def view_of(bars: Bars) -> MarketView:
        seen: MarketView = names["with_hourly_move"](bars)
        values = seen.features.values.copy()
        values[:, 11] = np.append(values[ahead:, 11], values[:ahead, 11])
        return seen._replace(features=seen.features._replace(values=values))

    few = names["bars"].slice(0, 5 * 1380)
    report = check_leaks(few, names["trading"], moments=1, seen_by=SeenBy(view_of))

    assert {leak.what for leak in report.leaks} == ({"features", "observation"} if ahead else set())


def test_the_reward_is_its_own_and_the_books_are_not(names: dict[str, Any]) -> None:
    env, plain, arrays = names["cautious"], names["env"], names["arrays"]

    state = plain.reset(*arrays, jax.random.key(0), 64)
    entered = plain.step(*arrays, state, np.full(64, BUY)).state
    paid, usual = (each.step(*arrays, entered, np.zeros(64, np.int32)) for each in (env, plain))
    lost = np.asarray(usual.reward) < 0

    np.testing.assert_allclose(paid.reward[lost], 1.5 * usual.reward[lost], rtol=1e-6)
    np.testing.assert_array_equal(paid.reward[~lost], usual.reward[~lost])
    np.testing.assert_array_equal(paid.state.account.cash, usual.state.account.cash)
    assert lost.any() and not lost.all()


def test_a_network_of_ones_own_is_trained_and_judged(names: dict[str, Any]) -> None:
    """Its parameters moved from where they began, and evaluation plays what the network says, in one batch or alone."""
    config, policy, arrays = names["config"], names["policy"], names["arrays"]
    began = names["initial_state"](config, names["cautious"], arrays).parameters
    assert names["rows"][-1]["step"] == 4096 and names["learned"].sessions == 5
    assert set(began["actor"]) == set(began["critic"]) == {"bar", "all", "head"}
    for part in ("actor", "critic"):
        moved = np.abs(policy.parameters[part]["bar"]["kernel"] - began[part]["bar"]["kernel"])
        assert moved.shape == (12, 4) and moved.max() > 0

    shown = np.asarray(names["env"].observe(*arrays, names["env"].reset(*arrays, jax.random.key(1), 8)).values)

    together = policy.logits(shown)
    np.testing.assert_allclose([policy.logits(row) for row in shown], together, atol=1e-5)
    assert np.ptp(together, axis=0).max() > 1e-4, "it reads what it is shown"


def test_settings_that_bring_no_network_cannot_be_made() -> None:
    with pytest.raises(TypeError, match="abstract"):
        OwnNetwork()  # type: ignore[abstract]
