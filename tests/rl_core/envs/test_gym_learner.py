"""The example of docs/gymnasium.md as it stands, at a smaller size: another learner trains and keeps to the mask."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rl_core.bars.write import write_bars
from rl_core.worlds.controls import planted_world
from tests.optional import skip_module_without

skip_module_without("gymnasium", "gymnasium is not installed")
skip_module_without("sb3_contrib", "sb3-contrib is not installed (requirements/gym.txt)")

PAGE = Path(__file__).parents[3] / "docs" / "gymnasium.md"
SMALLER = {
    "total_timesteps=4_096": "total_timesteps=256",
    "n_steps=1024, batch_size=256": "n_steps=64, batch_size=32",
    "n_eval_episodes=20": "n_eval_episodes=1",
}


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the example defines, run on four sessions."""
    bars = tmp_path_factory.mktemp("world") / "NQ_D1M.parquet"
    write_bars(planted_world(7, 4, drift_atr=1.0).minutes, bars)
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    for said, run in {**SMALLER, "/tmp/gym-world/NQ_D1M.parquet": str(bars)}.items():
        assert example.count(said) == 1, said
        example = example.replace(said, run)
    found: dict[str, Any] = {"__name__": "example"}
    exec(compile(example, str(PAGE), "exec", dont_inherit=True), found)
    return found


def test_it_has_played_and_learned(names: dict[str, Any]) -> None:
    """Four rollouts of 64 bars, each learned from in ten epochs."""
    model = names["model"]

    assert model.num_timesteps == 256 and model._n_updates == 4 * model.n_epochs
    assert np.isfinite(names["mean"]) and len(names["held_out"].get_episode_rewards()) == 1


def test_every_action_that_it_takes_is_legal(names: dict[str, Any]) -> None:
    """Drawn, not the likeliest, so that everything the mask allows is tried."""
    model, env = names["model"], names["train"].env
    observation, _ = env.reset(seed=3)
    taken, masked = set(), 0
    for _ in range(300):
        legal = env.action_masks()
        action, _ = model.predict(observation, action_masks=legal)
        observation, _, terminated, truncated, info = env.step(action)
        assert legal[action] and not info["illegal"]
        taken.add(int(action))
        masked += not legal.all()
        if terminated or truncated:
            observation, _ = env.reset()

    assert len(taken) > 3 and masked == 300
