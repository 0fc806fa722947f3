"""The reference decision in NumPy: equal to the network, masked, deterministic, and refused when damaged."""

import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_core.checkpoints.checkpoint import served_policy
from rl_core.checkpoints.manifest import Identity, write_manifest
from rl_core.checkpoints.policy import (
    DECIDING_MARGIN,
    POLICY_FILE,
    Bools,
    Floats,
    Policy,
    PolicyDecision,
    load_policy,
    save_policy,
)
from rl_core.errors import DamagedCheckpointError, FitError
from rl_core.features.fingerprint import Fingerprint
from rl_core.ppo import normaliser as norm
from rl_core.ppo.config import PPOConfig
from rl_core.ppo.networks import Parameters, forward, initial_parameters
from rl_core.ppo.normaliser import Normaliser
from trigate.errors import ConfigError, DataError

INPUTS, ACTIONS = 225, 3
ALL = np.ones(ACTIONS, np.bool_)
KNOWN = Normaliser(
    jnp.full(INPUTS, 0.3),
    jnp.full(INPUTS, 2.0),
    jnp.full(INPUTS, 10.0),
    norm.initial_normaliser(INPUTS, window_decay=0.1).gain,
)
FEATURES = {"names": ["return", "volume"], "window": 20}


def trained(shared: bool) -> tuple[PPOConfig, Parameters]:
    """A network whose policy head is not near zero."""
    config = PPOConfig(hidden=(64, 32), shared_torso=shared)
    parameters = initial_parameters(config, INPUTS, ACTIONS, jax.random.key(4))
    parameters["actor"]["head"]["kernel"] = parameters["actor"]["head"]["kernel"] * 200
    return config, parameters


def policy_from(parameters: Parameters) -> Policy:
    """Its NumPy form."""
    return served_policy(parameters, KNOWN)


def identity() -> Identity:
    """What the saved policies claim to be."""
    return Identity(
        phase=1,
        market="NQ",
        step=1,
        observation_size=INPUTS,
        actions=("hold", "buy", "sell"),
        fingerprint="f1",
        features=FEATURES,
        config={},
        data_digest="d",
    )


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A folder with a policy and its manifest."""
    save_policy(policy_from(trained(True)[1]), tmp_path)
    write_manifest(tmp_path, identity())
    return tmp_path


def rewrite(folder: Path, **changed: np.ndarray) -> None:
    """Change arrays of the policy and describe the folder anew, as a faulty writer would."""
    with np.load(folder / POLICY_FILE) as file:
        arrays = dict(file) | changed
    np.savez(folder / POLICY_FILE, **arrays)  # type: ignore[arg-type]
    write_manifest(folder, identity())


@pytest.mark.parametrize("shared", [True, False])
def test_logits_equal_the_networks(shared: bool) -> None:
    """Within 1e-5 on 500 raw observations, some beyond the normaliser's bound, and the same argmax."""
    config, parameters = trained(shared)
    raw = np.random.default_rng(0).normal(0, 3, (500, INPUTS)).astype(np.float32)
    raw[:50] *= 100

    expected = forward(config, parameters, norm.normalise(KNOWN, jnp.asarray(raw))).logits
    found = policy_from(parameters).logits(raw)

    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=1e-5)
    assert found.dtype == np.float32
    assert (found.argmax(axis=1) == np.asarray(expected).argmax(axis=1)).all()
    assert len(np.unique(found.argmax(axis=1))) == ACTIONS


def test_an_illegal_favourite_is_passed_over() -> None:
    """Its probability is zero and the rest sums to one."""
    policy = policy_from(trained(True)[1])
    observation = np.ones(INPUTS, np.float32)
    favourite = policy.act(observation, ALL).action
    legal = np.arange(ACTIONS) != favourite

    second = policy.act(observation, legal)

    assert second.action != favourite
    assert second.probabilities[favourite] == 0
    assert second.probabilities.sum() == pytest.approx(1.0)


