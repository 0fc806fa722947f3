"""The examples of docs/extending.md run as they stand, and do what their text says."""

import re
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from rl_core.contract import BUY, HOLD, SELL

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    """What all examples define, one after the other, as a reader types them."""
    found: dict[str, Any] = {"__name__": "examples"}
    for example in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(compile(example, str(PAGE), "exec", dont_inherit=True), found)
    return found


def test_the_rule_enters_with_a_move(names: dict[str, Any]) -> None:
    observation = np.zeros(225, np.float32)
    moves = {1.5: BUY, -1.5: SELL, 0.5: HOLD}

    for move, action in moves.items():
        observation[names["MOVE"]] = move
        assert names["rule"].act(observation, np.ones(3, bool)).action == action
    assert len(names["judged"].trades.r) > 20


def test_the_reward_is_its_own_and_the_books_are_not(names: dict[str, Any]) -> None:
    assert names["rows"][-1]["step"] == 4096
    env, plain, arrays = names["env"], names["Env"](1), names["arrays"]

    state = plain.reset(*arrays, jax.random.key(0), 64)
    entered = plain.step(*arrays, state, np.full(64, BUY)).state
    paid, usual = (each.step(*arrays, entered, np.zeros(64, np.int32)) for each in (env, plain))
    lost = np.asarray(usual.reward) < 0

    np.testing.assert_allclose(paid.reward[lost], 1.5 * usual.reward[lost], rtol=1e-6)
    np.testing.assert_array_equal(paid.reward[~lost], usual.reward[~lost])
    np.testing.assert_array_equal(paid.state.account.cash, usual.state.account.cash)
    assert lost.any() and not lost.all()
