"""How parameters lie while an update learns: as they are on a CPU, in as few arrays as can be on an accelerator.

Adam, the norms and the skipping of a step are some operations for every array; the passes through two networks are some
for every layer of each. An accelerator starts each of them, however small it is, so there one vector holds a head, and
actor and critic pass side by side. Checkpoints and everything outside an update know the parameters as they are.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from rl_core.ppo.backend import conditions_are_free
from rl_core.ppo.config import PPOConfig
from rl_core.ppo.devices import Shards
from rl_core.ppo.networks import NetworkOutput, OwnNetwork, Parameters, TanhLayers, forward
from rl_core.ppo.optimiser import TOWERS

Tree = dict[str, Any]


class Shown(NamedTuple):
    """The normalised observations [N, O] of a minibatch."""

    met: jax.Array  # by the behaviour policy
    known: jax.Array | None  # other states, whose actions' outcomes are known
    all_known: bool  # so that the logits of the states met say nothing


class Layout(Protocol):
    """One of the ways below."""

    def laid(self, parameters: Parameters) -> Tree:
        """The parameters, or moments like them, as the optimiser sees them."""

    def whole(self, laid: Tree) -> Parameters:
        """What `laid` made it of."""

    def outputs(self, laid: Tree, shown: Shown) -> tuple[NetworkOutput, jax.Array | None]:
        """For the states met, and the logits [N, A] of the known ones; where all are known, no others."""


def layout_of(config: PPOConfig, parameters: Parameters, shards: Shards) -> Layout:
    """How parameters like these lie while a program that is traced now learns."""
    if conditions_are_free():
        return AsTheyAre(config, shards)
    if config.shared_torso or isinstance(config, OwnNetwork):
        return InVectors(config, shards, parameters)
    return SideBySide(config, parameters)


@dataclass(frozen=True)
class AsTheyAre:
    """Nothing is moved."""

    config: PPOConfig
    shards: Shards

    def laid(self, parameters: Parameters) -> Tree:
        """Them."""
        tree: Tree = parameters
        return tree

    def whole(self, laid: Tree) -> Parameters:
        """Them."""
        return laid

    def outputs(self, laid: Tree, shown: Shown) -> tuple[NetworkOutput, jax.Array | None]:
        """One pass for the states met, another for the known ones."""
        met = forward(self.config, self.whole(laid), shown.met, self.shards)
        if shown.known is None:
            return met, None
        return met, forward(self.config, self.whole(laid), shown.known, self.shards).logits


@dataclass(frozen=True)
class InVectors(AsTheyAre):
    """One vector for each name at the top level."""

    like: Parameters

    def laid(self, parameters: Parameters) -> Tree:
        """{name: [P]}."""
        return {name: ravel_pytree(tree)[0] for name, tree in parameters.items()}

    def whole(self, laid: Tree) -> Parameters:
        """Cut where ``like`` says."""
        return {name: ravel_pytree(self.like[name])[1](vector) for name, vector in laid.items()}


@dataclass(frozen=True)
class SideBySide:
    """Actor and critic, alike but for their heads, as one array [2, P]; the critic's head has the actor's width."""

    config: PPOConfig
    like: Parameters

    def laid(self, parameters: Parameters) -> Tree:
        """Zeros fill the critic's head up; nothing comes of them, so that they get no gradient and stay."""

        def as_wide(critic: jax.Array, actor: jax.Array) -> jax.Array:
            missing = actor.shape[-1] - critic.shape[-1]
            return jnp.pad(critic, [(0, 0)] * (critic.ndim - 1) + [(0, missing)])

        actor, critic = parameters["actor"], jax.tree.map(as_wide, parameters["critic"], parameters["actor"])
        return {TOWERS: jnp.stack([ravel_pytree(tower)[0] for tower in (actor, critic)])}

    def whole(self, laid: Tree) -> Parameters:
        """The critic's head without its filling."""
        actor, critic = (self._tower(vector) for vector in laid[TOWERS])
        narrow = jax.tree.map(lambda leaf, like: leaf[..., : like.shape[-1]], critic, self.like["critic"])
        return {"actor": actor, "critic": narrow}

    def outputs(self, laid: Tree, shown: Shown) -> tuple[NetworkOutput, jax.Array | None]:
        """All in one pass; where the actor must see both kinds of states, it passes twice beside the critic."""
        towers = jax.vmap(self._tower)(laid[TOWERS])
        if shown.known is None:
            logits, value = jax.vmap(self._passed, in_axes=(0, None))(towers, shown.met)
            return NetworkOutput(logits, value[:, 0]), None
        if shown.all_known:
            known, value = jax.vmap(self._passed)(towers, jnp.stack([shown.known, shown.met]))
            return NetworkOutput(known, value[:, 0]), known
        thrice = jax.tree.map(lambda tower: jnp.stack([tower[0], *tower]), towers)
        known, logits, value = jax.vmap(self._passed)(thrice, jnp.stack([shown.known, shown.met, shown.met]))
        return NetworkOutput(logits, value[:, 0]), known

    def _tower(self, vector: jax.Array) -> Any:
        return ravel_pytree(self.like["actor"])[1](vector)

    def _passed(self, tower: Any, observation: jax.Array) -> jax.Array:
        layers = TanhLayers(self.config.hidden, self.like["actor"]["head"]["bias"].shape[0])
        result: jax.Array = layers.apply({"params": tower}, observation)  # type: ignore[assignment]
        return result


def of_moments(change: Callable[[Any], Any], state: Any) -> Any:
    """The state of `make_optimiser` with both of Adam's moments changed."""
    clipping, (adam, schedule) = state
    return clipping, (adam._replace(mu=change(adam.mu), nu=change(adam.nu)), schedule)
