"""A policy that left by `rl-core export`: the reader of docs/extending.md gives the probabilities that we give."""

import json
import re
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from typer.testing import CliRunner

from rl_core.checkpoints.checkpoint import save_checkpoint
from rl_core.checkpoints.policy import load_trader
from rl_core.cli import app
from rl_core.contract import BUY, SELL
from rl_core.envs.env import Observation
from rl_core.ppo.normaliser import moments
from rl_core.ppo.train import initial_state
from rl_core.training.config import TrainConfig
from rl_core.training.plan import TrainingPlan, identity_of, plan_training
from tests.rl_core.markets import RULES_FOLDER, small_view
from tests.rl_core.training.settings import PPO
from trigate.errors import ConfigError

PAGE = Path(__file__).parents[3] / "docs" / "extending.md"
STATES = 256


def reader() -> dict[str, Any]:
    """What the page's reader defines, with NumPy and json alone."""
    (code,) = (
        block for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL) if "read_policy" in block
    )
    assert len([line for line in code.splitlines() if line.strip()]) <= 20
    assert set(re.findall(r"^(?:import|from) (\w+)", code, re.MULTILINE)) == {"json", "numpy"}
    found: dict[str, Any] = {}
    exec(compile(code, str(PAGE), "exec", dont_inherit=True), found)
    return found


class Saved:
    """A checkpoint of a phase with weights that decide, and observations of its environment with their masks."""

    def __init__(self, phase: int, folder: Path, parent: Path | None = None) -> None:
        """Before any update; the weights are drawn wide, so that probabilities differ from state to state."""
        given = {"ppo": {**PPO, "known_entries": False}, "trading": {"rules": str(RULES_FOLDER / "plain_static.toml")}}
        config = TrainConfig.model_validate({"phase": phase, "train_share": 0.7, **given})
        self.plan: TrainingPlan = plan_training(config, small_view().bars, parent=parent)
        env, arrays = self.plan.env, self.plan.env_arrays
        state = initial_state(config.ppo, env, arrays)
        playing = env.reset(*arrays, jax.random.key(1), STATES)
        if phase == 2:
            actions = np.resize([0, 1, 2], STATES)
            playing = env.step(*arrays, playing, actions).state
        self.seen: Observation = jax.device_get(env.observe(*arrays, playing))
        wide = jax.tree.map(lambda leaf: 3 * leaf, state.learner.parameters)
        head = wide["actor"]["head"]
        wide["actor"]["head"] = {"kernel": 100 * head["kernel"], "bias": 0 * head["bias"]}
        normaliser = moments(self.seen.values)._replace(gain=state.normaliser.gain)
        state = state._replace(learner=state.learner._replace(parameters=wide), normaliser=normaliser)
        self.checkpoint = save_checkpoint(folder, state, identity_of(self.plan, 0), final=True)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Saved]:
    folder = tmp_path_factory.mktemp("export")
    first = Saved(1, folder)
    return {1: first, 2: Saved(2, folder, first.checkpoint)}


@pytest.mark.parametrize("phase", [1, 2])
def test_the_reader_gives_our_probabilities_behind_the_mask(
    saved: dict[int, Saved], tmp_path: Path, phase: int
) -> None:
    of, policy, out = saved[phase], load_trader(saved[phase].checkpoint), tmp_path / "policy.npz"
    assert CliRunner().invoke(app, ["export", str(of.checkpoint), "--out", str(out)]).exit_code == 0

    read = reader()
    metadata, arrays = read["read_policy"](out)

    likeliest = set()
    for observation, legal in zip(of.seen.values, of.seen.legal_actions, strict=True):
        ours = policy.act(observation, legal)
        theirs = read["probabilities"](arrays, observation, legal)
        np.testing.assert_allclose(theirs, ours.probabilities, atol=1e-6)
        assert not theirs[~legal].any() and np.argmax(theirs) == ours.action
        likeliest.add(ours.action)
    assert len(likeliest) >= 2
    if phase == 2:
        assert max(likeliest) > SELL and not of.seen.legal_actions[:, BUY].all(), "open positions are managed"
    assert metadata["phase"] == phase and len(metadata["actions"]) == policy.num_actions
    golden = read["probabilities"](arrays, arrays["golden_observation"], arrays["golden_legal_actions"])
    assert np.argmax(golden) == arrays["golden_action"]


def test_the_file_says_what_it_is_good_for(saved: dict[int, Saved], tmp_path: Path) -> None:
    """Every input has a name: 20 x 11 features, oldest bar first, 5 of the position, 3 of the account."""
    out, of = tmp_path / "policy.npz", saved[2]
    printed = CliRunner().invoke(app, ["export", str(of.checkpoint), "--out", str(out), "--json"])

    metadata, _ = reader()["read_policy"](out)

    assert len(metadata["inputs"]) == 228 == metadata["observation_size"]
    assert (metadata["inputs"][0], metadata["inputs"][219]) == ("return_atr[-19]", "to_flat[0]")
    assert metadata["inputs"][220:] == [
        *("side", "open_profit_atr", "to_stop_atr", "to_target_atr", "hours_held"),
        *("may_enter", "trailing", "room_to_floor"),
    ]
    identity = identity_of(of.plan, 0)
    assert (metadata["fingerprint"], metadata["config"]) == (identity.fingerprint, identity.config)
    assert json.loads(printed.stdout)["actions"] == list(identity.actions)


def test_another_ending_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    refused = CliRunner().invoke(app, ["export", str(tmp_path / "nothing"), "--out", str(tmp_path / "policy.onnx")])

    assert isinstance(refused.exception, ConfigError)
    assert str(refused.exception).endswith("policy.onnx: a policy is exported as .npz; give a name that ends so")
