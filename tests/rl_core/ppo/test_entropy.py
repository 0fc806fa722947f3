"""The entropy coefficient follows a target within its bounds, or stays."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pydantic import ValidationError

from rl_core.ppo.config import EntropyControl, PPOConfig
from rl_core.ppo.entropy import adjusted_coefficient, first_coefficient
from rl_core.ppo.environment import EnvArrays
from rl_core.ppo.loop import train
from rl_core.ppo.metrics import MetricRow, entropy_adjustments
from rl_core.ppo.train import TrainState, initial_state
from tests.rl_core.ppo.toy_env import ToyEnv, toy_world

CONTROL = EntropyControl(share=0.5, least=0.001, most=0.02, most_change=1.5)
CONFIG = PPOConfig(
    num_envs=8,
    rollout_length=8,
    total_steps=8 * 8 * 6,
    hidden=(8,),
    minibatches=2,
    epochs=1,
    updates_per_sync=2,
    entropy_coefficient=0.01,
)
ENV, WORLD = ToyEnv(), EnvArrays(*toy_world())
ONE_CHOICE = jnp.array([[True, True, True], [True, False, False]])
HALF = 0.5 * math.log(3)


def after(control: EntropyControl | None, coefficient: float, entropy: float) -> tuple[float, float]:
    """Coefficient and target after one update over a state of three actions and a state of one."""
    config = CONFIG.model_copy(update={"entropy_control": control})
    found = adjusted_coefficient(config, jnp.float32(coefficient), jnp.float32(entropy), ONE_CHOICE)
    return float(found.coefficient), float(found.target)


def test_the_target_is_a_share_of_choosing_evenly_over_states_with_a_choice() -> None:
    """At the target nothing moves; 10 % below it, half of 10 % more is asked for; nats are taken as they are."""
    assert after(CONTROL, 0.01, HALF) == pytest.approx((0.01, HALF))
    assert after(CONTROL, 0.01, 0.9 * HALF)[0] == pytest.approx(0.01 * math.exp(0.05))
    assert after(CONTROL, 0.01, 1.1 * HALF)[0] == pytest.approx(0.01 * math.exp(-0.05))
    assert after(CONTROL.model_copy(update={"nats": 0.25}), 0.01, 0.25) == pytest.approx((0.01, 0.25))


def test_a_step_and_the_coefficient_are_bounded() -> None:
    """No entropy asks for e^0.5 = 1.65 and gets 1.5, and never more than the bound; the same downwards."""
    assert after(CONTROL, 0.01, 0.0)[0] == pytest.approx(0.015)
    assert after(CONTROL, 0.015, 0.0)[0] == pytest.approx(0.02)
    assert after(CONTROL, 0.01, 9.0)[0] == pytest.approx(0.01 / 1.5)
    assert after(CONTROL, 0.0012, 9.0)[0] == pytest.approx(0.001)


def test_nothing_moves_without_a_controller_a_choice_or_a_finite_entropy() -> None:
    assert after(None, 0.01, 0.0)[0] == pytest.approx(0.01) and math.isnan(after(None, 0.01, 0.0)[1])
    assert after(CONTROL, 0.01, math.nan)[0] == pytest.approx(0.01)
    config = CONFIG.model_copy(update={"entropy_control": CONTROL.model_copy(update={"nats": 0.3})})
    assert float(
        adjusted_coefficient(config, jnp.float32(0.01), jnp.float32(0.0), ONE_CHOICE[1:]).coefficient
    ) == pytest.approx(0.01)


def test_the_first_coefficient_lies_within_the_bounds() -> None:
    config = CONFIG.model_copy(update={"entropy_control": CONTROL, "entropy_coefficient": 0.5})

    assert float(first_coefficient(config)) == pytest.approx(0.02)
    assert float(first_coefficient(CONFIG)) == pytest.approx(0.01)
    with pytest.raises(ValidationError, match=r"least 0.2 is above most 0.1"):
        EntropyControl(least=0.2)


def trained(config: PPOConfig, start: TrainState, *, stop_at: int = 99) -> tuple[TrainState, list[MetricRow]]:
    """The state after the run, or after ``stop_at`` updates, and the rows."""
    rows: list[MetricRow] = []

    def keep(state: TrainState, row: MetricRow) -> bool:
        rows.append(row)
        return int(state.updates) >= stop_at

    return train(config, ENV, WORLD, start, keep).state, rows


def test_with_too_small_an_entropy_the_coefficient_rises_to_its_bound_also_across_a_resume() -> None:
    """HOLD's bias of 12 leaves no entropy: 0.01 x 1.5, then 0.02; six updates are four, a copy, and two."""
    config = PPOConfig.model_validate(
        CONFIG.model_dump() | {"entropy_control": CONTROL.model_dump(), "hold_bias": 12.0}
    )

    whole, rows = trained(config, initial_state(config, ENV, WORLD))
    half, first = trained(config, initial_state(config, ENV, WORLD), stop_at=4)
    rest, second = trained(config, jax.tree.map(jnp.copy, half))

    history = entropy_adjustments(rows)
    assert [row["update"] for row in history] == [2, 4, 6] and entropy_adjustments([*first, *second]) == history
    assert [row["coefficient"] for row in history] == pytest.approx([0.02] * 3)
    assert history[0]["target"] == pytest.approx(HALF) and 0 <= (history[0]["entropy"] or 0) < 0.01
    for a, b in zip(jax.tree.leaves(whole.learner), jax.tree.leaves(rest.learner), strict=True):
        np.testing.assert_array_equal(a, b)
    assert float(rest.entropy_coefficient) == float(whole.entropy_coefficient) == pytest.approx(0.02)
