"""The products of an update are counted as a hand counts them."""

from bench.train_products import products_update
from rl_core.envs.env import Env
from rl_core.ppo.config import PPOConfig


def test_operations_of_a_tiny_update_by_hand() -> None:
    """225 inputs, one layer of 3; 8 rows are played and learned from once.

    Played, a row: 2 x (225 x 3 + 3 x 3) = 1368 for the actor, 2 x (225 x 3 + 3) = 1356 for the critic. Learned from it
    costs three times as much but for the gradient of the inputs, 2 x 225 x 3 = 1350: 2754 and 2718. 8 x 8196 = 65568.
    """
    config = PPOConfig(num_envs=4, rollout_length=2, total_steps=8, epochs=1, minibatches=2, hidden=(3,))

    assert Env(1).observation_size == 225
    assert round(products_update(config, Env(1)).gflop * 1e9) == 65568
