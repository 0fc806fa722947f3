"""Advantages and losses against implementations that are not ours: Stable-Baselines3, and NumPy in float64."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_core.ppo.advantages import Trajectory, generalized_advantage
from rl_core.ppo.config import PPOConfig
from rl_core.ppo.devices import UNSHARDED
from rl_core.ppo.losses import Batch, Losses, normalised_advantage, ppo_loss
from rl_core.ppo.networks import NetworkOutput
from rl_core.ppo.normaliser import initial_normaliser
from rl_core.ppo.rollout import Counts, Rollout, Transition
from rl_core.ppo.train import batch_of

STEPS, ENVS, ACTIONS = 24, 8, 4
CONFIG = PPOConfig(clip=0.1, value_clip=None, entropy_coefficient=0.02, value_coefficient=0.7)


def random_trajectory(seed: int) -> Trajectory:
    """Ends of both kinds; one truncation in the last bar."""
    rng = np.random.default_rng(seed)
    reward, value, next_value = rng.normal(size=(3, STEPS, ENVS)).astype(np.float32)
    terminated, cut = rng.random((2, STEPS, ENVS)) < 0.1
    cut[-1, 0], terminated[-1, 0] = True, False
    done = terminated | cut
    following = np.where(done[:-1], next_value[:-1], value[1:])
    return Trajectory(*map(jnp.asarray, (reward, value, np.vstack([following, next_value[-1:]]), terminated, done)))


def test_advantages_equal_those_of_stable_baselines3() -> None:
    """It knows no truncation in its sums: callers add the discounted next value to the reward there."""
    pytest.importorskip("stable_baselines3", reason="the extra `bench` is not installed")
    import torch
    from gymnasium import spaces
    from stable_baselines3.common.buffers import RolloutBuffer

    ours = random_trajectory(1)
    reward, value, next_value, terminated, done = (np.asarray(column) for column in ours)
    buffer = RolloutBuffer(
        STEPS, spaces.Box(-1, 1, (1,)), spaces.Discrete(2), device="cpu", gae_lambda=0.9, gamma=0.97, n_envs=ENVS
    )
    buffer.rewards = reward + 0.97 * np.where(done & ~terminated, next_value, 0)
    buffer.values = value
    buffer.episode_starts = np.vstack([np.zeros((1, ENVS)), done[:-1]]).astype(np.float32)
    buffer.compute_returns_and_advantage(torch.tensor(next_value[-1]), done[-1])

    advantage = generalized_advantage(ours, discount=0.97, gae_lambda=0.9)

    np.testing.assert_allclose(advantage, buffer.advantages, atol=1e-5)


def random_minibatch(seed: int) -> tuple[NetworkOutput, Batch]:
    """64 rows, some with one legal action; the behaviour policy is a little off the current one."""
    rng = np.random.default_rng(seed)
    rows = 64
    logits = rng.normal(size=(rows, ACTIONS)).astype(np.float32)
    legal = rng.random((rows, ACTIONS)) < 0.6
    legal[:, 0] = True
    masked = np.where(legal, logits, -np.inf)
    probability = np.exp(masked) / np.exp(masked).sum(axis=1, keepdims=True)
    action = np.array([rng.choice(ACTIONS, p=row / row.sum()) for row in probability.astype(np.float64)])
    moved = rng.normal(scale=0.2, size=rows) * (legal.sum(axis=1) > 1)
    value, old, target, advantage = rng.normal(size=(4, rows)).astype(np.float32)
    batch = Batch(
        memory=(),
        legal_actions=jnp.asarray(legal),
        action=jnp.asarray(action, jnp.int8),
        log_probability=jnp.asarray(np.log(probability[np.arange(rows), action]) - moved, jnp.float32),
        value=jnp.asarray(old),
        advantage=jnp.asarray(advantage),
        target=jnp.asarray(target),
    )
    return NetworkOutput(jnp.asarray(logits), jnp.asarray(value)), batch


def numpy_losses(output: NetworkOutput, batch: Batch, config: PPOConfig) -> Losses:
    """The objective row by row in float64."""
    policy, spread, kl, clipped, value = [], [], [], [], []
    for row in range(len(batch.action)):
        legal = np.asarray(batch.legal_actions[row])
        logits = np.asarray(output.logits[row], np.float64)[legal]
        probability = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
        taken = probability[legal[: int(batch.action[row])].sum()]
        error = (float(output.value[row]) - float(batch.target[row])) ** 2
        if config.value_clip is not None:
            step = np.clip(float(output.value[row]) - float(batch.value[row]), -config.value_clip, config.value_clip)
            error = max(error, (float(batch.value[row]) + step - float(batch.target[row])) ** 2)
        value.append(error / 2)
        if legal.sum() == 1:
            continue
        ratio, gain = taken / np.exp(float(batch.log_probability[row])), float(batch.advantage[row])
        policy.append(-min(ratio * gain, np.clip(ratio, 1 - config.clip, 1 + config.clip) * gain))
        spread.append(-(probability * np.log(probability)).sum())
        kl.append(ratio - 1 - np.log(ratio))
        clipped.append(abs(ratio - 1) > config.clip)
    parts: list[Any] = [np.mean(column) for column in (policy, value, spread, kl, clipped)]
    total = parts[0] + config.value_coefficient * parts[1] - config.entropy_coefficient * parts[2]
    return Losses(total, *parts)


@pytest.mark.parametrize("value_clip", [None, 0.3])
def test_losses_equal_numpy_row_by_row(value_clip: float | None) -> None:
    """Masks, forced rows, both clips."""
    config = PPOConfig.model_validate(CONFIG.model_dump() | {"value_clip": value_clip})
    output, batch = random_minibatch(2)

    ours, slow = ppo_loss(output, batch, config), numpy_losses(output, batch, config)

    np.testing.assert_allclose(np.array(ours), np.array(slow), rtol=2e-5, atol=1e-6)
    assert 0.1 < slow.clip_fraction < 0.9


def test_losses_equal_those_of_stable_baselines3() -> None:
    """One minibatch of its own `PPO.train`, which logs each part; it has no mask, and no half before the value's."""
    pytest.importorskip("stable_baselines3", reason="the extra `bench` is not installed")
    import gymnasium
    import torch
    from stable_baselines3 import PPO
    from stable_baselines3.common.logger import Logger

    model = PPO("MlpPolicy", gymnasium.make("CartPole-v1"), n_steps=64, batch_size=64, n_epochs=1, device="cpu",
                clip_range=CONFIG.clip, normalize_advantage=False, vf_coef=0.7, ent_coef=0.02, seed=3)  # fmt: skip
    rng = np.random.default_rng(3)
    seen = torch.as_tensor(rng.normal(size=(64, 4)), dtype=torch.float32)
    with torch.no_grad():
        logits = model.policy.get_distribution(seen).distribution.logits.numpy()
        value = model.policy.predict_values(seen)[:, 0].numpy()
    action, (advantage, target) = rng.integers(0, 2, 64), rng.normal(size=(2, 64)).astype(np.float32)
    old = logits[np.arange(64), action] + rng.normal(scale=0.2, size=64).astype(np.float32)
    _fill(model.rollout_buffer, seen.numpy(), action, old, advantage, target)
    model.set_logger(Logger(None, []))
    model.train()
    logged = model.logger.name_to_value
    everything = jnp.ones((64, 2), bool)
    batch = Batch((), everything, *map(jnp.asarray, (action, old, value, advantage, target)))

    ours = ppo_loss(NetworkOutput(jnp.asarray(logits), jnp.asarray(value)), batch, CONFIG)

    assert ours.policy == pytest.approx(logged["train/policy_gradient_loss"], abs=1e-5)
    assert 2 * ours.value == pytest.approx(logged["train/value_loss"], rel=1e-5)
    assert -ours.entropy == pytest.approx(logged["train/entropy_loss"], abs=1e-5)
    assert ours.kl == pytest.approx(logged["train/approx_kl"], abs=1e-5)
    assert ours.clip_fraction == pytest.approx(logged["train/clip_fraction"])