def test_ties_go_to_the_lowest_index() -> None:
    """All logits zero: HOLD; with HOLD illegal: BUY."""
    ones, zeros = np.ones(2, np.float32), np.zeros(3, np.float32)
    flat = Policy(ones, ones, 10.0, (np.zeros((2, 3), np.float32),), (zeros,))

    assert flat.act(np.ones(2, np.float32), ALL).action == 0
    assert flat.act(np.ones(2, np.float32), np.array([False, True, True])).action == 1


class RoundedOtherwise(Policy):
    """Logits are the observation itself; a batch computes 0.0004 more for BUY, as another order of sums might."""

    def logits(self, observation: Floats) -> Floats:
        """[..., A]."""
        exact = super().logits(observation)
        return exact if observation.ndim == 1 else exact + np.array([0, 4e-4, 0], np.float32)


def test_near_ties_of_a_batch_are_left_to_the_reference_decision() -> None:
    """HOLD is best by 0.0002: the batch sees BUY before it by 0.0002, so the single decision must be asked.

    Only legal actions count: SELL's logit is the highest of all, and hides the near tie from one who forgets the mask;
    and where the best two are 0.01 apart, the batch decides alone.
    """
    zeros = np.zeros(3, np.float32)
    policy = RoundedOtherwise(zeros, zeros + 1, 100.0, (np.eye(3, dtype=np.float32),), (zeros,))
    near, apart = [1.0, 0.9998, 0.0], [1.0, 1.01, 0.0]
    raw = np.array([near, [1.0, 0.9998, 9.0], apart, near], np.float32)
    legal = np.array([ALL, [True, True, False], ALL, [False, True, True]])

    logits = np.where(legal, policy.logits(raw), -np.inf)
    asked = np.sort(logits, axis=1)[:, -1] - np.sort(logits, axis=1)[:, -2] < DECIDING_MARGIN

    assert asked.tolist() == [True, True, False, False], "the test has two near ties"
    assert np.argmax(logits, axis=1).tolist() == [1, 1, 1, 1], "which the batch would decide otherwise"
    assert policy.decide_batch(raw, legal).tolist() == [0, 0, 1, 1]


class AlwaysSells(Policy):
    """Answers SELL whenever it is asked about a single state, which shows who decided."""

    def act(self, observation: Floats, legal_actions: Bools) -> PolicyDecision:
        """SELL."""
        del observation, legal_actions
        return PolicyDecision(2, np.array([0, 0, 1], np.float32))


def test_the_reference_is_asked_up_to_a_thousandth_and_not_beyond() -> None:
    zeros = np.zeros(3, np.float32)
    policy = AlwaysSells(zeros, zeros + 1, 100.0, (np.eye(3, dtype=np.float32),), (zeros,))
    margins = [0.0, 0.0009, 0.0011, 0.1]
    raw = np.array([[0.0, margin, -9.0] for margin in margins], np.float32)

    assert policy.decide_batch(raw, np.array([ALL] * 4)).tolist() == [2, 2, 1, 1]


def test_a_batch_decides_as_one_by_one() -> None:
    """1,000 states with random masks; near ties have a test of their own."""
    policy = policy_from(trained(True)[1])
    rng = np.random.default_rng(2)
    raw = rng.normal(0, 2, (1000, INPUTS)).astype(np.float32)
    legal = rng.random((1000, ACTIONS)) < 0.6
    legal[:, 0] = True

    together = policy.decide_batch(raw, legal)

    assert together.tolist() == [policy.act(row, mask).action for row, mask in zip(raw, legal, strict=True)]


