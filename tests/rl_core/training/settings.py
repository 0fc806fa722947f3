"""The learner of the tests that train on the small market: one for all files, as each other one is compiled anew."""

from typing import Any

PPO: dict[str, Any] = {
    "num_envs": 4,
    "rollout_length": 8,
    "total_steps": 32 * 8,
    "minibatches": 2,
    "epochs": 1,
    "hidden": (8,),
}
"""Eight updates of 32 bars."""