def _fill(buffer: Any, seen: Any, action: Any, old: Any, advantage: Any, target: Any) -> None:
    """64 rows of one environment, as its own rollout would leave them."""
    buffer.reset()
    buffer.observations, buffer.actions = seen[:, None].copy(), action[:, None, None].astype(np.float32)
    buffer.log_probs, buffer.advantages, buffer.returns = old[:, None], advantage[:, None], target[:, None]
    buffer.full, buffer.pos = True, 64


def test_the_discount_of_the_settings_is_the_one_that_is_used() -> None:
    """Advantages and targets of a batch are those of its own discount and lambda, normalised over choices."""
    path = random_trajectory(4)
    legal = jax.random.bernoulli(jax.random.key(0), 0.5, (STEPS, ENVS, 2)).at[..., 0].set(True)
    config = PPOConfig(discount=0.8, gae_lambda=0.6)
    none = jnp.zeros((STEPS, ENVS))
    transitions = Transition((), legal, none, none, path.value, path.reward, path.terminated, path.done)
    counts = Counts(*[jnp.int32(0)] * len(Counts._fields))
    cut_value = jnp.where(path.done, path.next_value, 0.0)
    rollout = Rollout(transitions, cut_value, path.next_value[-1], initial_normaliser(1), counts)

    batch = batch_of(config, rollout, UNSHARDED)

    expected = generalized_advantage(path, discount=0.8, gae_lambda=0.6)
    np.testing.assert_allclose(batch.target, expected + path.value, rtol=1e-6)
    np.testing.assert_allclose(batch.advantage, normalised_advantage(expected, legal), rtol=1e-6)
