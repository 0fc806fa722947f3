"""What XLA compiles for a GPU, on a machine that has none.

JAX's plugin for CUDA holds the whole compiler and takes a description of the device instead of the device: no driver
and no CUDA. What it would measure on a device, as which kernel of a matrix product is fastest, stays its first guess.
"""

import importlib.util
from typing import Any

import jax
from jax.experimental import topologies

PLUGINS = ("jax_plugins.xla_cuda13", "jax_plugins.xla_cuda12")
DEVICE = "NVIDIA H100 80GB HBM3"
DESCRIPTION = f"""
platform_name: "CUDA"
device_description_str: "{DEVICE}"
dnn_version_info {{ major: 9 minor: 10 patch: 0 }}
gpu_device_info {{
  name: "{DEVICE}" device_vendor: "NVIDIA Corporation"
  cuda_compute_capability {{ major: 9 feature_extension: ACCELERATED_FEATURES }}
  driver_version: "13.0.0" runtime_version: "13.0.0" compile_time_toolkit_version: "13.0.0" dnn_version: "9.10.0"
  core_count: 132 fpus_per_core: 128 clock_rate_ghz: 1.98
  device_memory_size: 84942979072 memory_bandwidth: 3352320000000 l2_cache_size: 52428800
  threads_per_warp: 32 threads_per_block_limit: 1024 threads_per_core_limit: 2048
  shared_memory_per_block: 49152 shared_memory_per_block_optin: 232448 shared_memory_per_core: 233472
  registers_per_core_limit: 65536 registers_per_block_limit: 65536
  thread_dim_limit_x: 1024 thread_dim_limit_y: 1024 thread_dim_limit_z: 64
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
}}
"""
"""An H100 as CUDA describes it."""


def compiles_for_a_gpu() -> bool:
    """Whether JAX's plugin for CUDA is installed, with a device or without."""
    return importlib.util.find_spec("jax_plugins") is not None and any(map(importlib.util.find_spec, PLUGINS))


def compiled_for_a_gpu(program: Any, *arguments: Any, **static: Any) -> jax.stages.Compiled:
    """The jitted ``program`` as compiled for one H100; it can be looked at, and not run.

    Args:
        program: made by `jax.jit`.
        arguments: whose shapes and types it is compiled for; nothing is computed.
        static: its static arguments.

    Raises:
        NotImplementedError: the plugin is not installed (`compiles_for_a_gpu`).
    """
    topology = topologies.get_topology_desc(platform="cuda", target_config=DESCRIPTION, topology="1x1x1")
    there: Any = jax.sharding.SingleDeviceSharding(topology.devices[0])

    def shape(leaf: Any) -> Any:
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=there) if isinstance(leaf, jax.Array) else leaf

    compiled: jax.stages.Compiled = program.lower(*jax.tree.map(shape, arguments), **static).compile()
    return compiled
