"""The reference decision: the trained policy in plain NumPy float32, without JAX (DECISIONS 5).

Evaluation, worker and replay must choose the same action on every machine. JAX and batched products round differently,
so wherever two actions are nearly tied the decision of `Policy.act` holds.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from rl_core.checkpoints.manifest import Expected, Identity, check_fit, read_manifest
from rl_core.contract import ACTION_NAMES
from rl_core.errors import DamagedCheckpointError
from rl_core.features.features import fingerprint as own_fingerprint
from rl_core.features.fingerprint import Fingerprint
from rl_core.features.observation import ACTION_COUNTS, observation_size
from rl_core.market.yardstick import Yardstick
from rl_core.trading.setup import TradingConfig
from trigate.errors import DataError

POLICY_FILE = "policy.npz"
DECIDING_MARGIN = 1e-3  # between the two best legal logits; rounding moves them by some 1e-5
GOLDEN_TOLERANCE = 1e-4
GOLDEN_CANDIDATES = 64
ILLEGAL_LOGIT = np.float32(-1e9)

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]


class PolicyDecision(NamedTuple):
    """The action that a policy takes in one state."""

    action: int
    probabilities: Floats  # [A], zero where illegal


class GoldenDecision(NamedTuple):
    """A decision kept in the checkpoint, which a loaded policy must repeat."""

    observation: Floats  # [O]
    legal_actions: Bools  # [A]
    logits: Floats  # [A]
    action: int


class Decider(ABC):
    """Whatever scores actions: its likeliest legal one is played. Evaluation takes any."""

    @property
    @abstractmethod
    def num_actions(self) -> int:
        """A: 3 enter, 6 also manage."""

    @abstractmethod
    def logits(self, observation: Floats) -> Floats:
        """Unmasked scores [..., A] of raw observations [..., O]."""

    def act(self, observation: Floats, legal_actions: Bools) -> PolicyDecision:
        """The most probable legal action, the lowest index on ties.

        Args:
            observation: [O] raw.
            legal_actions: [A], at least one True.

        Raises:
            DataError: the observation is not finite.
        """
        assert legal_actions.shape == (self.num_actions,) and legal_actions.any(), legal_actions
        logits = np.where(legal_actions, self.logits(observation), ILLEGAL_LOGIT)
        action = int(logits.argmax())
        exponents = np.exp(logits - logits[action])
        return PolicyDecision(action, exponents / exponents.sum())

    def act_each(self, observations: Floats, legal_actions: Bools) -> list[PolicyDecision]:
        """What `act` does in each of N states, [N, O] and [N, A], to the bit."""
        return [self.act(observation, legal) for observation, legal in zip(observations, legal_actions, strict=True)]

    def decide_batch(self, observations: Floats, legal_actions: Bools) -> NDArray[np.int32]:
        """The action [N] that `act` takes in each of N states, [N, O] and [N, A], from few matrix products.

        A batched product may round otherwise than a single one, so near ties are left to `act`.
        """
        logits = np.where(legal_actions, self.logits(observations), ILLEGAL_LOGIT)
        actions: NDArray[np.int32] = np.argmax(logits, axis=1).astype(np.int32)
        best = np.sort(logits, axis=1)
        for row in np.flatnonzero(best[:, -1] - best[:, -2] <= DECIDING_MARGIN):
            actions[row] = self.act(observations[row], legal_actions[row]).action
        return actions


@dataclass(frozen=True)
class Policy(Decider):
    """A normaliser and layers with tanh between them, all float32.

    Attributes:
        mean: [O] subtracted from an observation.
        scale: [O] it is then divided by.
        bound: the normalised observation is clipped to +-bound.
        kernels: [I, H] a layer, the last one to the logits.
        biases: [H] a layer.
        identity: of the checkpoint that it came from, if it came from one.
    """

    mean: Floats
    scale: Floats
    bound: float
    kernels: tuple[Floats, ...]
    biases: tuple[Floats, ...]
    identity: Identity | None = None

    @property
    def observation_size(self) -> int:
        """O."""
        return len(self.mean)

    @property
    def num_actions(self) -> int:
        """A."""
        return len(self.biases[-1])

    def logits(self, observation: Floats) -> Floats:
        """Unmasked logits [..., A] of raw observations [..., O]."""
        assert observation.shape[-1] == self.observation_size, observation.shape
        if not np.isfinite(observation).all():
            raise DataError(f"observation input {_first_bad(observation)} is not finite; nothing can be decided on it")
        hidden = np.clip((observation.astype(np.float32) - self.mean) / self.scale, -self.bound, self.bound)
        for kernel, bias in zip(self.kernels[:-1], self.biases[:-1], strict=True):
            hidden = np.tanh(hidden @ kernel + bias)
        logits: Floats = hidden @ self.kernels[-1] + self.biases[-1]
        return logits

    def act_each(self, observations: Floats, legal_actions: Bools) -> list[PolicyDecision]:
        """What `act` does in each of N states, to the bit: NumPy makes the products of a stack of rows one by one."""
        assert legal_actions.shape == (len(observations), self.num_actions) and legal_actions.any(axis=1).all()
        logits = np.where(legal_actions, self.logits(observations[:, None, :])[:, 0], ILLEGAL_LOGIT)
        exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities = exponents / exponents.sum(axis=1, keepdims=True)
        return list(map(PolicyDecision, np.argmax(logits, axis=1).tolist(), probabilities))


def load_policy(path: Path, *, fingerprint: Fingerprint | None = None) -> Policy:
    """Load the policy of the checkpoint in folder ``path``; its bytes and its golden decision are verified.

    Args:
        path: a checkpoint folder.
        fingerprint: of the features that observations will be made of; None = not compared.

    Raises:
        ConfigError: there is no checkpoint.
        DamagedCheckpointError: its bytes are not those written, or it decides otherwise than it did when written.
        FitError: it was made for other features.
    """
    identity = read_manifest(path).identity
    check_fit(path, identity, Expected(fingerprint=fingerprint))
    try:
        with np.load(path / POLICY_FILE, allow_pickle=False) as file:
            arrays = dict(file)
        policy, golden = _from_arrays(arrays, identity)
    except (KeyError, ValueError, OSError, BadZipFile) as error:
        raise DamagedCheckpointError(
            f"checkpoint {path}: {POLICY_FILE} cannot be read: {error}; restore the folder from a copy"
        ) from error
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise DamagedCheckpointError(f"checkpoint {path}: {name} in {POLICY_FILE} is not finite; train again")
    _check_golden_decision(path, policy, golden)
    return policy


def load_trader(path: Path) -> Policy:
    """Load the policy of the checkpoint in folder ``path``, and check that it fits this code's features and actions.

    Raises:
        ConfigError, DamagedCheckpointError: as `load_policy`.
        FitError: it was made for other features, or for observations or actions of another number.
    """
    policy = load_policy(path)
    assert policy.identity is not None, "a loaded policy knows what it is"
    phase = policy.identity.phase
    actions = ACTION_NAMES[: ACTION_COUNTS[phase]]
    yardstick = TradingConfig.model_validate(policy.identity.config.get("trading", {})).yardstick
    size = observation_size(phase, yardstick.window)
    check_fit(path, policy.identity, Expected(phase, size, actions, own_fingerprint(yardstick)))
    return policy


def policy_digest(checkpoint: Path) -> str:
    """SHA-256 of what the checkpoint serves."""
    return hashlib.sha256((checkpoint / POLICY_FILE).read_bytes()).hexdigest()


def check_yardstick(path: Path, identity: Identity, yardstick: Yardstick) -> None:
    """Raise FitError unless the checkpoint in ``path`` was trained in the window, ATR and bracket of ``yardstick``."""
    check_fit(path, identity, Expected(fingerprint=own_fingerprint(yardstick)))


def policy_of(parameters: Mapping[str, Any], *, mean: Floats, scale: Floats, bound: float) -> Policy:
    """The policy of network parameters: torso if there is one, then the actor's own layers and head."""
    layers = [layer for part in ("torso", "actor") if part in parameters for layer in _in_order(parameters[part])]
    kernels = tuple(np.asarray(layer["kernel"], np.float32) for layer in layers)
    return Policy(mean, scale, bound, kernels, tuple(np.asarray(layer["bias"], np.float32) for layer in layers))


