"""The clip by head, and a learning rate that counts optimiser steps."""

import jax.numpy as jnp
import pytest

from rl_core.ppo.config import PPOConfig
from rl_core.ppo.optimiser import clip_by_head, learning_rate, make_optimiser, steps_taken

CONFIG = PPOConfig(num_envs=4, rollout_length=4, total_steps=160, epochs=2, minibatches=2, learning_rate=1e-3)


def test_the_linear_schedule_spans_the_run_in_optimiser_steps() -> None:
    """10 updates x 4 optimiser steps = 40: full rate at 0, half at 20, the final rate at 40 and not before."""
    schedule = learning_rate(CONFIG)

    assert CONFIG.optimiser_steps == 40
    assert [float(schedule(step)) for step in (0, 20, 40)] == pytest.approx([1e-3, 5e-4, 0.0])
    assert float(schedule(39)) > 0


@pytest.mark.parametrize(("name", "middle", "last"), [("constant", 1e-3, 1e-3), ("cosine", 5.5e-4, 1e-4)])
def test_other_schedules_reach_their_final_rate(name: str, middle: float, last: float) -> None:
    """Half a cosine from 1e-3 to 1e-4 is half-way in the middle."""
    changed = CONFIG.model_dump() | {"schedule": name, "final_learning_rate": 1e-4}
    schedule = learning_rate(PPOConfig.model_validate(changed))

    assert float(schedule(20)) == pytest.approx(middle)
    assert float(schedule(40)) == pytest.approx(last)


def test_each_head_is_clipped_to_its_own_norm() -> None:
    """A critic gradient of 1e5 is cut to 0.5; the actor's 0.3 beside it stays 0.3."""
    gradients = {"actor": {"w": jnp.array([0.3, 0.0])}, "critic": {"w": jnp.array([3e5, 4e5])}}

    clipped, _ = clip_by_head(0.5).update(gradients, clip_by_head(0.5).init(gradients))

    assert clipped["actor"]["w"].tolist() == pytest.approx([0.3, 0.0])
    assert clipped["critic"]["w"].tolist() == pytest.approx([0.3, 0.4])


def test_steps_are_counted_by_the_optimiser_itself() -> None:
    """Two updates make a count of two."""
    optimiser, parameters = make_optimiser(CONFIG), {"actor": jnp.ones(2)}
    state = optimiser.init(parameters)

    for _ in range(2):
        _, state = optimiser.update(parameters, state, parameters)

    assert steps_taken(state) == 2


def test_a_warm_up_scales_the_schedule_over_its_updates() -> None:
    """2 updates x 4 optimiser steps: an eighth of the rate at first, all of it at the eighth; the decay is the same."""
    warmed = PPOConfig.model_validate(CONFIG.model_dump() | {"warmup_updates": 2})
    schedule, plain = learning_rate(warmed), learning_rate(CONFIG)

    assert [float(schedule(step)) for step in (0, 3, 7, 20)] == pytest.approx(
        [float(plain(step)) * share for step, share in ((0, 1 / 8), (3, 1 / 2), (7, 1), (20, 1))]
    )
