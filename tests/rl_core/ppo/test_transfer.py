"""From phase 1 to phase 2: same entries, new actions near zero, and no silent failure."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_core.errors import FitError
from rl_core.ppo import normaliser as norm
from rl_core.ppo.config import PPOConfig
from rl_core.ppo.environment import EnvArrays
from rl_core.ppo.loop import train
from rl_core.ppo.networks import Parameters, forward, log_probabilities
from rl_core.ppo.normaliser import Normaliser
from rl_core.ppo.train import initial_state
from rl_core.ppo.transfer import MAX_DIVERGENCE, Transfer, entry_divergence, transfer
from tests.rl_core.ppo.toy_env import LEARNING, ToyEnv, ToyObservation, toy_world

CONFIG = LEARNING
SEPARATE = PPOConfig.model_validate(CONFIG.model_dump() | {"shared_torso": False})
WORLD, WIDE = EnvArrays(*toy_world()), ToyEnv(phase=2)


def learned(config: PPOConfig) -> tuple[Parameters, Normaliser]:
    """A phase 1 trained for six updates."""
    env = ToyEnv()
    state = train(config, env, WORLD, initial_state(config, env, WORLD), lambda state, row: True).state
    return state.parameters, state.normaliser


def fresh(config: PPOConfig) -> tuple[Parameters, Normaliser]:
    """A phase 1 before its first update."""
    state = initial_state(config, ToyEnv(), WORLD)
    return state.parameters, state.normaliser


def shown(*, side: int = 0) -> ToyObservation:
    """What phase 2 shows of 128 fresh states, flat or in a position."""
    state = WIDE.reset(*WORLD, jax.random.key(9), 128)
    return WIDE.observe(*WORLD, state._replace(side=state.side + side))


@pytest.fixture(scope="module")
def phase1() -> tuple[Parameters, Normaliser]:
    """With a shared torso."""
    return learned(CONFIG)


@pytest.fixture(scope="module")
def phase2(phase1: tuple[Parameters, Normaliser]) -> Transfer:
    """Its heir."""
    return transfer(CONFIG, phase1, shown(), key=jax.random.key(0))


def test_entries_agree_at_step_zero(phase2: Transfer, phase1: tuple[Parameters, Normaliser]) -> None:
    """The new inputs have zero weights and the new actions are illegal while flat."""
    assert phase2.report.divergence < 1e-6
    assert phase2.report.states == 128
    old = forward(CONFIG, phase1[0], norm.normalise(phase1[1], shown().values[:, :4]))
    new = forward(CONFIG, phase2.parameters, norm.normalise(phase2.normaliser, shown().values))
    np.testing.assert_allclose(old.value, new.value, atol=1e-6)
    np.testing.assert_allclose(old.logits, new.logits[:, :3], atol=1e-6)
    assert float(jnp.abs(old.logits).max()) > 0.1


def test_new_actions_start_near_zero_in_every_state(phase2: Transfer) -> None:
    """HOLD's column less 5: each e^-5 times HOLD, so 1 / (1 + 3 e^-5) = 0.980 is left for HOLD in a position."""
    seen = shown(side=1)
    output = forward(CONFIG, phase2.parameters, norm.normalise(phase2.normaliser, seen.values))

    probability = np.exp(log_probabilities(output.logits, seen.legal_actions))

    np.testing.assert_allclose(probability[:, 0], 1 / (1 + 3 * np.exp(-5)), rtol=1e-4)
    np.testing.assert_allclose(probability[:, 3:], np.exp(-5) / (1 + 3 * np.exp(-5)), rtol=1e-4)


@pytest.mark.parametrize("config", [CONFIG, SEPARATE])
def test_every_parameter_is_reported(config: PPOConfig) -> None:
    """First layers and the policy head grow, all else is copied, nothing is new."""
    report = transfer(config, fresh(config), shown(), key=jax.random.key(0)).report

    widened = {name for name, origin in report.origins.items() if origin == "widened"}
    first = {"torso.dense_0.kernel"} if config.shared_torso else {"actor.dense_0.kernel", "critic.dense_0.kernel"}
    assert widened == first | {"actor.head.kernel", "actor.head.bias"}
    assert report.count("new") == 0
    assert report.count("copied") == len(report.origins) - len(widened)


def test_the_normaliser_is_carried_over(phase2: Transfer, phase1: tuple[Parameters, Normaliser]) -> None:
    """The four known inputs keep their moments, the two new ones start at mean 0, variance 1, nothing seen."""
    known, old = phase2.normaliser, phase1[1]

    assert known.mean.tolist() == [*old.mean.tolist(), 0.0, 0.0]
    assert known.variance.tolist() == [*old.variance.tolist(), 1.0, 1.0]
    assert known.seen.tolist() == [*old.seen.tolist(), 0.0, 0.0]


def test_a_disagreement_on_entries_is_measured(phase2: Transfer, phase1: tuple[Parameters, Normaliser]) -> None:
    """A normaliser left behind, an old mistake, shows as ten times the divergence allowed and more."""
    forgotten = (phase2.parameters, norm.initial_normaliser(6))

    divergence, _ = entry_divergence(CONFIG, phase1, forgotten, shown())

    assert divergence > 10 * MAX_DIVERGENCE


def test_states_without_an_entry_prove_nothing(phase1: tuple[Parameters, Normaliser]) -> None:
    """Agreement over zero states is refused."""
    with pytest.raises(FitError, match="0 entry states"):
        transfer(CONFIG, phase1, shown(side=1), key=jax.random.key(0))


def test_other_hidden_sizes_are_refused_by_name(phase1: tuple[Parameters, Normaliser]) -> None:
    """Never a soft failure that trains from random weights."""
    other = PPOConfig.model_validate(CONFIG.model_dump() | {"hidden": (16, 32)})

    with pytest.raises(FitError, match=r"actor\.dense_0\.bias is \[32\] in phase 1 and \[16\] in phase 2"):
        transfer(other, phase1, shown(), key=jax.random.key(0))


def test_a_transfer_that_copies_nothing_is_an_error(phase1: tuple[Parameters, Normaliser]) -> None:
    """Parameters under other names would all be new."""
    renamed = {f"old_{name}": part for name, part in phase1[0].items()}

    with pytest.raises(FitError, match="copied no parameter"):
        transfer(CONFIG, (renamed, phase1[1]), shown(), key=jax.random.key(0))