def save_policy(policy: Policy, folder: Path) -> None:
    """Write ``policy`` and a golden decision into ``folder``."""
    np.savez(folder / POLICY_FILE, allow_pickle=False, **policy_arrays(policy))


def policy_arrays(policy: Policy) -> dict[str, Any]:
    """The arrays of ``policy`` and of a golden decision, by the names that they have in a file."""
    arrays: dict[str, Any] = {"mean": policy.mean, "scale": policy.scale, "bound": np.float32(policy.bound)}
    for layer, (kernel, bias) in enumerate(zip(policy.kernels, policy.biases, strict=True)):
        arrays |= {f"kernel_{layer}": kernel, f"bias_{layer}": bias}
    golden = _golden_decision(policy)._asdict()
    return arrays | {f"golden_{name}": golden[name] for name in golden}


def _golden_decision(policy: Policy) -> GoldenDecision:
    """Choose the clearest decision among random observations; a near tie may be decided otherwise elsewhere."""
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((GOLDEN_CANDIDATES, policy.observation_size), dtype=np.float32)
    candidates = policy.mean + policy.scale * noise
    best = np.sort(policy.logits(candidates), axis=1)
    observation = candidates[np.argmax(best[:, -1] - best[:, -2])]
    legal_actions = np.ones(policy.num_actions, np.bool_)
    return GoldenDecision(
        observation, legal_actions, policy.logits(observation), policy.act(observation, legal_actions).action
    )


