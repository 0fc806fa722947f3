"""Training: it learns, repeats itself bit for bit, compiles once, and survives what is not finite."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_core.checkpoints.checkpoint import named_arrays
from rl_core.ppo.config import PPOConfig
from rl_core.ppo.devices import UNSHARDED
from rl_core.ppo.environment import EnvArrays
from rl_core.ppo.loop import TrainResult, train
from rl_core.ppo.metrics import MetricRow
from rl_core.ppo.optimiser import steps_taken
from rl_core.ppo.rollout import Rollout, Transition
from rl_core.ppo.train import TrainState, batch_of, initial_state, update
from tests.rl_core.ppo.toy_env import LEARNING, SHORT, ToyEnv, ToyParams, toy_world

ENV = ToyEnv()


def run(
    config: PPOConfig, world: EnvArrays, env: ToyEnv = ENV, *, initial: TrainState | None = None
) -> tuple[TrainResult, list[MetricRow]]:
    """A whole training run and its metrics."""
    rows: list[MetricRow] = []

    def keep(state: TrainState, row: MetricRow) -> bool:
        rows.append(row)
        return False

    return train(config, env, world, initial or initial_state(config, env, world), keep), rows


def leaves(state: TrainState) -> list[np.ndarray[Any, Any]]:
    """Every array of the learner."""
    return [np.asarray(leaf) for leaf in jax.tree.leaves(state.learner)]


@pytest.mark.parametrize("shared", [True, False])
def test_the_learner_finds_which_entry_pays(shared: bool) -> None:
    """Guessing earns -0.1 R a trade, always following the signal +0.9 R; only a normaliser makes the signal plain."""
    config = PPOConfig.model_validate(LEARNING.model_dump() | {"shared_torso": shared})

    _, rows = run(config, EnvArrays(*toy_world()))

    first, last = rows[0], rows[-1]
    assert first["mean_r"] is not None and first["mean_r"] < 0.6
    assert last["mean_r"] is not None and last["mean_r"] > 0.75
    assert last["p_entry_flat"] is not None and last["p_entry_flat"] > 0.9


def test_never_entering_is_learned_where_every_entry_loses() -> None:
    """With a cost of twice the stake no side pays; no ruin, or an early end would be a relief."""
    _, rows = run(LEARNING, EnvArrays(*toy_world(cost_cents=200, ruin=1_000)))

    last = rows[-1]["p_entry_flat"]
    assert last is not None and last < 0.1


def test_same_seed_same_parameters_bit_for_bit() -> None:
    """And another seed gives others."""
    world = EnvArrays(*toy_world())
    other = PPOConfig.model_validate(SHORT.model_dump() | {"seed": 1})

    starts = [initial_state(config, ENV, world) for config in (SHORT, SHORT, other)]
    first, second, third = (leaves(run(SHORT, world, initial=start)[0].state) for start in starts)

    assert all((a == b).all() for a, b in zip(first, second, strict=True))
    assert any((a != b).any() for a, b in zip(first, third, strict=True))


def test_new_market_and_parameters_compile_nothing() -> None:
    """One compile whatever the arrays hold."""
    run(SHORT, EnvArrays(*toy_world()))
    before = update._cache_size()

    run(SHORT, EnvArrays(*toy_world(7, cost_cents=55)))

    assert update._cache_size() == before


def test_the_schedule_ends_with_the_run() -> None:
    """4 updates x 16 optimiser steps = 64 counted; the rate is half-way after two updates and 0 at the end."""
    result, rows = run(SHORT, EnvArrays(*toy_world()))

    assert steps_taken(result.state.learner.optimiser) == SHORT.optimiser_steps == 64
    assert [row["learning_rate"] for row in rows] == pytest.approx([SHORT.learning_rate / 2, 0.0], abs=1e-9)


def test_the_normaliser_counts_every_raw_observation_once() -> None:
    """4 updates of 64 transitions; the signal input is 47 or 53, so its mean and deviation stay near 50 and 3."""
    result, _ = run(SHORT, EnvArrays(*toy_world()))
    known = result.state.normaliser

    assert known.seen.tolist() == [256.0] * 4
    assert float(known.mean[0]) == pytest.approx(50, abs=1)
    assert float(jnp.sqrt(known.variance[0])) == pytest.approx(3, abs=0.2)


def test_without_normalisation_the_normaliser_stays_the_identity() -> None:
    """A switch, so that its worth can be measured."""
    config = PPOConfig.model_validate(SHORT.model_dump() | {"normalise_observations": False})

    result, _ = run(config, EnvArrays(*toy_world()))

    assert result.state.normaliser.seen.tolist() == [0.0] * 4
    assert result.state.normaliser.variance.tolist() == [1.0] * 4


def test_training_goes_on_from_where_it_stopped_as_if_it_had_not() -> None:
    """Two updates, a copy through the host, two more: the same bits as four at once."""
    world = EnvArrays(*toy_world())
    whole = run(SHORT, world)[0]

    half = train(SHORT, ENV, world, initial_state(SHORT, ENV, world), lambda state, row: True)
    rest = train(SHORT, ENV, world, jax.tree.map(jnp.copy, half.state), lambda state, row: False)

    assert (half.stop, rest.stop) == ("asked", "finished")
    assert int(rest.state.updates) == 4
    assert all((a == b).all() for a, b in zip(leaves(rest.state), leaves(whole.state), strict=True))


class _Poisoned(ToyEnv):
    """Pays NaN."""

    def step(self, market: Any, params: ToyParams, state: Any, action: jax.Array) -> Any:
        """One bar with a reward that is no number."""
        result = super().step(market, params, state, action)
        return result._replace(reward=result.reward * jnp.nan)


def test_non_finite_losses_stop_training_with_the_last_finite_state() -> None:
    """Every optimiser step is skipped, and the returns of the episodes are no numbers: all is what it was."""
    world, env = EnvArrays(*toy_world()), _Poisoned()
    before = named_arrays(initial_state(SHORT, env, world))

    result, rows = run(SHORT, world, env)

    after = named_arrays(result.state)
    assert result.stop == "not_finite"
    assert rows[0]["skipped_steps"] == 2 * SHORT.steps_per_update
    assert rows[0]["policy_loss"] is None
    assert len(rows) == 1
    assert all((before[name] == after[name]).all() for name in before)


def test_the_state_handed_out_last_is_where_training_ends() -> None:
    """It is the last one handed out that training ends with."""
    seen: list[dict[str, Any]] = []
    world = EnvArrays(*toy_world())

    def keep(state: TrainState, row: MetricRow) -> bool:
        seen.append(named_arrays(state))
        return False

    result = train(SHORT, ENV, world, initial_state(SHORT, ENV, world), keep)

    last = named_arrays(result.state)
    assert [int(state["updates"]) for state in seen] == [2, 4]
    assert all((last[name] == seen[-1][name]).all() for name in last)


@pytest.mark.parametrize(("skipped", "learns"), [(SHORT.max_skipped, True), (SHORT.max_skipped + 1, False)])
def test_once_too_many_steps_were_skipped_nothing_is_learnt(skipped: int, learns: bool) -> None:
    """Though the numbers are finite again: where training stops does not depend on when the loop looks."""
    world = EnvArrays(*toy_world())
    state = initial_state(SHORT, ENV, world)
    before = leaves(state)
    state = state._replace(learner=state.learner._replace(skipped=jnp.int32(skipped)))

    after, _ = update(state, world, config=SHORT, env=ENV)

    assert int(after.learner.skipped) == (0 if learns else skipped + SHORT.steps_per_update)
    moved = any((a != b).any() for a, b in zip(before[1:-1], leaves(after)[1:-1], strict=True))
    assert moved is learns


def test_a_run_that_goes_on_looks_where_the_unbroken_one_does() -> None:
    """Of 4 updates with a look after 2 and 4, one done: the next look is after 2."""
    world = EnvArrays(*toy_world())
    state, _ = update(initial_state(SHORT, ENV, world), world, config=SHORT, env=ENV)

    _, rows = run(SHORT, world, initial=state)

    assert [row["update"] for row in rows] == [2, 4]


def test_the_callers_parameters_survive_a_start_from_them() -> None:
    """Phase 2 starts from arrays that the report still needs; the first update takes over copies."""
    world = EnvArrays(*toy_world())
    first = initial_state(SHORT, ENV, world)
    start = jax.tree.map(jnp.copy, (first.parameters, first.normaliser))

    train(SHORT, ENV, world, initial_state(SHORT, ENV, world, start=start), lambda state, row: True)

    assert all(not leaf.is_deleted() for leaf in jax.tree.leaves(start))


def test_seeds_learn_side_by_side_as_they_do_alone() -> None:
    """The update under ``vmap`` over states; a batched product may round otherwise."""
    world = EnvArrays(*toy_world())
    starts = [initial_state(SHORT.model_copy(update={"seed": seed}), ENV, world) for seed in (0, 1)]
    together = jax.tree.map(lambda *leaves: jnp.stack(leaves), *starts)

    both, metrics = jax.jit(jax.vmap(lambda state: update(state, world, config=SHORT, env=ENV)))(together)
    alone, _ = update(starts[1], world, config=SHORT, env=ENV)

    assert metrics.counts.choices.shape == (2,)
    for a, b in zip(jax.tree.leaves(both.learner), jax.tree.leaves(alone.learner), strict=True):
        np.testing.assert_allclose(a[1], b, rtol=1e-4, atol=1e-5)


def test_the_critic_learns_values_and_not_normalised_advantages() -> None:
    """With discount 0.9 and lambda 0.5: delta = (1 + 0.9 x 1 - 0.5, 2 + 0.9 x 4 - 1) = (1.4, 4.6).

    Advantages are 1.4 + 0.45 x 4.6 = 3.47 and 4.6, so the values should have been 3.97 and 5.6.
    """
    column = jnp.zeros((2, 1))
    steps = Transition(
        memory=column,
        legal_actions=jnp.ones((2, 1, 3), bool),
        action=jnp.zeros((2, 1), jnp.int8),
        log_probability=column,
        value=jnp.array([[0.5], [1.0]]),
        reward=jnp.array([[1.0], [2.0]]),
        terminated=jnp.zeros((2, 1), bool),
        done=jnp.zeros((2, 1), bool),
    )
    rollout = Rollout(steps, cut_value=column, last_value=jnp.array([4.0]), observed=None, counts=None)  # type: ignore[arg-type]

    batch = batch_of(PPOConfig(discount=0.9, gae_lambda=0.5), rollout, UNSHARDED)

    np.testing.assert_allclose(batch.target, [[3.97], [5.6]], rtol=1e-6)
    np.testing.assert_allclose(batch.advantage, [[-1.0], [1.0]], rtol=1e-4)
