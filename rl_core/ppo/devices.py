"""The environments split over devices: who holds which, and what the devices tell each other.

Environments and rollouts are split, parameters are the same everywhere. Everything random is drawn for all environments
and every minibatch takes an equal part of each device's, so any number of devices makes the same updates but for the
order in which floats are summed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from trigate.errors import ConfigError

AXIS = "envs"
JOIN_S = 120  # in which all processes must have come
HEARTBEAT_S = 20  # in which one that is alive says so
_spec: Any = PartitionSpec  # untyped in JAX
WHOLE, PARTS = _spec(), _spec(AXIS)
Tree = TypeVar("Tree")


@dataclass(frozen=True)
class Shards:
    """How many equal parts the environments are in; static under ``jit``. One part talks to nobody."""

    count: int = 1

    def sum(self, tree: Tree) -> Tree:
        """Leaves summed over the parts."""
        return self._combined(jax.lax.psum, tree)

    def mean(self, tree: Tree) -> Tree:
        """Leaves averaged over the parts."""
        return self._combined(jax.lax.pmean, tree)

    def _combined(self, collective: Callable[[Any, str], Any], tree: Tree) -> Tree:
        return tree if self.count == 1 else cast(Tree, collective(tree, AXIS))

    def own(self, tree: Tree) -> Tree:
        """This part of leaves [B, ...] that hold all environments."""
        if self.count == 1:
            return tree
        part = jax.lax.axis_index(AXIS)

        def cut(leaf: jax.Array) -> jax.Array:
            size = leaf.shape[0] // self.count
            return jax.lax.dynamic_slice_in_dim(leaf, part * size, size)

        return cast(Tree, jax.tree.map(cut, tree))


ALONE = Shards()


def mesh_of(count: int) -> Mesh:
    """The first ``count`` devices of all hosts.

    Raises:
        ConfigError: there are fewer.
    """
    devices = jax.devices()
    if len(devices) < count:
        raise ConfigError(f"ppo.devices is {count}, but {len(devices)} are there")
    return Mesh(np.array(devices[:count]), (AXIS,))


def on_devices(part: Callable[..., Any], count: int, split: Any) -> Callable[..., Any]:
    """``part(state, world)`` on each of ``count`` devices; ``split`` tells what of the state each holds a part of."""
    # Every collective is written out, so the check that would insert some is off.
    return jax.shard_map(part, mesh=mesh_of(count), in_specs=(split, WHOLE), out_specs=(split, WHOLE), check_vma=False)


def placed(tree: Tree, count: int, split: Any) -> Tree:
    """``tree`` where an update on ``count`` devices wants it; every host must hold the same values."""
    if count == 1:
        return tree
    mesh = mesh_of(count)

    def put(spec: PartitionSpec, branch: Any) -> Any:
        sharding = NamedSharding(mesh, spec)
        return jax.tree.map(lambda leaf: _put(leaf, sharding), branch)

    return cast(Tree, jax.tree.map(put, split, tree))


def _put(leaf: jax.Array, sharding: NamedSharding) -> jax.Array:
    """A global array of what every host holds; a key is made of its data, which NumPy can hold."""
    leaf = jnp.asarray(leaf)
    if not leaf.is_fully_addressable:
        return leaf
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        key: jax.Array = jax.random.wrap_key_data(
            _put(jax.random.key_data(leaf), sharding), impl=str(jax.random.key_impl(leaf))
        )
        return key
    host = np.asarray(leaf)
    made: jax.Array = jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])
    return made


def gathered(tree: Tree, count: int) -> Tree:
    """``tree`` with every leaf whole on this process's first device, so that it can save it; all must ask."""
    if count == 1:
        return tree
    whole = jax.jit(lambda leaves: leaves, out_shardings=NamedSharding(mesh_of(count), WHOLE))
    return cast(Tree, jax.tree.map(lambda leaf: leaf.addressable_data(0), whole(tree)))


def join(coordinator: str | None, processes: int | None, process: int | None) -> None:
    """Make the devices of ``processes`` processes one set; call before anything else touches JAX.

    Args:
        coordinator: host:port of process 0, which listens there; on all addresses unless it is the loopback one.
        processes: how many there are, on any hosts.
        process: which of them this is, from 0.
    """
    configuration: Any = jax.config  # untyped in JAX
    configuration.update("jax_cpu_collectives_implementation", "gloo")
    # It would take SIGTERM for itself, and nobody would be asked to stop.
    configuration.update("jax_enable_preemption_service", False)
    near = coordinator is not None and coordinator.startswith(("127.", "localhost:", "[::1]:"))
    jax.distributed.initialize(
        coordinator,
        processes,
        process,
        initialization_timeout=JOIN_S,
        heartbeat_timeout_seconds=HEARTBEAT_S,
        shutdown_timeout_seconds=HEARTBEAT_S,
        coordinator_bind_address=coordinator if near else None,
    )
