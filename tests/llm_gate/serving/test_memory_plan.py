"""The plan's arithmetic on made-up models and devices, by hand."""

import json
from pathlib import Path

import pytest

from llm_gate.errors import RequestError
from llm_gate.serving.memory_plan import (
    CPU_CACHE,
    CPU_OVERHEAD,
    GPU_OVERHEAD,
    MIB,
    Device,
    ModelNeed,
    gpus,
    lines_of,
    machine_memory,
    need_of,
    plan_memory,
    refuse_if_too_large,
)

GIB = 1024 * MIB
EIGHT_BILLION = {
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "hidden_size": 4096,
    "torch_dtype": "bfloat16",
    "max_position_embeddings": 8192,
}


def model(folder: Path, config: dict[str, object], *shards: int) -> Path:
    """A folder whose weights are holes of the given sizes."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    for number, size in enumerate(shards):
        with (folder / f"model-{number}.safetensors").open("wb") as file:
            file.truncate(size)
    return folder


def gpu(total_gib: int, free_gib: int, index: int = 0) -> Device:
    """A made-up GPU."""
    return Device(f"GPU {index} (made up)", total_gib * GIB, free_gib * GIB, True)


RAM = Device("this machine's memory", 24 * GIB, 20 * GIB, False)


def test_a_gpu_needs_weights_as_stored_and_the_keys_and_values_of_one_longest_text(tmp_path: Path) -> None:
    """2 x 32 layers x 8 heads x 128 numbers x 2 bytes = 131,072 bytes a token; 4,096 of them are half a GiB."""
    folder = model(tmp_path / "m", EIGHT_BILLION, 10 * GIB, 6 * GIB)

    assert need_of(folder, max_model_len=4096, on_gpu=True) == ModelNeed(16 * GIB, 512 * MIB, GPU_OVERHEAD)
    assert need_of(folder, max_model_len=10**6, on_gpu=True).cache == 1024 * MIB  # the model reads no further


def test_a_cpu_holds_the_weights_in_float32_and_a_fixed_cache(tmp_path: Path) -> None:
    folder = model(tmp_path / "m", EIGHT_BILLION, 3 * GIB)

    assert need_of(folder, max_model_len=4096, on_gpu=False) == ModelNeed(6 * GIB, CPU_CACHE, CPU_OVERHEAD)


def test_a_head_of_its_own_size_counts(tmp_path: Path) -> None:
    folder = model(tmp_path / "m", EIGHT_BILLION | {"head_dim": 256}, GIB)

    assert need_of(folder, max_model_len=4096, on_gpu=True).cache == 1024 * MIB


def needs(total_gib: int) -> dict[bool, ModelNeed]:
    """The same need on every device."""
    need = ModelNeed((total_gib - 3) * GIB, GIB, 2 * GIB)
    return {True: need, False: need}


def test_what_is_left_is_free_memory_less_jax_less_the_server() -> None:
    found = plan_memory([gpu(80, 78), RAM], needs(20), jax_share=0.25)

    assert found.device.name == "GPU 0 (made up)"
    assert (found.jax, found.left) == (20 * GIB, 38 * GIB)
    assert found.server_share == 0.25
    refuse_if_too_large(found)


def test_the_gpu_with_the_most_room_is_taken_and_memory_only_without_a_gpu() -> None:
    assert plan_memory([gpu(80, 30), gpu(80, 79, 1), RAM], needs(20), jax_share=0.0).device.name == "GPU 1 (made up)"
    assert plan_memory([RAM], needs(10), jax_share=0.75)._asdict() | {"need": None} == {
        "device": RAM,
        "need": None,
        "jax": 0,
    }


@pytest.mark.parametrize(
    ("devices", "total_gib", "jax_share"),
    [
        ([gpu(80, 78), RAM], 20, 0.75),
        ([gpu(80, 19), RAM], 20, 0.0),
        ([gpu(16, 16), RAM], 20, 0.0),
        ([RAM], 21, 0.0),
    ],
)
def test_what_cannot_fit_is_refused_with_the_figures(devices: list[Device], total_gib: int, jax_share: float) -> None:
    with pytest.raises(RequestError, match="does not fit") as caught:
        refuse_if_too_large(plan_memory(devices, needs(total_gib), jax_share=jax_share))

    assert caught.value.exit_code == 2
    assert f"the server {total_gib}.00 GiB" in str(caught.value)


def test_exactly_enough_fits_and_a_byte_more_does_not() -> None:
    plan = plan_memory([RAM], needs(20), jax_share=0.0)

    assert plan.left == 0
    refuse_if_too_large(plan)
    with pytest.raises(RequestError, match="does not fit"):
        refuse_if_too_large(plan._replace(jax=1))


def test_the_queries_are_read() -> None:
    printed = "0, NVIDIA H100 80GB HBM3, 81559, 81000\n1, NVIDIA H100 80GB HBM3, 81559, [N/A]\n"

    assert gpus(printed) == [Device("GPU 0 (NVIDIA H100 80GB HBM3)", 81559 * MIB, 81000 * MIB, True)]
    assert gpus(None) == []
    assert machine_memory("MemTotal:       1024 kB\nMemFree: 1 kB\nMemAvailable:    512 kB\n")[1:] == (
        MIB,
        MIB // 2,
        False,
    )


def test_a_folder_without_weights_or_sizes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="safetensors"):
        need_of(model(tmp_path / "a", EIGHT_BILLION), max_model_len=1, on_gpu=True)
    with pytest.raises(RequestError, match="num_hidden_layers"):
        need_of(model(tmp_path / "b", {"num_attention_heads": 2, "hidden_size": 4}, 1), max_model_len=1, on_gpu=True)
    with pytest.raises(RequestError, match="share"):
        plan_memory([RAM], needs(10), jax_share=1.5)


def test_a_plan_for_a_gpu_says_what_to_start_the_server_with() -> None:
    assert "--gpu-memory 0.25" in "\n".join(lines_of(plan_memory([gpu(80, 78)], needs(20), jax_share=0.1)))
    assert "--gpu-memory" not in "\n".join(lines_of(plan_memory([RAM], needs(20), jax_share=0.1)))
