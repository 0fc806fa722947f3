"""Says before the start whether a model server and JAX fit into the memory of a machine. Arithmetic only.

Overheads are estimates, rounded up: on a CPU from what three Python processes with torch were seen to hold beside
weights and cache; on a GPU the driver's context, activations and captured graphs, not measured here.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from llm_gate.errors import RequestError
from llm_gate.serving.model_folders import longest_text, read_config

MIB = 1 << 20
GPU_OVERHEAD = 2048 * MIB
CPU_OVERHEAD = 2560 * MIB
CPU_CACHE = 1024 * MIB
"""What the server sets aside for keys and values on a CPU, whatever the model."""

_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}


class Device(NamedTuple):
    """A GPU, or the machine's memory."""

    name: str
    total: int
    """Bytes."""
    free: int
    is_gpu: bool


class ModelNeed(NamedTuple):
    """Bytes a server needs for one model."""

    weights: int
    cache: int
    """Keys and values of one text of the greatest length."""
    overhead: int

    @property
    def total(self) -> int:
        """Bytes in all."""
        return self.weights + self.cache + self.overhead


class MemoryPlan(NamedTuple):
    """Who takes how much of which device."""

    device: Device
    need: ModelNeed
    jax: int
    """Bytes that JAX sets aside on the same device."""

    @property
    def left(self) -> int:
        """Bytes to spare; negative if it does not fit."""
        return self.device.free - self.jax - self.need.total

    @property
    def server_share(self) -> float:
        """The share of the device that the server is given, in hundredths rounded up."""
        return math.ceil(100 * self.need.total / self.device.total) / 100


def need_of(folder: Path, *, max_model_len: int, on_gpu: bool) -> ModelNeed:
    """What serving the model in ``folder`` takes; RequestError if its files do not say."""
    config = read_config(folder)
    stored = _width(config)
    weights = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    if weights == 0:
        raise RequestError(f"{folder} holds no .safetensors file")
    if on_gpu:
        tokens = min(max_model_len, longest_text(folder))
        return ModelNeed(weights, tokens * _cache_per_token(folder, config, stored), GPU_OVERHEAD)
    return ModelNeed(weights * 4 // stored, CPU_CACHE, CPU_OVERHEAD)


def plan_memory(devices: Sequence[Device], need_on: dict[bool, ModelNeed], *, jax_share: float) -> MemoryPlan:
    """The plan for the device with the most room: a GPU wherever there is one.

    Args:
        devices: the GPUs and the machine's memory.
        need_on: what the server needs on a GPU (True) and on a CPU (False).
        jax_share: of each GPU's memory that JAX sets aside, in [0, 1]; on a CPU it sets nothing aside.
    """
    if not 0 <= jax_share <= 1:
        raise RequestError(f"JAX's share {jax_share:g} is no share: 0 to 1")
    candidates = [device for device in devices if device.is_gpu] or list(devices)
    plans = [MemoryPlan(d, need_on[d.is_gpu], round(jax_share * d.total) if d.is_gpu else 0) for d in candidates]
    return max(plans, key=lambda each: each.left)


def refuse_if_too_large(plan: MemoryPlan) -> None:
    """RequestError if the plan does not fit, saying what would."""
    if plan.left >= 0:
        return
    parts = f"JAX {_gib(plan.jax)} and the server {_gib(plan.need.total)} of {_gib(plan.device.free)} free"
    wayout = "give JAX a smaller share, free memory, or take a smaller model or --max-model-len"
    raise RequestError(f"does not fit on {plan.device.name}: {parts}; {_gib(-plan.left)} too much: {wayout}")


def gpus(query: str | None) -> list[Device]:
    """The devices in what nvidia-smi printed: index, name, total and free MiB on each line."""
    devices = []
    for line in (query or "").splitlines():
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) == 4 and cells[2].isdigit() and cells[3].isdigit():
            devices.append(Device(f"GPU {cells[0]} ({cells[1]})", int(cells[2]) * MIB, int(cells[3]) * MIB, True))
    return devices


def machine_memory(meminfo: str) -> Device:
    """The machine's memory from the text of /proc/meminfo."""
    kib = {line.split(":")[0]: int(line.split()[1]) for line in meminfo.splitlines() if ":" in line}
    return Device("this machine's memory", kib["MemTotal"] * 1024, kib["MemAvailable"] * 1024, False)


def lines_of(plan: MemoryPlan) -> list[str]:
    """The plan in lines for people."""
    share = f"; start it with --gpu-memory {plan.server_share:.2f}" if plan.device.is_gpu else ""
    return [
        f"device          {plan.device.name}: {_gib(plan.device.total)}, of which {_gib(plan.device.free)} are free",
        f"JAX             {_gib(plan.jax)}",
        f"server          {_gib(plan.need.total)}{share}",
        f"  weights       {_gib(plan.need.weights)}",
        f"  key-values    {_gib(plan.need.cache)}",
        f"  overhead      {_gib(plan.need.overhead)} (estimate)",
        f"left            {_gib(plan.left)}",
    ]


def _cache_per_token(folder: Path, config: dict[str, Any], width: int) -> int:
    """Bytes of one token's keys and values: two vectors for each layer and key-value head."""
    try:
        heads = config["num_attention_heads"]
        size = config.get("head_dim") or config["hidden_size"] // heads
        return int(2 * config["num_hidden_layers"] * (config.get("num_key_value_heads") or heads) * size * width)
    except (KeyError, TypeError) as error:
        raise RequestError(f"{folder}: config.json does not say {error}") from None


def _width(config: dict[str, Any]) -> int:
    """Bytes of one stored number."""
    return _BYTES.get(str(config.get("dtype") or config.get("torch_dtype")), 4)


def _gib(size: int) -> str:
    return f"{size / (1 << 30):.2f} GiB"