@pytest.mark.parametrize("states", [1, 7, 300])
def test_each_of_many_is_decided_with_the_bits_of_one_alone(states: int) -> None:
    policy = policy_from(trained(True)[1])
    rng = np.random.default_rng(states)
    raw = rng.normal(0, 2, (states, INPUTS)).astype(np.float32)
    legal = rng.random((states, ACTIONS)) < 0.6
    legal[:, 0] = True

    together = policy.act_each(raw, legal)

    alone = [policy.act(row, mask) for row, mask in zip(raw, legal, strict=True)]
    assert [each.action for each in together] == [each.action for each in alone]
    assert [each.probabilities.tobytes() for each in together] == [each.probabilities.tobytes() for each in alone]


def test_a_saved_policy_decides_as_before(saved: Path) -> None:
    """The same bits of every probability."""
    before, after = policy_from(trained(True)[1]), load_policy(saved)
    observation = np.linspace(-2, 2, INPUTS, dtype=np.float32)

    assert after.act(observation, ALL).probabilities.tolist() == before.act(observation, ALL).probabilities.tolist()
    assert after.identity == identity()


def test_loading_needs_no_jax(saved: Path) -> None:
    """The worker that serves decisions starts in well under a second because of it."""
    code = (
        "import sys; from pathlib import Path; from rl_core.checkpoints.policy import load_policy; "
        "load_policy(Path(sys.argv[1])); print(any(name.partition('.')[0] == 'jax' for name in sys.modules))"
    )

    told = subprocess.run([sys.executable, "-c", code, str(saved)], capture_output=True, text=True, check=True)

    assert told.stdout.strip() == "False"


def test_weights_that_are_no_numbers_are_refused(saved: Path) -> None:
    """A valid manifest does not help a NaN."""
    rewrite(saved, bias_0=np.full(64, np.nan, np.float32))

    with pytest.raises(DamagedCheckpointError, match=r"bias_0 in policy\.npz is not finite"):
        load_policy(saved)


def test_another_answer_to_the_golden_observation_is_refused(saved: Path) -> None:
    """Weights that were exchanged under an honest manifest."""
    with np.load(saved / POLICY_FILE) as file:
        kernel = file["kernel_2"]
    rewrite(saved, kernel_2=-kernel)

    with pytest.raises(DamagedCheckpointError, match="golden observation"):
        load_policy(saved)


def test_missing_arrays_are_refused(saved: Path) -> None:
    """A file that is a whole archive of something else."""
    np.savez(saved / POLICY_FILE, mean=np.zeros(3))
    write_manifest(saved, identity())

    with pytest.raises(DamagedCheckpointError, match=r"policy\.npz cannot be read"):
        load_policy(saved)


def test_a_flipped_byte_is_refused_by_the_files_name(saved: Path) -> None:
    """SHA-256 before anything is parsed."""
    damaged = bytearray((saved / POLICY_FILE).read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (saved / POLICY_FILE).write_bytes(damaged)

    with pytest.raises(DamagedCheckpointError, match=r"policy\.npz is damaged"):
        load_policy(saved)


def test_other_features_are_refused_with_the_difference(saved: Path) -> None:
    """Names added and removed, and a changed window."""
    now = Fingerprint("f2", {"names": ["return", "range"], "window": 30})

    with pytest.raises(FitError, match=r"names: -volume, \+range .*window 20 in the checkpoint, 30 here"):
        load_policy(saved, fingerprint=now)


def test_the_same_features_are_accepted(saved: Path) -> None:
    """Equal digests."""
    assert load_policy(saved, fingerprint=Fingerprint("f1", FEATURES)).num_actions == ACTIONS


def test_a_pickle_is_refused_by_its_name(tmp_path: Path) -> None:
    """It is not even opened."""
    with pytest.raises(ConfigError, match="pickle files execute code"):
        load_policy(tmp_path / "policy.pkl")


def test_an_observation_that_is_no_number_decides_nothing(saved: Path) -> None:
    """Argmax over NaN would answer 0 and look like HOLD."""
    observation = np.zeros(INPUTS, np.float32)
    observation[7] = np.nan

    with pytest.raises(DataError, match="observation input 7 is not finite"):
        load_policy(saved).act(observation, ALL)
