"""Widens phase 1's network for phase 2, so that both enter trades with the same probabilities at first."""

from functools import partial
from typing import Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from rl_core.contract import HOLD
from rl_core.errors import FitError
from rl_core.ppo import normaliser as norm
from rl_core.ppo.config import PPOConfig
from rl_core.ppo.environment import ObservedBatch
from rl_core.ppo.losses import mean_where
from rl_core.ppo.networks import Parameters, forward, initial_parameters, log_probabilities
from rl_core.ppo.normaliser import Normaliser

NEW_ACTION_HANDICAP = 5.0  # nats below HOLD: new actions are tried now and then, but leave the entries as they were
MAX_DIVERGENCE = 1e-4  # nats

ParameterOrigin: TypeAlias = Literal["copied", "widened", "new"]


class TransferReport(NamedTuple):
    """Where every parameter came from, and how far the two entry policies are apart."""

    origins: dict[str, ParameterOrigin]
    divergence: float  # mean KL(phase 1, phase 2) in nats over states in which an entry is legal
    states: int  # of which there were so many

    def count(self, origin: ParameterOrigin) -> int:
        """How many parameters are of ``origin``."""
        return sum(each == origin for each in self.origins.values())


class Transfer(NamedTuple):
    """Phase 2's first parameters and normaliser, and the report about them."""

    parameters: Parameters
    normaliser: Normaliser
    report: TransferReport


def transfer(
    config: PPOConfig, learned: tuple[Parameters, Normaliser], states_seen: ObservedBatch, *, key: jax.Array
) -> Transfer:
    """Widen phase 1's network and normaliser to phase 2's observations and actions.

    New inputs get zero weights. A new action gets HOLD's column and a bias lower by
    ``NEW_ACTION_HANDICAP``: in every state it starts e^-5 times as probable as HOLD.

    Args:
        config: phase 2's settings.
        learned: phase 1's parameters and normaliser.
        states_seen: phase 2's observations [N, O] and masks [N, A] of N states, among them some that allow an entry.
        key: PRNG key of the parameters that phase 1 does not have.

    Raises:
        FitError: nothing could be copied, shapes cannot be widened, or the two disagree on entries.
    """
    config = config.model_copy(update={"seed": 0})  # the seed stays out of what is compiled, as in `initial_state`
    old, old_normaliser = learned
    size, num_actions = states_seen.values.shape[1], states_seen.legal_actions.shape[1]
    wanted = _fresh_parameters(config, size, num_actions, key)
    origins: dict[str, ParameterOrigin] = {}

    def place(path: tuple[jax.tree_util.KeyEntry, ...], fresh: jax.Array) -> jax.Array:
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        parameter, origins[name] = _placed(name, _named(old).get(name), fresh)
        return parameter

    parameters = jax.tree_util.tree_map_with_path(place, wanted)
    if "copied" not in origins.values():
        raise FitError("transfer copied no parameter: phase 1 and phase 2 need the same hidden sizes and shared_torso")
    normaliser = widened_normaliser(old_normaliser, size)
    divergence, states = entry_divergence(config, learned, (parameters, normaliser), states_seen)
    if states == 0 or not divergence < MAX_DIVERGENCE:
        raise FitError(
            f"phase 2 does not enter as phase 1 does: KL {divergence:.2g} nats over {states} entry states, "
            f"allowed {MAX_DIVERGENCE:.0e}"
        )
    return Transfer(parameters, normaliser, TransferReport(origins, divergence, states))


def widened_normaliser(old: Normaliser, size: int) -> Normaliser:
    """Extend ``old`` to observations of ``size`` inputs; the new ones have mean 0, variance 1 and no observation."""
    known, new = old.mean.shape[0], norm.initial_normaliser(size)
    widened: Normaliser = jax.tree.map(lambda column, rest: jnp.concatenate([column, rest[known:]]), old, new)
    return widened


def entry_divergence(
    config: PPOConfig,
    old: tuple[Parameters, Normaliser],
    new: tuple[Parameters, Normaliser],
    states_seen: ObservedBatch,
) -> tuple[float, int]:
    """Mean KL(old, new) in nats over the N states that allow an entry, and how many they are.

    The old policy gets the first inputs of each observation [N, O] and may take the first of its actions [N, A].
    """
    divergence, states = _entry_divergence(config, old, new, states_seen)
    return float(divergence), int(states)


# One program each: a phase that starts would else wait for some hundred operations to compile by themselves.
_fresh_parameters = jax.jit(initial_parameters, static_argnums=(0, 1, 2))


@partial(jax.jit, static_argnums=0)
def _entry_divergence(
    config: PPOConfig,
    old: tuple[Parameters, Normaliser],
    new: tuple[Parameters, Normaliser],
    states_seen: ObservedBatch,
) -> tuple[jax.Array, jax.Array]:
    size, num_actions = old[1].mean.shape[0], old[0]["actor"]["head"]["bias"].shape[0]
    legal = states_seen.legal_actions[:, :num_actions]
    before = log_probabilities(_logits(config, old, states_seen.values[:, :size]), legal)
    after = log_probabilities(_logits(config, new, states_seen.values), states_seen.legal_actions)[:, :num_actions]
    apart = jnp.sum(jnp.exp(before) * (before - after), axis=-1)
    may_enter = jnp.any(legal[:, HOLD + 1 :], axis=-1)
    return mean_where(may_enter, apart), jnp.sum(may_enter)


def _logits(config: PPOConfig, policy: tuple[Parameters, Normaliser], raw: jax.Array) -> jax.Array:
    parameters, normaliser = policy
    return forward(config, parameters, norm.normalise(normaliser, raw)).logits


def _placed(name: str, old: jax.Array | None, fresh: jax.Array) -> tuple[jax.Array, ParameterOrigin]:
    if old is None:
        return fresh, "new"
    if old.shape == fresh.shape:
        return old, "copied"
    if name == "actor.head.bias":
        return jnp.concatenate([old, _repeated_hold(old, fresh) - NEW_ACTION_HANDICAP]), "widened"
    if name == "actor.head.kernel" and old.shape[0] == fresh.shape[0]:
        return jnp.concatenate([old, _repeated_hold(old, fresh)], axis=1), "widened"
    if name.endswith("dense_0.kernel") and old.shape[0] < fresh.shape[0] and old.shape[1:] == fresh.shape[1:]:
        return jnp.concatenate([old, jnp.zeros((fresh.shape[0] - old.shape[0], *old.shape[1:]))]), "widened"
    raise FitError(f"transfer: {name} is {list(old.shape)} in phase 1 and {list(fresh.shape)} in phase 2")


def _repeated_hold(old: jax.Array, fresh: jax.Array) -> jax.Array:
    """HOLD's column of ``old``, repeated once for every action that ``fresh`` [..., A] has beyond those of ``old``."""
    return jnp.repeat(old[..., HOLD : HOLD + 1], fresh.shape[-1] - old.shape[-1], axis=-1)


def _named(parameters: Parameters) -> dict[str, jax.Array]:
    leaves = jax.tree_util.tree_flatten_with_path(parameters)[0]
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}
