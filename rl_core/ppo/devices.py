"""Splits the environments over devices, and combines what each device computes.

Environments and rollouts are split; parameters are replicated. Random numbers are drawn for all environments on every
device, and a minibatch takes an equal share of each device's environments. Any number of devices therefore makes the
same updates, but for the order in which floats are summed.
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
JOIN_S = 120  # seconds within which every process must have joined
HEARTBEAT_S = 20  # seconds without a sign after which a process counts as lost
_spec: Any = PartitionSpec  # untyped in JAX
REPLICATED, SHARDED = _spec(), _spec(AXIS)
Tree = TypeVar("Tree")


@dataclass(frozen=True)
class Shards:
    """The number of equal parts that the environments are split into; static under ``jit``.

    With one part every method returns its argument, so that no collective operation is compiled.
    """

    count: int = 1

    def sum(self, tree: Tree) -> Tree:
        """Leaves summed over the parts."""
        return self._combined(jax.lax.psum, tree)

    def mean(self, tree: Tree) -> Tree:
        """Leaves averaged over the parts."""
        return self._combined(jax.lax.pmean, tree)

    def _combined(self, collective: Callable[[Any, str], Any], tree: Tree) -> Tree:
        return tree if self.count == 1 else cast(Tree, collective(tree, AXIS))

    def local_part(self, tree: Tree) -> Tree:
        """The slice of leaves [B, ...], B over all environments, that this device holds: [B / count, ...]."""
        if self.count == 1:
            return tree
        part = jax.lax.axis_index(AXIS)

        def cut(leaf: jax.Array) -> jax.Array:
            size = leaf.shape[0] // self.count
            return jax.lax.dynamic_slice_in_dim(leaf, part * size, size)

        return cast(Tree, jax.tree.map(cut, tree))


UNSHARDED = Shards()


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
    """Run ``part(state, env_arrays)`` on each of ``count`` devices.

    ``split`` has the top-level structure of the state and says which of its fields are `SHARDED` or `REPLICATED`.
    """
    # Our code writes every collective itself; the check would insert further ones.
    return jax.shard_map(
        part, mesh=mesh_of(count), in_specs=(split, REPLICATED), out_specs=(split, REPLICATED), check_vma=False
    )


def put_on_devices(tree: Tree, count: int, split: Any) -> Tree:
    """Place ``tree`` as an update on ``count`` devices expects it; every host must hold the same values."""
    if count == 1:
        return tree
    mesh = mesh_of(count)

    def put(spec: PartitionSpec, branch: Any) -> Any:
        sharding = NamedSharding(mesh, spec)
        return jax.tree.map(lambda leaf: _put(leaf, sharding), branch)

    return cast(Tree, jax.tree.map(put, split, tree))


def _put(leaf: jax.Array, sharding: NamedSharding) -> jax.Array:
    """Make a global array of ``leaf``, which every host holds whole; a PRNG key travels as its uint32 words."""
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


def gather(tree: Tree, count: int) -> Tree:
    """Copy every leaf whole to this process's first device, so that it can be saved; every process must call it."""
    if count == 1:
        return tree
    whole = jax.jit(lambda leaves: leaves, out_shardings=NamedSharding(mesh_of(count), REPLICATED))
    return cast(Tree, jax.tree.map(lambda leaf: leaf.addressable_data(0), whole(tree)))


def join_processes(coordinator: str | None, processes: int | None, process: int | None) -> None:
    """Join the devices of ``processes`` processes into one set; call it before anything else touches JAX.

    Args:
        coordinator: host:port of process 0, which listens there; on all addresses unless it is the loopback one.
        processes: how many there are, on any hosts.
        process: which of them this is, from 0.
    """
    configuration: Any = jax.config  # untyped in JAX
    configuration.update("jax_cpu_collectives_implementation", "gloo")
    # JAX's preemption service would catch SIGTERM, and our loop would never learn that it should stop and save.
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