def _check_golden_decision(path: Path, policy: Policy, golden: GoldenDecision) -> None:
    logits = policy.logits(golden.observation)
    action = policy.act(golden.observation, golden.legal_actions).action
    if action != golden.action or not np.allclose(logits, golden.logits, atol=GOLDEN_TOLERANCE, rtol=GOLDEN_TOLERANCE):
        raise DamagedCheckpointError(
            f"checkpoint {path}: its golden observation gives action {action}, not {golden.action}; "
            "this machine computes otherwise than the one that trained it"
        )


def _from_arrays(arrays: Mapping[str, NDArray[Any]], identity: Identity) -> tuple[Policy, GoldenDecision]:
    depth = sum(name.startswith("kernel_") for name in arrays)
    policy = Policy(
        mean=arrays["mean"],
        scale=arrays["scale"],
        bound=float(arrays["bound"]),
        kernels=tuple(arrays[f"kernel_{layer}"] for layer in range(depth)),
        biases=tuple(arrays[f"bias_{layer}"] for layer in range(depth)),
        identity=identity,
    )
    golden = GoldenDecision(
        observation=arrays["golden_observation"],
        legal_actions=arrays["golden_legal_actions"],
        logits=arrays["golden_logits"],
        action=int(arrays["golden_action"]),
    )
    shape = (policy.observation_size, policy.num_actions)
    if shape != (identity.observation_size, len(identity.actions)):
        raise ValueError(f"observation size and actions {shape} are not those of the manifest")
    return policy, golden


def _in_order(tower: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    hidden = sorted((name for name in tower if name != "head"), key=lambda name: int(name.rpartition("_")[2]))
    return [tower[name] for name in [*hidden, *(["head"] if "head" in tower else [])]]


def _first_bad(observation: Floats) -> int:
    return int(np.argwhere(~np.isfinite(observation))[0][-1])
